"""Unusual catalogues: which glitches are tested, and that nothing fails."""

from __future__ import annotations

import numpy as np
import pytest

from glitch.clustering.dormancy import recurrences_in
from glitch.novelty.common_masks import score_pool
from glitch.novelty.pool import UNLABELLED, Pool, judge_pool


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(12)


START = 1_240_000_000.0
LATENT = 8


def catalogue(
    rng: np.random.Generator, classes: np.ndarray, times: np.ndarray, spread: float = 0.3
) -> Pool:
    """Draw glitches around one direction for each class; unlabelled ones around that of class 0.

    ``spread`` is their standard deviation around it.
    """
    centres = 3.0 * np.eye(LATENT)[np.maximum(classes, 0) % LATENT]
    labelled = classes != UNLABELLED
    scale = np.where(labelled, 0.3, spread)[:, None]
    means = (centres + scale * rng.normal(size=centres.shape)).astype(np.float32)
    counts = np.bincount(classes[labelled], minlength=int(classes.max(initial=0)) + 1)
    return score_pool(
        means,
        times,
        classes=classes,
        is_reference=labelled,
        is_established=labelled & (counts[classes] >= 12),
        conditions=np.zeros(len(classes), dtype=np.int64),
    )


def apart(n: int) -> np.ndarray:
    return START + 3600.0 * np.arange(n)


def known(*more: int, n_open: int = 20) -> np.ndarray:
    return np.array([0] * 100 + [1] * 100 + list(more) + [UNLABELLED] * n_open)


@pytest.mark.parametrize("what", ["one example", "no times", "the future"])
def test_the_unlabelled_are_judged_all_the_same(what: str, rng: np.random.Generator) -> None:
    classes = known(2) if what == "one example" else known()
    times = apart(len(classes))
    if what == "no times":
        times[classes != UNLABELLED] = np.nan
    if what == "the future":
        times[classes == UNLABELLED] += 1e10  # more than three centuries later
    pool = catalogue(rng, classes, times)
    found = judge_pool(pool)
    assert np.isfinite(found.p_values).all()
    assert found.p_values.min() > 0.01
    assert not recurrences_in(pool, found.predicted, found.is_sure, 60, 5)


def test_without_a_reference_nothing_is_judged_and_nothing_breaks(rng: np.random.Generator) -> None:
    found = judge_pool(catalogue(rng, np.full(30, UNLABELLED), apart(30)))
    assert not np.isfinite(found.p_values).any()
    assert len(judge_pool(catalogue(rng, np.empty(0, dtype=np.int64), apart(0))).places) == 0


def test_a_burst_of_very_many_counts_once(rng: np.random.Generator) -> None:
    """This takes seconds, and memory does not grow with the square of the number of glitches.

    100,000 glitches take five times as long.
    """
    classes = known(n_open=20_000)
    times = apart(len(classes))
    times[classes == UNLABELLED] = START + 1e7 + 60 * rng.random(20_000)
    found = judge_pool(catalogue(rng, classes, times, spread=0.02))
    assert found.weights.sum() == pytest.approx(1, rel=0.01)
    assert len(np.unique(found.p_values)) == 1
