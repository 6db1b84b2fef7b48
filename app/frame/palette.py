"""One colour for each class, the same on every page, in both schemes and on the map.

The thirty-six colours were chosen from the sRGB cube. Each maximises the distance to all previous
ones in the least favourable of four cases: normal vision, and protanopia, deuteranopia and
tritanopia as simulated by Machado, Oliveira and Fernandes (2009, IEEE TVCG 15, 1291). Distances are
Euclidean in Oklab. All have a contrast of 2.2 or more with the light and the dark panel. This many
colours cannot all be distinguished, so the name always accompanies the colour.
"""

from hashlib import blake2b

UNLABELLED_COLOUR = "#838d97"  # the muted grey of both schemes, for glitches without label

# In the order in which they were chosen: earlier colours are easier to distinguish.
_COLOURS: tuple[str, ...] = (
    *("#0070d8", "#980088", "#e080f8", "#006000", "#00c058", "#d06000"),
    *("#b80020", "#6038b0", "#a058a8", "#f09000", "#a890c8", "#784060"),
    *("#60a070", "#487850", "#f858a8", "#9078f8", "#b05860", "#c02080"),
    *("#a08048", "#3048d0", "#c068d0", "#489000", "#d08888", "#7858c0"),
    *("#78a0e8", "#785888", "#a80058", "#884008", "#98b028", "#986038"),
    *("#485098", "#4890b0", "#d058a0", "#b09010", "#a04068", "#7860f0"),
)
# Every fourth colour and the last three are reserved for classes named by reviewers. A new class
# must differ clearly from the common classes of Gravity Spy, and keep its colour.
_RESERVED = _COLOURS[4:33:4] + _COLOURS[33:]
_GRAVITY_SPY_COLOURS = tuple(colour for colour in _COLOURS if colour not in _RESERVED)
# Most frequent in the O3 releases first, because these are most often seen together on the map.
_BY_FREQUENCY: tuple[str, ...] = (
    *("Scattered_Light", "Fast_Scattering", "Tomte", "Blip", "Koi_Fish"),
    *("Low_Frequency_Burst", "Extremely_Loud", "Whistle", "Low_Frequency_Lines"),
    *("Blip_Low_Frequency", "Scratchy", "Power_Line", "Repeating_Blips", "No_Glitch"),
    *("Violin_Mode", "Light_Modulation", "1080Lines", "1400Ripples", "Wandering_Line"),
    *("Air_Compressor", "Paired_Doves", "Helix", "Chirp", "None_of_the_Above"),
    "High_Frequency_Burst",
)
_COLOUR_OF = dict(zip(_BY_FREQUENCY, _GRAVITY_SPY_COLOURS, strict=True))
# Proposed classes that no release uses; they share colours with the rarest ones.
_COLOUR_OF |= {"Pizzicato": _COLOUR_OF["Helix"], "70Hz_Line": _COLOUR_OF["Chirp"]}


def class_colour(name: str) -> str:
    """Return the colour of a class, as ``#rrggbb``.

    Each class of Gravity Spy has its own colour. For other classes the name determines one of
    eleven further colours, so it never changes, but two such classes may share one.

    An empty name stands for no label.
    """
    if not name:
        return UNLABELLED_COLOUR
    if name in _COLOUR_OF:
        return _COLOUR_OF[name]
    digest = blake2b(name.encode(), digest_size=8).digest()
    return _RESERVED[int.from_bytes(digest, "big") % len(_RESERVED)]
