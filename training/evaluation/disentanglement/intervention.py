"""The two metrics that keep one factor fixed: BetaVAE (Higgins 2017), FactorVAE (Kim 2018)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64
from sklearn.linear_model import LogisticRegression

from training.evaluation.disentanglement.grid import EncodedGrid

PAIRS_PER_POINT = 64
INACTIVE_STANDARD_DEVIATION = 0.05  # latents that vary less over the whole grid do not vote


def beta_vae_score(
    grid: EncodedGrid, rng: np.random.Generator, *, n_train: int = 10_000, n_test: int = 5_000
) -> float:
    """Return the accuracy of predicting the fixed factor from mean absolute code differences.

    In [0, 1]. Each point is the mean of abs(z1 - z2) over 64 pairs that share one factor's value
    (Higgins et al. 2017, section 3).
    """
    train_points, train_factors = _difference_points(grid, rng, n_train)
    test_points, test_factors = _difference_points(grid, rng, n_test)
    classifier = LogisticRegression(max_iter=1000).fit(train_points, train_factors)
    return float(classifier.score(test_points, test_factors))


def _difference_points(
    grid: EncodedGrid, rng: np.random.Generator, n_points: int
) -> tuple[Float64[np.ndarray, "point latent"], Int64[np.ndarray, " point"]]:
    fixed = rng.integers(len(grid.factor_sizes), size=n_points)
    points = np.empty((n_points, grid.n_latent))
    for chunk in np.array_split(np.arange(n_points), max(1, n_points // 1000)):
        n_pairs = chunk.size * PAIRS_PER_POINT
        first, second = grid.draw_factors(n_pairs, rng), grid.draw_factors(n_pairs, rng)
        shared = np.repeat(fixed[chunk], PAIRS_PER_POINT)
        rows = np.arange(n_pairs)
        second[rows, shared] = first[rows, shared]
        differences = np.abs(grid.codes(first) - grid.codes(second))
        points[chunk] = differences.reshape(chunk.size, PAIRS_PER_POINT, -1).mean(axis=1)
    return points, fixed


@dataclass(frozen=True)
class FactorVaeScore:
    """Accuracy in [0, 1] of the majority vote, and the number of latents that could vote."""

    accuracy: float
    n_active_latents: int


def factor_vae_score(
    grid: EncodedGrid,
    rng: np.random.Generator,
    *,
    n_train: int = 10_000,
    n_test: int = 5_000,
    n_variance: int = 10_000,
) -> FactorVaeScore:
    """Return the majority-vote accuracy of the least varying latent (Kim and Mnih 2018, section 4).

    A vote is the argmin over active latents of local over global variance (ddof 1) in a batch of 64
    that shares one factor's value. Without active latents the score is zero.
    """
    _, codes = grid.draw(n_variance, rng)
    variance = codes.astype(np.float64).var(axis=0, ddof=1)
    is_active = np.sqrt(variance) >= INACTIVE_STANDARD_DEVIATION
    if not is_active.any():
        return FactorVaeScore(0.0, 0)
    train = _votes(grid, rng, n_train, variance, is_active)
    test = _votes(grid, rng, n_test, variance, is_active)
    named_factor = train.argmax(axis=0)  # (latent,): the factor with most votes of each latent
    right = test[named_factor, np.arange(test.shape[1])].sum()
    return FactorVaeScore(float(right / n_test), int(is_active.sum()))


def _votes(
    grid: EncodedGrid,
    rng: np.random.Generator,
    n_votes: int,
    variance: Float64[np.ndarray, " latent"],
    is_active: np.ndarray,
) -> Int64[np.ndarray, "factor active"]:
    votes = np.zeros((len(grid.factor_sizes), int(is_active.sum())), dtype=np.int64)
    fixed = rng.integers(len(grid.factor_sizes), size=n_votes)
    for chunk in np.array_split(fixed, max(1, n_votes // 1000)):
        factors = grid.draw_factors(chunk.size * PAIRS_PER_POINT, rng)
        batches = factors.reshape(chunk.size, PAIRS_PER_POINT, -1)
        points = np.arange(chunk.size)
        batches[points, :, chunk] = batches[points, 0, chunk][:, None]
        codes = grid.codes(factors).reshape(chunk.size, PAIRS_PER_POINT, -1)
        local = codes.astype(np.float64).var(axis=1, ddof=1)
        winners = (local[:, is_active] / variance[is_active]).argmin(axis=1)
        np.add.at(votes, (chunk, winners), 1)
    return votes
