"""Changes to the size of a reproduction tier, and the device of its trainings."""

from __future__ import annotations

from dataclasses import dataclass

from glitch.errors import GlitchError
from training.core.devices import device_named


@dataclass(frozen=True)
class Budget:
    """A tier's steps, seeds and device, where they are not its own.

    Raises:
        GlitchError: if one of them is impossible.
    """

    steps: int | None = None  # of each training; schedules in proportion
    seeds: int | None = None  # 0 to this, of every run
    device: str = "cpu"  # of all trainings

    def __post_init__(self) -> None:
        for name, value in (("steps", self.steps), ("seeds", self.seeds)):
            if value is not None and value < 1:
                raise GlitchError(f"{name} must be at least 1, but is {value}.")
        device_named(self.device)
