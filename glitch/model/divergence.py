"""The diagonal Gaussian posterior: samples, and the KL divergence from the prior."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from glitch.types import LatentTensor

# Outside this range a variance is numerically zero, or overflows in half precision.
LOWEST_LOG_VARIANCE, HIGHEST_LOG_VARIANCE = -12.0, 6.0


class Posterior(NamedTuple):
    """q(z | x) of a batch: independent Gaussians. The mean is the published representation."""

    mean: LatentTensor
    log_variance: LatentTensor


def kl_to_standard_normal(posterior: Posterior) -> Float[Tensor, "batch latent"]:
    """Compute KL(q(z | x) || N(0, 1)) of each latent in nats; the sum over latents is the rate."""
    mean, log_variance = posterior
    return 0.5 * (mean.square() + log_variance.exp() - 1.0 - log_variance)


def sample_posterior(posterior: Posterior, generator: torch.Generator) -> LatentTensor:
    """Draw one reparametrised sample for each member of the batch (Kingma and Welling 2013).

    Random numbers are drawn on the generator's device: a CPU generator gives the same samples on
    every device.
    """
    mean, log_variance = posterior
    noise = torch.randn(
        mean.shape, generator=generator, dtype=mean.dtype, device=generator.device
    ).to(mean.device)
    return mean + (0.5 * log_variance).exp() * noise
