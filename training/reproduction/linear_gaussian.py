"""A VAE with exactly known optimal rate and distortion: linear, Gaussian, with k latents.

The data are Gaussian with covariance eigenvalues ``l_i``; the decoder is linear with fixed noise
variance ``v``. The optimal weights at a given beta are found by waterfilling (Cover and Thomas
2006, section 10.3): a direction uses a latent if ``l_i > beta v``, and then has an error of ``beta
v``. The k largest directions are used, so that the capacity is finite. In nats

    R(beta) = sum_{i <= k} max(0, log(l_i / (beta v)) / 2)
    D(beta) = (sum_{i <= k} min(l_i, beta v) + sum_{i > k} l_i) / (2 v) + d log(2 pi v) / 2

and ``dD/dR = -beta``, the slope of the rate-distortion curve.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from glitch.errors import GlitchError
from training.core.adam import Adam


@dataclass(frozen=True)
class LinearCase:
    """Data and model of the check."""

    eigenvalues: tuple[float, ...] = (9.0, 4.0, 2.0, 1.0, 0.5, 0.2)
    n_latent: int = 4
    variance: float = 0.25

    def __post_init__(self) -> None:
        if min(self.eigenvalues) <= 0 or self.variance <= 0:
            raise GlitchError("Eigenvalues and the noise variance must be positive.")
        if not 1 <= self.n_latent <= len(self.eigenvalues):
            raise GlitchError("There must be between one latent and as many as directions.")


@dataclass(frozen=True)
class Point:
    """Rate and distortion, nats."""

    rate: float
    distortion: float


def best_of_beta(case: LinearCase, beta: float) -> Point:
    """Return the minimum of ``D + beta R`` over linear encoders and decoders; beta is positive."""
    spectrum = np.sort(np.asarray(case.eigenvalues))[::-1]
    used, unused = spectrum[: case.n_latent], spectrum[case.n_latent :]
    level = beta * case.variance
    rate = 0.5 * np.log(np.maximum(used / level, 1.0)).sum()
    error = np.minimum(used, level).sum() + unused.sum()
    constant = 0.5 * len(spectrum) * math.log(2 * math.pi * case.variance)
    return Point(float(rate), float(error / (2 * case.variance) + constant))


def best_of_capacity(case: LinearCase, capacity: float, gamma: float) -> Point:
    """Return the minimum of ``D + gamma |R - C|``.

    Below ``C`` more rate lowers both terms. Above it a nat costs gamma and saves the slope of the
    curve, so the optimum is at ``C`` only if the slope there is at most gamma; otherwise it is that
    of the beta-VAE with ``beta = gamma``, independent of ``C``.
    """
    free = best_of_beta(case, gamma) if gamma > 0 else Point(math.inf, -math.inf)
    if free.rate >= capacity:
        return free
    low, high = 1e-12, max(case.eigenvalues) / case.variance  # rate is infinite, then zero
    for _ in range(200):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if best_of_beta(case, middle).rate > capacity else (low, middle)
    return best_of_beta(case, math.sqrt(low * high))


class LinearVAE:
    """The same model with free weights, trained by gradients on exact expectations."""

    def __init__(self, case: LinearCase, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        d, k = len(case.eigenvalues), case.n_latent
        turn, _ = torch.linalg.qr(torch.randn(d, d, generator=generator, dtype=torch.float64))
        spectrum = torch.tensor(case.eigenvalues, dtype=torch.float64)
        self.covariance = turn @ torch.diag(spectrum) @ turn.T
        self.variance = case.variance
        self.encoder = 0.1 * torch.randn(k, d, generator=generator, dtype=torch.float64)
        self.decoder = 0.1 * torch.randn(d, k, generator=generator, dtype=torch.float64)
        self.log_variance = torch.zeros(k, dtype=torch.float64)
        for weight in (self.encoder, self.decoder, self.log_variance):
            weight.requires_grad_()

    def rate_and_distortion(self) -> tuple[Tensor, Tensor]:
        """Compute both in nats, exact for Gaussian data."""
        d, k = self.decoder.shape
        spread = self.log_variance.exp()
        means = self.encoder @ self.covariance @ self.encoder.T
        rate = 0.5 * (means.trace() + spread.sum() - self.log_variance.sum() - k)
        residual = torch.eye(d, dtype=torch.float64) - self.decoder @ self.encoder
        error = (residual @ self.covariance @ residual.T).trace()
        error = error + (self.decoder.square() * spread).sum()
        constant = 0.5 * d * math.log(2 * math.pi * self.variance)
        return rate, error / (2 * self.variance) + constant

    def train(
        self,
        *,
        beta: float | None = None,
        capacity: float = 0.0,
        gamma: float = 0.0,
        n_steps: int = 2_000,
    ) -> Point:
        """Train with Adam from the current weights; the learning rate falls to zero."""
        optimiser = Adam([self.encoder, self.decoder, self.log_variance], lr=0.02)
        for step in range(n_steps):
            optimiser.param_groups[0]["lr"] = 0.02 * (1 - step / n_steps) ** 2
            rate, distortion = self.rate_and_distortion()
            excess = gamma * (rate - capacity).abs() if beta is None else beta * rate
            optimiser.zero_grad(set_to_none=True)
            (distortion + excess).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        with torch.no_grad():
            rate, distortion = self.rate_and_distortion()
        return Point(rate.item(), distortion.item())


def is_ordered(points: Sequence[Point], *, is_strict: bool, tolerance: float = 0.0) -> bool:
    """Whether rate rises and distortion falls from each point to the next.

    Args:
        points: in the order of rising rate, according to the lemma.
        is_strict: equal neighbours count as a violation.
        tolerance: nats by which a neighbour may violate the order.
    """
    steps = [
        (later.rate - earlier.rate, earlier.distortion - later.distortion)
        for earlier, later in pairwise(points)
    ]
    if is_strict:
        return all(min(step) > tolerance for step in steps)
    return all(min(step) >= -tolerance for step in steps)
