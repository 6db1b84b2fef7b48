"""The classes of glitch that Gravity Spy names, in one fixed order.

Names are Gravity Spy's own. Descriptions follow Zevin et al. 2017 (CQG 34, 064003), Soni et al.
2021 (CQG 38, 195016) for the two classes added for O3, and Glanzer et al. 2023 (CQG 40, 065004).
Classes that users create are stored in the database; this list never changes at run time.
"""

from __future__ import annotations

from dataclasses import dataclass

from glitch.errors import GlitchError

_ALL_RUNS = ("O1", "O2", "O3a", "O3b")
_SINCE_O3 = ("O3a", "O3b")


@dataclass(frozen=True)
class SimulatedClass:
    """The most probable simulated class of a glitch.

    The model learnt the classes from simulated glitches only, so this needs no human label, and it
    names one of these classes even if the glitch is of another.
    """

    label: str
    probability: float  # in [0, 1]


@dataclass(frozen=True)
class GlitchClass:
    """One named class.

    Attributes:
        name: Gravity Spy's label, as in its files.
        description: appearance in an omega scan and, where known, the cause.
        observing_runs: runs whose Gravity Spy release uses the label (empty: proposed only).
        is_simulated: whether ``glitch.simulate`` can draw it.
        is_catch_all: whether it collects glitches of unrelated types. Similarity to one of its
            members explains nothing, so novelty does not use them as references.
    """

    name: str
    description: str
    observing_runs: tuple[str, ...] = _ALL_RUNS
    is_simulated: bool = True
    is_catch_all: bool = False


CLASSES: tuple[GlitchClass, ...] = (
    GlitchClass("1080Lines", "A dotted string of short spots near 1080 Hz, a second or so long."),
    GlitchClass("1400Ripples", "One or a few short spots near 1400 to 1500 Hz, under 0.1 s long."),
    GlitchClass("70Hz_Line", "A narrow patch at 70 Hz, some 0.3 s long.", observing_runs=()),
    GlitchClass(
        "Air_Compressor",
        "A narrow patch near 50 Hz, some 0.3 s long, from air compressors that switch.",
    ),
    GlitchClass(
        "Blip",
        "A symmetric teardrop of some 10 ms from 30 to 500 Hz and above; its cause is unknown.",
    ),
    GlitchClass(
        "Blip_Low_Frequency",
        "A short teardrop like a Blip, but wholly between about 20 and 100 Hz.",
        observing_runs=_SINCE_O3,
    ),
    GlitchClass(
        "Chirp", "A rising track that ends in a steep upturn, as a merging compact binary leaves."
    ),
    GlitchClass(
        "Extremely_Loud",
        "Saturates much of the scan; SNR of hundreds to many thousands, from gross disturbances.",
    ),
    GlitchClass(
        "Fast_Scattering",
        "Short arches at 20 to 60 Hz, a quarter to half a second apart, often in groups; light "
        "scattered while the ground moves at 1 to 6 Hz.",
        observing_runs=_SINCE_O3,
    ),
    GlitchClass(
        "Helix",
        "Irregularly spaced spindles of 20 to 500 Hz with bright knots, from calibration faults.",
    ),
    GlitchClass(
        "High_Frequency_Burst",
        "A single upright dash of a few milliseconds near or above 1 kHz.",
        observing_runs=(),
    ),
    GlitchClass("Koi_Fish", "A loud teardrop with a wide low-frequency body and fins near 100 Hz."),
    GlitchClass(
        "Light_Modulation",
        "A spike that reaches up to 2 kHz, with blobs at 10 to 50 Hz after it, from the "
        "modulation of the laser light.",
    ),
    GlitchClass("Low_Frequency_Burst", "A hump or slanting streaks at 10 to 30 Hz, a second long."),
    GlitchClass("Low_Frequency_Lines", "A level line at 10 to 20 Hz, a second or longer."),
    GlitchClass("No_Glitch", "Quiet detector noise: nothing stands out near the trigger."),
    GlitchClass(
        "None_of_the_Above",
        "Glitches that fit no other class; they have no common shape.",
        observing_runs=("O1", "O2"),
        is_simulated=False,
        is_catch_all=True,
    ),
    GlitchClass(
        "Paired_Doves",
        "Alternating rising and falling chirps at 20 to 150 Hz about a second apart, from the "
        "beam splitter's motion.",
    ),
    GlitchClass(
        "Pizzicato", "A cross near 1 kHz: a click that rings for some 50 ms.", observing_runs=()
    ),
    GlitchClass("Power_Line", "A narrow patch at 60 Hz, up to a second long, from the mains."),
    GlitchClass("Repeating_Blips", "Several blips of one kind, 0.1 to 1 s apart."),
    GlitchClass(
        "Scattered_Light",
        "Stacked arches of seconds below about 120 Hz: stray light scattered off surfaces that "
        "the microseism moves.",
    ),
    GlitchClass("Scratchy", "A wavering row of many short pulses near 100 to 250 Hz."),
    GlitchClass("Tomte", "A short triangle from 20 to about 150 Hz, like a Blip of low pitch."),
    GlitchClass(
        "Violin_Mode",
        "Columns of short spots at 500 Hz and its multiples, the suspension fibres' resonances.",
    ),
    GlitchClass("Wandering_Line", "Thin lines above 200 Hz that wander, often with harmonics."),
    GlitchClass(
        "Whistle",
        "A thin V, U or arch sweeping through hundreds of hertz: a radio beat note that crosses "
        "the band.",
    ),
)

CLASS_NAMES: tuple[str, ...] = tuple(known.name for known in CLASSES)
SIMULATED: tuple[str, ...] = tuple(known.name for known in CLASSES if known.is_simulated)
CATCH_ALLS: tuple[str, ...] = tuple(known.name for known in CLASSES if known.is_catch_all)


def glitch_class(name: str) -> GlitchClass:
    """Return the class with exactly this name.

    Raises:
        GlitchError: if there is none; the message lists the known names.
    """
    for known in CLASSES:
        if known.name == name:
            return known
    raise GlitchError(f"There is no class '{name}'. Known classes: {', '.join(CLASS_NAMES)}.")
