"""Penalties of the disentangling objectives: pure functions of one batch."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from glitch.model import Posterior
from glitch.types import LatentTensor


def total_correlation(draw: LatentTensor, posterior: Posterior) -> Float[Tensor, ""]:
    """Estimate the KL of the aggregate posterior from the product of its marginals (Chen et al.
    2018).

    In nats. Minibatch-weighted, as in the reference study: the batch of M represents the whole
    data, so ``log q(z) = logsumexp_j log q(z | x_j) - log M``. The size N of the data set would add
    the constant ``(L - 1) log(N / M)``, which has no gradient and is dropped.
    """
    log_density = _pairwise_log_density(draw, posterior)  # (draw i, member j, latent l)
    joint = log_density.sum(dim=2).logsumexp(dim=1)
    product = log_density.logsumexp(dim=1).sum(dim=1)
    n_members, n_latent = posterior.mean.shape
    return (joint - product).mean() + (n_latent - 1) * math.log(n_members)


def _pairwise_log_density(
    draw: LatentTensor, posterior: Posterior
) -> Float[Tensor, "draw member latent"]:
    """Return log N(z_il; mean_jl, variance_jl) of each sample under each member's posterior."""
    mean, log_variance = posterior.mean[None], posterior.log_variance[None]
    squared = (draw[:, None] - mean).square() * torch.exp(-log_variance)
    return -0.5 * (squared + log_variance + math.log(2 * math.pi))


def covariance_of_means(mean: LatentTensor) -> Float[Tensor, "latent latent"]:
    """Return the covariance over the batch of the posterior means, divided by the batch's size."""
    centred = mean - mean.mean(dim=0)
    return centred.T @ centred / mean.shape[0]


def covariance_of_aggregate(posterior: Posterior) -> Float[Tensor, "latent latent"]:
    """Return the covariance of the aggregate posterior: of the means, plus the mean variances."""
    return covariance_of_means(posterior.mean) + torch.diag(
        posterior.log_variance.exp().mean(dim=0)
    )


def distance_from_identity(
    covariance: Float[Tensor, "latent latent"], *, off_diagonal: float, diagonal: float
) -> Float[Tensor, ""]:
    """Return DIP-VAE's penalty (Kumar et al. 2018, equations 6 and 7).

    ``off_diagonal * sum_{i != j} Cov_ij^2 + diagonal * sum_i (Cov_ii - 1)^2``.
    """
    variances = covariance.diagonal()
    covariances = covariance - torch.diag(variances)
    return off_diagonal * covariances.square().sum() + diagonal * (variances - 1).square().sum()


def permute_each_latent(
    draw: LatentTensor, generator: torch.Generator | None = None
) -> LatentTensor:
    """Sample the product of marginals: permute each latent independently over the batch."""
    order = torch.rand(draw.shape, generator=generator).argsort(dim=0)
    return draw.gather(0, order.to(draw.device))
