"""Another size of a reproduction than its tier's: how long each training is, and how often done."""

from __future__ import annotations

from dataclasses import dataclass

from glitch.errors import GlitchError


@dataclass(frozen=True)
class Budget:
    """A tier's steps and seeds, where they are not its own.

    Raises:
        GlitchError: if either is impossible.
    """

    steps: int | None = None  # of each training; schedules in proportion
    seeds: int | None = None  # 0 to this, of every run

    def __post_init__(self) -> None:
        for name, value in (("steps", self.steps), ("seeds", self.seeds)):
            if value is not None and value < 1:
                raise GlitchError(f"{name} must be at least 1, but is {value}.")
