"""The glitches of the demonstration, and which of them have a label.

The class and number of a glitch determine its detector, GPS time and random stream, so that an
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

KIND = "demo"  # of the job
LABEL_SOURCE = "simulation"
# Two detectors, because a class calibrates novelty in a detector from twelve labels on.
DEMO_IFOS = ("H1", "L1")
# Between the second and the third observing run, so that no real glitch of a run lies among
# them, yet within the range that gwpy's similarity search means by "ALL".
DEMO_GPS_START = 1_190_000_000
DEMO_SPACING_S = 40_000  # between successive glitches of one class
DEMO_MAX_PER_CLASS = 1000  # the last lies before the third observing run began
# Gravity Spy had no such class either until O3 brought so many of them that they were noticed.
HIDDEN_CLASS = "Fast_Scattering"
LEFT_UNLABELLED = 8  # of the other classes one glitch in so many, as newcomers are
PER_CLASS = 32  # enough to judge by, and stored within a minute or two by one worker
_SEED = 20_190_401


@dataclass(frozen=True)
class DemoGlitch:
    """One place in the plan."""

    simulated_as: str
    number: int
    ifo: str
    gps_time: Decimal  # s

    @property
    def name(self) -> str:
        """What the job calls it; the hidden class is not given away."""
        what = "unlabelled" if self.label is None else self.label
        return f"{what} at GPS {self.gps_time}"

    @property
    def label(self) -> str | None:
        """The class that it is labelled with; None where that is for the user to find out."""
        is_newcomer = self.number % LEFT_UNLABELLED == LEFT_UNLABELLED - 1
        return None if is_newcomer or self.simulated_as == HIDDEN_CLASS else self.simulated_as

    @property
    def random(self) -> np.random.Generator:
        """Its own random stream: the same glitch whatever is simulated before it."""
        import numpy as np  # not at the top: the supervisor knows the plan, and starts without

        return np.random.default_rng([_SEED, zlib.crc32(self.simulated_as.encode()), self.number])


def demo_plan(classes: Sequence[str], per_class: int) -> tuple[DemoGlitch, ...]:
    """The places of the first ``per_class`` glitches of each class, number by number.

    A class keeps its times when others join, because its offset is a hash of its name.
    """
    return tuple(
        DemoGlitch(
            simulated_as=name,
            number=number,
            # In pairs, so that what is left unlabelled falls on both detectors.
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
