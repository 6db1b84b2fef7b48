"""The interface: an objective sees what the model made of one batch and the step, gives the loss.

An objective keeps no state: those that need more than distortion and rate find the posterior and
the draw in the outcome.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from jaxtyping import Float
from torch import Tensor

from glitch.model import Posterior, kl_to_standard_normal
from glitch.types import LatentTensor


@dataclass(frozen=True, eq=False)
class Outcome:
    """One batch, encoded, drawn from and decoded."""

    distortion: Float[Tensor, " batch"]  # nats, summed over observed pixels
    posterior: Posterior
    draw: LatentTensor  # what the decoder was given
    total_correlation: Float[Tensor, ""] | None = None  # a discriminator's estimate, nats
    guidance: Float[Tensor, ""] | None = None  # what a task adds to any objective's loss, nats

    @property
    def rate(self) -> Float[Tensor, " batch"]:
        """KL of each member's posterior from the prior, nats, summed over latents."""
        return kl_to_standard_normal(self.posterior).sum(dim=1)


class Objective(Protocol):
    """A loss to minimise, and the weights that its schedule holds at a step (for the log)."""

    def loss(self, outcome: Outcome, step: int) -> Float[Tensor, ""]:
        """The batch's loss in nats, averaged over its members."""

    def weights(self, step: int) -> dict[str, float]:
        """The scheduled weights in force at that step, by name."""
