"""FactorVAE (Kim and Mnih 2018): a discriminator estimates the total correlation."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from glitch.errors import GlitchError
from glitch.types import LatentTensor
from training.core.adam import Adam
from training.core.objectives.outcome import Outcome
from training.core.objectives.penalties import permute_each_latent

HIDDEN_WIDTH, HIDDEN_LAYERS, LEAK = 1000, 6, 0.2
LEARNING_RATE, MOMENTS = 1e-4, (0.5, 0.9)
AGGREGATE, PERMUTED = 0, 1  # the classes of the discriminator


@dataclass(frozen=True)
class FactorVAE:
    """R + K + gamma TC, with TC estimated by a discriminator that the training loop maintains.

    The outcome must have ``total_correlation``: the mean of ``d_0 - d_1`` over the batch's samples.
    """

    gamma: float = 10.0

    def __post_init__(self) -> None:
        if not self.gamma >= 0:
            raise GlitchError(f"gamma must not be negative, but is {self.gamma}.")

    def loss(self, outcome: Outcome, step: int) -> Float[Tensor, ""]:
        """Return the batch's loss in nats, averaged over its members."""
        if outcome.total_correlation is None:
            raise GlitchError("FactorVAE needs a discriminator: train it with the training loop.")
        negative_elbo = (outcome.distortion + outcome.rate).mean()
        return negative_elbo + self.weights(step)["gamma"] * outcome.total_correlation

    def weights(self, step: int) -> dict[str, float]:  # noqa: ARG002 - the interface has a step
        """Return the constant gamma."""
        return {"gamma": self.gamma}


class Discriminator(nn.Module):
    """Classifies samples of the aggregate posterior against samples of the product of its
    marginals.

    Six leaky-ReLU layers of 1000 units and two logits, with an Adam of its own (Kim and Mnih 2018,
    appendix A, and the reference study).
    """

    def __init__(self, n_latent: int) -> None:
        super().__init__()
        self.model = nn.Sequential()
        widths = (n_latent, *[HIDDEN_WIDTH] * HIDDEN_LAYERS)
        for n_in, n_out in pairwise(widths):
            self.model.append(nn.Linear(n_in, n_out)).append(nn.LeakyReLU(LEAK))
        self.model.append(nn.Linear(HIDDEN_WIDTH, 2))
        self.optimiser = Adam(self.parameters(), lr=LEARNING_RATE, betas=MOMENTS, fused=True)

    def log_ratio(self, draw: LatentTensor) -> Float[Tensor, " batch"]:
        """Return ``d_0 - d_1``: the estimated log density ratio of each sample, nats.

        Its gradient reaches only the sample: this network's weights are trained by :meth:`learn`.
        """
        self.requires_grad_(False)
        logits: Tensor = self.model(draw)  # (B, 2)
        self.requires_grad_(True)
        return logits[:, AGGREGATE] - logits[:, PERMUTED]

    def learn(self, draw: LatentTensor, generator: torch.Generator) -> float:
        """Update once on a batch of samples and the same batch with each latent permuted.

        The samples are detached here: the discriminator's own loss must not reach the encoder.

        Returns:
            The cross-entropy before the update, nats; log 2 means that the two cannot be
            distinguished.
        """
        draw = draw.detach()
        permuted = permute_each_latent(draw, generator)
        logits = self.model(torch.cat([draw, permuted]))
        classes = torch.full((logits.shape[0],), AGGREGATE, device=draw.device)
        classes[draw.shape[0] :] = PERMUTED
        loss = cross_entropy(logits, classes)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        return loss.item()
