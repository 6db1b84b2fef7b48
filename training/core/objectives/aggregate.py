"""Objectives that shape the aggregate posterior: beta-TCVAE, DIP-VAE-I and DIP-VAE-II."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from glitch.errors import GlitchError
from training.core.objectives.outcome import Outcome
from training.core.objectives.penalties import (
    covariance_of_aggregate,
    covariance_of_means,
    distance_from_identity,
    total_correlation,
)


@dataclass(frozen=True)
class BetaTCVAE:
    """R + K + (beta - 1) TC (Chen et al. 2018); beta = 1 is the negative ELBO.

    TC is the minibatch-weighted estimate, without its constant in the size of the data set.
    """

    beta: float = 4.0

    def __post_init__(self) -> None:
        if not self.beta >= 0:
            raise GlitchError(f"beta must not be negative, but is {self.beta}.")

    def loss(self, outcome: Outcome, step: int) -> Float[Tensor, ""]:
        """Return the batch's loss in nats, averaged over its members."""
        correlation = total_correlation(outcome.draw, outcome.posterior)
        negative_elbo = (outcome.distortion + outcome.rate).mean()
        return negative_elbo + (self.weights(step)["beta"] - 1) * correlation

    def weights(self, step: int) -> dict[str, float]:  # noqa: ARG002 - the interface has a step
        """Return the constant beta."""
        return {"beta": self.beta}


@dataclass(frozen=True)
class DipVAEOne:
    """R + K + DIP-I: a penalty on the covariance of the means minus the identity (Kumar et al.
    2018).

    The weight of the diagonal is ten times that of the off-diagonal, as in the reference study.
    """

    off_diagonal: float = 5.0

    def __post_init__(self) -> None:
        if not self.off_diagonal >= 0:
            raise GlitchError(f"off_diagonal must not be negative, but is {self.off_diagonal}.")

    def loss(self, outcome: Outcome, step: int) -> Float[Tensor, ""]:
        """Return the batch's loss in nats, averaged over its members."""
        penalty = distance_from_identity(
            covariance_of_means(outcome.posterior.mean), **self.weights(step)
        )
        return (outcome.distortion + outcome.rate).mean() + penalty

    def weights(self, step: int) -> dict[str, float]:  # noqa: ARG002 - the interface has a step
        """Return both constant weights."""
        return {"off_diagonal": self.off_diagonal, "diagonal": 10 * self.off_diagonal}


@dataclass(frozen=True)
class DipVAETwo:
    """R + K + DIP-II: a penalty on the covariance of the aggregate posterior minus the identity."""

    off_diagonal: float = 5.0

    def __post_init__(self) -> None:
        if not self.off_diagonal >= 0:
            raise GlitchError(f"off_diagonal must not be negative, but is {self.off_diagonal}.")

    def loss(self, outcome: Outcome, step: int) -> Float[Tensor, ""]:
        """Return the batch's loss in nats, averaged over its members."""
        penalty = distance_from_identity(
            covariance_of_aggregate(outcome.posterior), **self.weights(step)
        )
        return (outcome.distortion + outcome.rate).mean() + penalty

    def weights(self, step: int) -> dict[str, float]:  # noqa: ARG002 - the interface has a step
        """Return both constant weights."""
        return {"off_diagonal": self.off_diagonal, "diagonal": self.off_diagonal}
