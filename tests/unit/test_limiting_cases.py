"""The tests of a pool in limiting cases, and the weights against their formula."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from glitch.novelty.common_masks import score_pool
from glitch.novelty.conformal import (
    MIN_CALIBRATION,
    MIN_OF_RUN,
    Calibration,
    References,
    judge,
    novelty_scores,
)
from glitch.novelty.false_discovery import benjamini_hochberg
from glitch.novelty.pool import UNLABELLED, Pool, judge_pool
from glitch.novelty.weighting import MIN_OF_GROUP, Scored, weighted_p_values

WEEK_S = 604_800.0
O3B_START = 1_256_655_618.0


def pool_of(means: np.ndarray, classes: np.ndarray, **changes: np.ndarray) -> Pool:
    """Build a pool of glitches a week apart; each labelled one is a reference and calibrates."""
    n, is_reference = len(means), classes != UNLABELLED
    times = changes.get("gps_times", 1e8 + WEEK_S * np.arange(n))
    known, places = References.ordered(means[is_reference], times[is_reference])
    own = np.full(n, -1)
    own[is_reference] = places
    scores = novelty_scores(means, times, own, known)
    return Pool(
        means=means,
        gps_times=times,
        is_reference=is_reference,
        classes=classes,
        conditions=changes.get("conditions", np.zeros(n, dtype=np.int64)),
        judged=np.where(is_reference, np.nan, scores),
        calibration=np.where(is_reference, scores, np.nan),
    )


@pytest.mark.parametrize("length", [0.0, 1.0])
@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize("n_tests", [1, 30, 150])
def test_glitches_of_one_vector_are_all_known(length: float, is_first: bool, n_tests: int) -> None:
    """Equal vectors are not novel, in any order and of any length; zeros have no direction."""
    means = np.full((n_tests + 60, 8), length, dtype=np.float32)
    is_test = np.arange(len(means)) < n_tests
    is_test = is_test if is_first else is_test[::-1]
    found = judge_pool(pool_of(means, np.where(is_test, UNLABELLED, 0)))
    assert (found.p_values == 1.0).all()
    assert not found.neighbour_excess.is_significant
    assert found.selection_excess.sigmas == 0.0


def test_a_condition_rare_in_its_run_is_judged_by_all_runs() -> None:
    """References of all runs calibrate a condition that has none in the current run.

    This is the same as for a glitch tested alone.
    """
    rng = np.random.default_rng(5)
    n_run, n_before, n_tests = MIN_OF_RUN, MIN_CALIBRATION, 10
    n = n_run + n_before + n_tests
    means = rng.normal(size=(n, 4)).astype(np.float32)
    classes = np.where(np.arange(n) < n_run + n_before, 0, UNLABELLED)
    is_before = (np.arange(n) >= n_run) & (classes == 0)
    conditions = (np.arange(n) >= n_run).astype(np.int64)
    times = np.where(is_before, 1.13e9, O3B_START) + 500.0 * np.arange(n)
    pool = pool_of(means, classes, gps_times=times, conditions=conditions)
    found = judge_pool(pool)
    assert np.isfinite(found.p_values).all()
    least = 1 / (MIN_CALIBRATION + 1)
    assert found.p_values.min() >= 0.5 * least  # calibrated by twenty, not by three hundred
    fewer = pool_of(
        means[1:],
        np.where(np.arange(1, n) == n_run, UNLABELLED, classes[1:]),
        gps_times=times[1:],
        conditions=conditions[1:],
    )
    assert np.isnan(judge_pool(fewer).p_values).all()


def test_an_observing_run_calibrates_alone_from_its_least_number_on() -> None:
    whole = Calibration(1000, 500)
    alone = judge(1.0, 1000, whole, Calibration(MIN_OF_RUN, 0), "O3b")
    assert (alone.p_value, alone.observing_run) == (1 / (MIN_OF_RUN + 1), "O3b")
    by_all = judge(1.0, 1000, whole, Calibration(MIN_OF_RUN - 1, 0), "O3b")
    assert (by_all.p_value, by_all.observing_run) == (501 / 1001, None)


@pytest.mark.parametrize(
    ("later", "n_run", "is_alone"),
    [
        (O3B_START, MIN_OF_RUN, True),
        (O3B_START, MIN_OF_RUN - 1, False),
        (np.nan, MIN_OF_RUN, False),  # glitches without a time are of no run
    ],
)
def test_an_observing_run_calibrates_crowds_from_its_least_number_on(
    later: float, n_run: int, is_alone: bool
) -> None:
    n_before, n_tests = 30, 5
    n = n_run + n_before + n_tests
    means = np.random.default_rng(7).normal(size=(n, 4)).astype(np.float32)
    classes = np.where(np.arange(n) < n_run + n_before, 0, UNLABELLED)
    is_before = (np.arange(n) >= n_run) & (np.arange(n) < n_run + n_before)
    classes[n_run] = UNLABELLED  # also test one glitch of the earlier run
    times = np.where(is_before, 1.13e9, later) + 500.0 * np.arange(n)
    pool = pool_of(means, classes, gps_times=times)
    without = replace(pool, calibration=np.where(is_before, np.nan, pool.calibration))
    found, expected = (judge_pool(one).p_values[1:] for one in (pool, without))
    assert bool(np.allclose(found, expected, rtol=1e-9)) == is_alone


def test_few_references_of_a_condition_do_not_calibrate_others() -> None:
    n = 100
    means = np.random.default_rng(9).normal(size=(n, 4)).astype(np.float32)
    classes = np.where(np.arange(n) < 90, 0, UNLABELLED)
    is_rare = np.arange(n) < MIN_CALIBRATION - 1
    pool = pool_of(means, classes, conditions=is_rare.astype(np.int64))
    without = replace(pool, calibration=np.where(is_rare, np.nan, pool.calibration))
    assert judge_pool(pool).p_values == pytest.approx(judge_pool(without).p_values)


def test_no_reference_vouches_for_itself_wherever_it_stands() -> None:
    means = np.random.default_rng(6).normal(size=(12, 3)).astype(np.float32)
    known, own = References.ordered(means, WEEK_S * np.arange(12.0))
    scores = novelty_scores(means, WEEK_S * np.arange(12.0), own, known)
    units = means / np.linalg.norm(means, axis=1, keepdims=True)
    away = np.sort(1 - units @ units.T, axis=1)  # the first is the glitch itself
    assert scores == pytest.approx(away[:, 5], abs=1e-6)


def by_formula(tested: Scored, known: Scored) -> np.ndarray:
    """Compute the p-values as in decision 9, one sum at a time."""
    w, r = known.weights.astype(float).copy(), np.ones(len(tested.scores))
    for groups, theirs in ((tested.kinds, known.kinds), (tested.conditions, known.conditions)):
        c, o = w.copy(), {}
        large_groups = [g for g in np.unique(theirs) if (theirs == g).sum() >= MIN_OF_GROUP]
        if not large_groups:
            continue
        for g in large_groups:
            of_group = theirs == g
            own, ordinary = c[of_group].mean(), 0.0
            for t in np.flatnonzero(groups == g):
                high = c[of_group & (known.scores >= tested.scores[t])].sum()
                if (high + own) / (c[of_group].sum() + own) > 0.5:
                    ordinary += tested.weights[t]
            o[g] = (1 + ordinary) / 0.5
        total = sum(c[theirs == g].sum() for g in large_groups)
        factor = total / sum(o.values())
        each = {g: o[g] / c[theirs == g].sum() * factor for g in large_groups}
        most = max(each.values())
        w = c * np.array([each.get(g, most) for g in theirs])
        for t, g in enumerate(groups):
            all_ordinary = (1 + tested.weights[groups == g].sum()) * factor
            r[t] *= each[g] if g in each else max(all_ordinary, most)
    high = np.array([w[known.scores >= score].sum() for score in tested.scores])
    return np.asarray(np.minimum(1, (high + r) / (w.sum() + r)))


@pytest.mark.parametrize("seed", range(20))
def test_the_weights_are_those_of_the_formula(seed: int) -> None:
    """Cases with few and many groups, ties, bursts, groups of only one side, and single tests."""
    rng = np.random.default_rng(seed)
    n_groups, n_values = int(rng.integers(1, 9)), int(rng.choice([2, 10, 1000]))

    def drawn(n: int) -> Scored:
        return Scored(
            rng.integers(0, n_values, n) / n_values,
            rng.integers(0, n_groups, n),
            rng.integers(0, 1 + seed % 3, n),
            rng.choice([1.0, 0.5, 0.125], n),
        )

    tested, known = drawn(int(rng.choice([1, 2, 40]))), drawn(int(rng.choice([1, 4, 5, 30, 90])))
    expected = by_formula(tested, known)
    assert weighted_p_values(tested, known) == pytest.approx(expected, rel=1e-9)
    assert ((expected > 0) & (expected <= 1)).all()


def test_a_test_in_the_middle_of_its_group_is_no_ordinary_one() -> None:
    """A test is ordinary if its p-value in its group is above one half; here it is one half."""
    same = np.zeros(10, dtype=np.int64)
    known = Scored(np.arange(10) % 5 + 1.0, np.repeat([0, 1], 5), same, np.ones(10))
    tested = Scored(np.full(3, 4.0), same[:3], same[:3], np.ones(3))  # 2 of 5 scores are as high
    assert weighted_p_values(tested, known) == pytest.approx(by_formula(tested, known))
    # Neither kind has an ordinary test, so both have the same weight: 4 of 10 are as high.
    assert weighted_p_values(tested, known) == pytest.approx(5 / 11)


@pytest.mark.parametrize(("n_tests", "is_held"), [(5, False), (100, True)])
def test_few_tests_of_one_wide_kind_may_exceed_the_rate(n_tests: int, is_held: bool) -> None:
    """Few tests of a wide kind may exceed the rate: five glitches do not show how
    frequent their kind is, a limit that decision 9 names.
    """
    rng, n_kinds, draws = np.random.default_rng(8), 20, 100
    kinds = np.repeat(np.arange(n_kinds), 50)
    widths = np.where(np.arange(n_kinds) == 0, 10.0, 1.0)
    n_raised = 0
    for _ in range(draws):
        tested, known = (
            Scored(
                rng.exponential(size=len(of)) * widths[of], of, np.zeros_like(of), np.ones(len(of))
            )
            for of in (np.zeros(n_tests, dtype=np.int64), kinds)
        )
        n_raised += benjamini_hochberg(weighted_p_values(tested, known), 0.1).any()
    assert (n_raised <= 0.1 * draws) if is_held else (n_raised > 0.3 * draws)


@pytest.mark.parametrize(
    ("n_here", "n_others", "is_tested"), [(20, 30, True), (19, 31, False), (20, 29, False)]
)
def test_a_pool_needs_fifty_references_and_twenty_of_a_condition(
    n_here: int, n_others: int, is_tested: bool
) -> None:
    conditions = np.repeat([0, 1, 0], [n_here, n_others, 1])
    n = len(conditions)
    is_reference = np.arange(n) < n - 1
    pool = score_pool(
        np.random.default_rng(13).normal(size=(n, 8)).astype(np.float32),
        1e8 + WEEK_S * np.arange(n),
        classes=np.where(is_reference, 0, UNLABELLED),
        is_reference=is_reference,
        is_established=is_reference,
        conditions=conditions,
    )
    assert bool(np.isfinite(pool.judged[-1])) == is_tested
