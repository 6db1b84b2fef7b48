"""The objective that moves the rate towards a growing capacity (Burgess et al. 2018)."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from glitch.errors import GlitchError
from training.core.objectives.outcome import Outcome
from training.core.schedules import growing_capacity


@dataclass(frozen=True)
class Bottleneck:
    """R + gamma |K - C_t| with C_t rising linearly from 0 to C nats; gamma as in the reference
    grid.

    The absolute value is of the batch's mean rate, so single members may differ from C_t.
    """

    capacity: float = 25.0
    gamma: float = 1000.0
    growth_steps: int = 100_000

    def __post_init__(self) -> None:
        if not self.capacity >= 0:
            raise GlitchError(f"capacity must not be negative, but is {self.capacity}.")
        if not self.gamma >= 0:
            raise GlitchError(f"gamma must not be negative, but is {self.gamma}.")
        if self.growth_steps < 1:
            raise GlitchError(f"growth_steps must be positive, but is {self.growth_steps}.")

    def loss(self, outcome: Outcome, step: int) -> Float[Tensor, ""]:
        """Return the batch's loss in nats, averaged over its members."""
        excess = outcome.rate.mean() - self.weights(step)["capacity"]
        return outcome.distortion.mean() + self.gamma * excess.abs()

    def weights(self, step: int) -> dict[str, float]:
        """Return the capacity at this step, nats."""
        capacity = growing_capacity(step, capacity=self.capacity, growth_steps=self.growth_steps)
        return {"capacity": capacity}
