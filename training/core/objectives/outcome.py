"""The interface of objectives: the loss as a function of a batch's outcome and the step.

An objective keeps no state: the outcome also has the posterior and the sample, for objectives that
need more than distortion and rate.
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
    """One batch, encoded, sampled and decoded."""

    distortion: Float[Tensor, " batch"]  # nats, summed over observed pixels
    posterior: Posterior
    draw: LatentTensor  # the decoder's input
    total_correlation: Float[Tensor, ""] | None = None  # a discriminator's estimate, nats
    guidance: Float[Tensor, ""] | None = None  # added by a task to the loss of any objective, nats

    @property
    def rate(self) -> Float[Tensor, " batch"]:
        """KL of each member's posterior from the prior, nats, summed over latents."""
        return kl_to_standard_normal(self.posterior).sum(dim=1)


class Objective(Protocol):
    """A loss to minimise, and its scheduled weights at a step (for the log)."""

    def loss(self, outcome: Outcome, step: int) -> Float[Tensor, ""]:
        """Return the batch's loss in nats, averaged over its members."""

    def weights(self, step: int) -> dict[str, float]:
        """Return the scheduled weights at a step, by name."""
