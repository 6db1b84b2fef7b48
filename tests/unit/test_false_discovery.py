"""Benjamini-Hochberg against SciPy, and its false-discovery rate in simulations."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import false_discovery_control

from glitch.errors import GlitchError
from glitch.novelty.false_discovery import (
    benjamini_hochberg,
    chance_of_as_many,
    check_fdr,
    flagging_threshold,
    min_flaggable,
)


@given(
    st.lists(st.integers(1, 50), min_size=1, max_size=60), st.sampled_from([0.01, 0.05, 0.1, 0.5])
)
def test_benjamini_hochberg_agrees_with_scipy(ranks: list[int], fdr: float) -> None:
    p_values = np.array(ranks) / 50.5
    adjusted = false_discovery_control(p_values, method="bh")
    np.testing.assert_array_equal(benjamini_hochberg(p_values, fdr), adjusted <= fdr)


@pytest.mark.parametrize("fdr", [0.0, 1.0, -0.1, 1.5, float("nan"), float("inf")])
def test_an_invalid_sample_rate_is_refused(fdr: float) -> None:
    with pytest.raises(GlitchError, match="must be between 0 and 1"):
        check_fdr(fdr)
    with pytest.raises(GlitchError, match="must be between 0 and 1"):
        benjamini_hochberg(np.array([0.5]), fdr)


@pytest.mark.parametrize("p_values", [[-0.1], [1.1], [float("nan")], [0.2, 0.1], [0.2, 0.2]])
def test_invalid_p_values_are_refused(p_values: list[float]) -> None:
    with pytest.raises(GlitchError, match="ascending"):
        flagging_threshold(np.array(p_values), np.ones(len(p_values), dtype=np.int64), 0.1)


def test_no_tests_flag_nothing() -> None:
    assert not len(benjamini_hochberg(np.empty(0), 0.1))


@pytest.mark.parametrize("fdr", [0.05, 0.1, 0.2])
def test_the_realised_rate_stays_under_the_nominal(fdr: float) -> None:
    """The rate holds for conformal p-values of one calibration split; a fifth of tests is novel."""
    rng = np.random.default_rng(7)
    shares, recalls = [], []
    for _ in range(400):
        calibration = np.sort(rng.normal(size=400))
        known, novel = rng.normal(size=80), rng.normal(4.0, 1.0, size=20)
        scores = np.concatenate([known, novel])
        as_novel = 400 - np.searchsorted(calibration, scores)
        flagged = benjamini_hochberg((1 + as_novel) / 401, fdr)
        shares.append(flagged[:80].sum() / max(1, flagged.sum()))
        recalls.append(flagged[80:].mean())
    error = np.std(shares) / np.sqrt(len(shares))
    assert np.mean(shares) < fdr * 0.8 + 4 * error  # the bound is fdr times the share of known
    assert np.mean(shares) > 0.3 * fdr  # not far below it, so that a violation could be seen
    assert np.mean(recalls) > 0.7


def test_the_least_flaggable_number_is_exact() -> None:
    n_tests, n_calibration, fdr = 500, 99, 0.1
    least = min_flaggable(n_tests, n_calibration, fdr)
    for n_novel, is_enough in ((least - 1, False), (least, True)):
        p_values = np.full(n_tests, 0.9)
        p_values[:n_novel] = 1 / (n_calibration + 1)
        assert benjamini_hochberg(p_values, fdr).any() == is_enough


def test_the_chance_of_as_many_is_that_of_a_simulation() -> None:
    rng = np.random.default_rng(11)
    n_calibration, n_tests, threshold = 39, 30, 0.1  # at least the fourth largest of 39
    counts = []
    for _ in range(20_000):
        scores = rng.random(n_calibration + n_tests)
        as_novel = (scores[None, n_calibration:] <= scores[:n_calibration, None]).sum(axis=0)
        counts.append(int(((1 + as_novel) / (n_calibration + 1) <= threshold).sum()))
    for members in (1, 3, 6, 10):
        expected = np.mean(np.array(counts) >= members)
        ours = chance_of_as_many(members, n_tests, n_calibration, threshold)
        assert ours == pytest.approx(expected, abs=4 * np.sqrt(expected / 20_000) + 1e-4)


def test_rounding_moves_no_rank() -> None:
    """``k / (n + 1) * (n + 1)`` can be a little under k, and ``n_tests / (n * fdr)`` over it."""
    for n in range(1, 120):
        for rank in range(1, n + 1):
            chance = chance_of_as_many(1, 1, n, rank / (n + 1))
            assert chance == pytest.approx(rank / (n + 1)), (n, rank)
    for n_novel in range(5, 35, 5):  # 12 * 0.3 is a little under 3.6
        assert min_flaggable(n_novel * 36 // 10, 11, 0.3) == n_novel


def test_the_chance_at_its_ends() -> None:
    assert chance_of_as_many(1, 10, 20, 0.01) == 0.0  # no p-value can be so small
    assert chance_of_as_many(10, 10, 20, 1.0) == 1.0
    with pytest.raises(GlitchError, match="n_members"):
        chance_of_as_many(11, 10, 20, 0.1)


def test_the_chance_of_the_least_p_value_is_no_zero() -> None:
    """One test lies above all of nine scores with probability 1/10."""
    assert chance_of_as_many(1, 1, 9, 0.1) == pytest.approx(0.1)
    assert chance_of_as_many(1, 1, 9, 0.09) == 0.0
