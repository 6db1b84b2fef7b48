"""Changes to the size of a reproduction tier, and the device it trains on."""

from __future__ import annotations

from dataclasses import dataclass

from glitch.errors import GlitchError
from training.core.devices import device_named


@dataclass(frozen=True)
class Budget:
    """Steps, seeds and device that replace those of a tier.

    Raises:
        GlitchError: if one of them is impossible.
    """

    steps: int | None = None  # of each run; schedules are scaled in proportion
    seeds: int | None = None  # number of seeds of every run
    device: str = "cpu"  # of all runs

    def __post_init__(self) -> None:
        for name, value in (("steps", self.steps), ("seeds", self.seeds)):
            if value is not None and value < 1:
                raise GlitchError(f"{name} must be at least 1, but is {value}.")
        device_named(self.device)
