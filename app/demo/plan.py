"""The glitches of the demonstration, and which of them have a label.

Detector, GPS time and random stream of a glitch follow from its class and number, so that an
interrupted load continues with the same glitches.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

KIND = "demo"  # of the job (the API's ``kind``)
LABEL_SOURCE = "simulation"
# Two detectors, because a class calibrates novelty in a detector only from twelve labels on.
DEMO_IFOS = ("H1", "L1")
# Between the second and third observing runs, so that no real glitch of a run is among them, but
# within the range that gwpy's similarity search calls "ALL".
DEMO_GPS_START = 1_190_000_000
DEMO_SPACING_S = 40_000  # between successive glitches of one class
DEMO_MAX_PER_CLASS = 1000  # with this many, the last is still before the third observing run
# Gravity Spy added this class only when it became frequent in O3, so it suits as unknown.
HIDDEN_CLASS = "Fast_Scattering"
LEFT_UNLABELLED = 8  # one in this many of the other classes, like new glitches
PER_CLASS = 32  # enough to judge novelty; one worker stores them in a minute or two
_SEED = 20_190_401


@dataclass(frozen=True)
class DemoGlitch:
    """One glitch of the plan."""

    simulated_as: str
    number: int
    ifo: str
    gps_time: Decimal  # s

    @property
    def name(self) -> str:
        """Name of the item in the job; it does not reveal the hidden class."""
        what = "unlabelled" if self.label is None else self.label
        return f"{what} at GPS {self.gps_time}"

    @property
    def label(self) -> str | None:
        """Class with which it is labelled; None if it is left for the user to find."""
        is_newcomer = self.number % LEFT_UNLABELLED == LEFT_UNLABELLED - 1
        return None if is_newcomer or self.simulated_as == HIDDEN_CLASS else self.simulated_as

    @property
    def random(self) -> np.random.Generator:
        """Random stream of this glitch, independent of other simulated glitches."""
        # not at the top, because the supervisor imports this module and must start quickly
        import numpy as np

        return np.random.default_rng([_SEED, zlib.crc32(self.simulated_as.encode()), self.number])


def demo_plan(classes: Sequence[str], per_class: int) -> tuple[DemoGlitch, ...]:
    """Return the first ``per_class`` glitches of each class, ordered by number.

    Adding classes does not change the times of the others, because a class's offset is a hash of
    its name.
    """
    return tuple(
        DemoGlitch(
            simulated_as=name,
            number=number,
            # Alternates after each unlabelled glitch, so that both detectors have some of them.
            ifo=DEMO_IFOS[(number + number // LEFT_UNLABELLED) % len(DEMO_IFOS)],
            gps_time=Decimal(
                DEMO_GPS_START
                + number * DEMO_SPACING_S
                + zlib.crc32(name.encode()) % DEMO_SPACING_S
            ),
        )
        for number in range(min(per_class, DEMO_MAX_PER_CLASS))
        for name in classes
    )
