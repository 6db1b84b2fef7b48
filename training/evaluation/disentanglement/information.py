"""Metrics of mutual information: MIG (Chen 2018), Modularity (Ridgeway 2018)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int

from training.evaluation.disentanglement.grid import Codes, EncodedGrid, Factors

HISTOGRAM_BINS = 20


def mutual_information_gap(
    grid: EncodedGrid, rng: np.random.Generator, *, n_points: int = 10_000
) -> float:
    """Return the mean over factors of (I_1 - I_2) / H, in [0, 1] (Chen et al. 2018, equation 6).

    A rotational symmetry keeps it under 1: a square repeats every 90 degrees. Factors of one value
    have no information and are left out; with a single latent, I_2 is zero.
    """
    factors, codes = grid.draw(n_points, rng)
    information = np.sort(information_matrix(factors, codes), axis=0)[::-1]
    entropy = np.array([_entropy(np.bincount(column)) for column in factors.T])
    varies = grid.varying_factors
    second = information[1] if grid.n_latent > 1 else np.zeros_like(entropy)
    return float(np.mean(((information[0] - second)[varies]) / entropy[varies]))


@dataclass(frozen=True)
class ModularityScore:
    """Mean over all latents (the reference), and over those that carry information.

    The reference counts a dead latent's noise as modular; the second number does not.
    """

    all_latents: float
    active_latents: float
    n_active_latents: int


def modularity(
    grid: EncodedGrid, rng: np.random.Generator, *, n_points: int = 10_000
) -> ModularityScore:
    """Measure how far each latent informs on one factor only (Ridgeway and Mozer 2018, eq. 1).

    In [0, 1]. A latent is active from a standard deviation of 0.05 over the sampled points.
    """
    factors, codes = grid.draw(n_points, rng)
    squared = information_matrix(factors, codes) ** 2  # (latent, factor)
    largest = squared.max(axis=1)
    rest = (squared.sum(axis=1) - largest) / (squared.shape[1] - 1)
    per_latent = np.where(largest > 0, 1 - rest / np.where(largest > 0, largest, 1), 0.0)
    is_active = codes.std(axis=0) >= 0.05
    return ModularityScore(
        float(per_latent.mean()),
        float(per_latent[is_active].mean()) if is_active.any() else 0.0,
        int(is_active.sum()),
    )


def information_matrix(factors: Factors, codes: Codes) -> Float64[np.ndarray, "latent factor"]:
    """Compute the mutual information in nats of each latent, in 20 bins, with each factor.

    Equal to scikit-learn's ``mutual_info_score`` without its input checks, which take ten times as
    long as the sums.
    """
    bins = np.stack(
        [np.digitize(c, np.histogram(c, HISTOGRAM_BINS)[1][:-1]) for c in codes.T], axis=1
    )
    return np.array(
        [[_mutual_information(latent, factor) for factor in factors.T] for latent in bins.T]
    )


def _mutual_information(one: Int[np.ndarray, " point"], other: Int[np.ndarray, " point"]) -> float:
    """Return the mutual information in nats of two variables with values from 0 up."""
    n_values = int(other.max()) + 1
    joint = np.bincount(one * n_values + other, minlength=(int(one.max()) + 1) * n_values)
    table = joint.reshape(-1, n_values)
    information = _entropy(table.sum(axis=1)) + _entropy(table.sum(axis=0)) - _entropy(joint)
    return max(0.0, information)


def _entropy(counts: Int[np.ndarray, " value"]) -> float:
    """Return the entropy in nats of a variable with these counts of values."""
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())
