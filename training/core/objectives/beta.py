"""Objectives that weight the rate: beta-VAE, and beta-Annealed (the project's default)."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from glitch.errors import GlitchError
from training.core.objectives.outcome import Outcome
from training.core.schedules import annealed_beta


@dataclass(frozen=True)
class BetaVAE:
    """R + beta K (Higgins et al. 2017); beta = 1 is the negative ELBO."""

    beta: float = 1.0

    def __post_init__(self) -> None:
        if not self.beta >= 0:
            raise GlitchError(f"beta must not be negative, but is {self.beta}.")

    def loss(self, outcome: Outcome, step: int) -> Float[Tensor, ""]:
        """Return the batch's loss in nats, averaged over its members."""
        return (outcome.distortion + self.weights(step)["beta"] * outcome.rate).mean()

    def weights(self, step: int) -> dict[str, float]:  # noqa: ARG002 - the interface has a step
        """Return the constant beta."""
        return {"beta": self.beta}


@dataclass(frozen=True)
class BetaAnnealed:
    """R + beta_t K with beta_t falling linearly from beta_0 to 1 (the project's default)."""

    beta_start: float = 10.0
    annealing_steps: int = 100_000

    def __post_init__(self) -> None:
        if not self.beta_start >= 1:
            raise GlitchError(f"beta_start must be at least 1, but is {self.beta_start}.")
        if self.annealing_steps < 1:
            raise GlitchError(f"annealing_steps must be positive, but is {self.annealing_steps}.")

    def loss(self, outcome: Outcome, step: int) -> Float[Tensor, ""]:
        """Return the batch's loss in nats, averaged over its members."""
        return (outcome.distortion + self.weights(step)["beta"] * outcome.rate).mean()

    def weights(self, step: int) -> dict[str, float]:
        """Return the annealed beta."""
        beta = annealed_beta(step, beta_start=self.beta_start, annealing_steps=self.annealing_steps)
        return {"beta": beta}
