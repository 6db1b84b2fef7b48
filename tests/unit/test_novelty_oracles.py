"""Novelty against its rules, written out glitch by glitch, in cases at the limits."""

from __future__ import annotations

import math

import numpy as np
import pytest

from glitch.novelty import (
    MIN_CALIBRATION,
    MIN_REFERENCES,
    Calibration,
    References,
    crowds,
    directions,
    judge,
    novelty_scores,
)
from glitch.novelty import common_masks as common_masks_module
from glitch.novelty.common_masks import MaskedEncoder, common_masks, judge_under_common_masks
from glitch.novelty.crowds import Crowds, crowds_of
from glitch.novelty.episodes import MAX_OF_EPISODE, representatives_of
from glitch.novelty.fair_sample import NO_EXCESS, SelectionExcess, selection_excess
from glitch.novelty.kinds import kinds_of
from glitch.novelty.pool import UNLABELLED, Pool, PoolTests, judge_pool
from glitch.novelty.two_samples import NeighbourExcess

EPISODE_S, DAY_S, COPY = 120.0, 86_400.0, 0.01  # as in the documentation
# In s; the ends of an episode and of a day, reached exactly and exceeded by a second.
TIMES = np.array([0, 120, 121, 240, 86_400, 86_401, 86_520, 86_521, 172_800, 172_801.0])


def drawn(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw directions, many nearly equal, and times at ends of episodes and days, some unknown."""
    turns = rng.choice([0.0, 0.05, 0.139, 0.144, 0.3], size=n)  # rad: 1 - cos(0.1415) is 0.01
    turns += rng.choice([0.0, 1.0, 2.0], size=n)
    means = np.stack([np.cos(turns), np.sin(turns)], axis=1).astype(np.float32)
    times = rng.choice(TIMES, size=n)
    times[rng.random(n) < 0.2] = np.nan
    return means, times


def apart(one: float, other: float) -> float:
    """Return the time between two glitches in s; NaN if one of the times is not known."""
    return abs(one - other)


@pytest.mark.parametrize("seed", range(4))
def test_the_score_leaves_out_what_the_rules_say(seed: int) -> None:
    rng = np.random.default_rng(seed)
    means, times = drawn(rng, 80)
    is_reference = np.arange(80) < 50
    references, places = References.ordered(means[:50], times[:50])
    own = np.concatenate([places, np.full(30, -1)])
    found = novelty_scores(means, times, own, references)
    units = directions(means).astype(np.float64)
    for one in range(80):
        left = []
        for other in range(50):
            distance, gap = 1 - units[one] @ units[other], apart(times[one], times[other])
            if one == other or gap <= EPISODE_S:
                continue
            if is_reference[one] and distance <= COPY and (math.isnan(gap) or gap <= DAY_S):
                continue
            left.append(distance)
        expected = sorted(left)[4] if len(left) >= 5 else math.nan
        assert found[one] == pytest.approx(expected, abs=1e-6, nan_ok=True)


@pytest.mark.parametrize("n", [4, 5])
def test_five_references_are_enough_for_a_score(n: int) -> None:
    turns = [0.1 * at for at in range(1, n + 1)]
    references, _ = References.ordered(turned(turns), np.full(n, np.nan))
    found = novelty_scores(turned([0.0]), np.array([np.nan]), np.array([-1]), references)
    expected = 1 - math.cos(0.5) if n == 5 else math.nan
    np.testing.assert_allclose(found, [expected], atol=1e-6)


@pytest.mark.parametrize(
    ("pairs", "given", "expected"),
    [
        ([[0, 2], [2, 3]], [0.1, 0.3, 0.2, 0.5, 0.04], [0.3, 0.3, 0.5, 0.5, 0.04]),
        ([[0, 2], [2, 3]], [0.1, 0.6, 0.2, 0.1, 0.04], [0.6, 0.6, 0.6, 0.2, 0.04]),
        ([[0, 0], [2, 3]], [0.1, 0.1, 0.2, 0.5, 0.04], [0.5, 0.5, 0.2, 0.5, 0.04]),
    ],
)
def test_a_burst_takes_the_largest_p_value_of_its_pairs(
    pairs: list[list[int]], given: list[float], expected: list[float]
) -> None:
    """A burst has the representative of a glitch and its pairs, but not pairs of those pairs."""
    bursts = Crowds(
        np.ones(6),
        np.zeros(6),
        np.ones(6),
        np.array([0, 0, 2, 3, 4, 5]),
        np.array(pairs),
        np.zeros(6, dtype=bool),
    )
    found = bursts.of_bursts(np.array([*given, np.nan]))
    np.testing.assert_array_equal(found, [*expected, np.nan])


@pytest.mark.parametrize("gap_s", [120.0, 121.0])
@pytest.mark.parametrize("is_known", [False, True])
def test_glitches_of_one_episode_share_a_test(gap_s: float, is_known: bool) -> None:
    """Glitches of one episode share a test if they are nearer than five other events are.

    Known glitches among them do not count.
    """
    rng = np.random.default_rng(3)
    far = 5e5 + 1e6 * np.arange(20)
    means = np.concatenate([rng.normal(size=(20, 6)), np.ones((2, 6))]).astype(np.float32)
    means[21] += 0.05
    times = np.concatenate([far, [0.0, gap_s]])
    known = np.zeros(22, dtype=bool)
    known[21] = is_known
    found = crowds_of(directions(means), times, known)
    assert found.pairs.shape[1] == (gap_s <= EPISODE_S)
    together = gap_s <= EPISODE_S and not is_known
    np.testing.assert_array_equal(found.weights[20:], 0.5 if together else 1.0)
    assert found.repeats.tolist() == [False] * 20 + [True] * 2


def turned(turns: list[float]) -> np.ndarray:
    """Return directions at these angles, in rad."""
    return np.stack([np.cos(turns), np.sin(turns)], axis=1).astype(np.float32)


def test_either_of_two_makes_a_burst() -> None:
    """Two glitches form a burst if they are nearer than the fifth other event of either of them.

    Here one is in a crowd, and the other is not.
    """
    crowd = [0.01 * at for at in range(-6, 0)]
    times = np.concatenate([1e6 * np.arange(1.0, 7), [0, 60, 2e7]])
    found = crowds_of(turned([*crowd, 0.05, 0.4, 3.0]), times, np.zeros(9, dtype=bool))
    assert found.pairs.tolist() == [[6], [7]]
    assert not found.repeats.any()  # one episode, but not the same picture again


def test_glitches_of_one_episode_are_one_neighbour() -> None:
    """Glitches of one episode count as one neighbour, at the distance of the nearest of them.

    So do two glitches exactly as far apart as an episode may last.
    """
    turns = [0.1 + 0.02 * at for at in range(10)] + [1.0 + 0.05 * at for at in range(10)]
    pairs = np.repeat(1e6 * np.arange(1, 6), 2) + np.tile([0.0, EPISODE_S], 5)
    times = np.concatenate([[0.0], pairs, 1e8 + 1e6 * np.arange(10.0)])
    found = crowds_of(turned([0.0, *turns]), times, np.zeros(21, dtype=bool))
    assert found.to_any[0] == pytest.approx(1 - np.cos(turns[8]), abs=1e-6)


def test_the_unlabelled_share_is_of_the_neighbours_that_exist() -> None:
    found = crowds_of(turned([0.3 * at for at in range(7)]), 1e6 * np.arange(7.0), np.arange(7) < 2)
    np.testing.assert_allclose(found.unlabelled, [5 / 6, 5 / 6, *[4 / 6] * 5])
    assert (found.to_any > 0).all()


def test_events_behind_a_few_long_bursts_are_found() -> None:
    """Forty glitches of three episodes lie between a glitch and ten others, and are no copies."""
    rng = np.random.default_rng(23)
    near = np.array([3.0, 0, 0, 0, 0, 0, 0, 0]) + rng.normal(size=(41, 8))
    far = np.array([0, 3.0, 0, 0, 0, 0, 0, 0]) + 0.5 * rng.normal(size=(20, 8))
    times = np.concatenate(
        [[0.0], 1e7 * (1 + np.arange(40) % 3) + 120.0, 1e8 + 1e6 * np.arange(20)]
    )
    units = directions(np.concatenate([near, far]).astype(np.float32))
    found = crowds_of(units, times, np.zeros(61, dtype=bool))
    distances = 1 - units[0] @ units.T
    events = [distances[1:41][np.arange(40) % 3 == one].min() for one in range(3)]
    fifth = np.sort(np.concatenate([events, distances[41:]]))[4]
    assert found.to_any[0] == pytest.approx(fifth, abs=1e-6)


def test_a_represented_glitch_has_its_own_distances(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a large catalogue it takes the neighbours of its representative, in its own order."""

    def among(units: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
        chords = np.linalg.norm(units[:, None] - units[None], axis=2)
        np.fill_diagonal(chords, np.inf)
        nearest = np.argsort(chords, axis=1)[:, :n]
        return nearest, np.take_along_axis(chords, nearest, axis=1)

    monkeypatch.setattr(crowds, "MAX_EXACT", 0)
    monkeypatch.setattr(crowds, "nearest_among", among)
    units = directions(np.random.default_rng(29).normal(size=(90, 5)).astype(np.float32))
    times = np.concatenate([np.full(40, 1e6), 1e7 + 1e6 * np.arange(50.0)])
    proxies = representatives_of(units, times)
    neighbours, distances = crowds._nearest(units, proxies)
    assert (proxies[:40] != np.arange(40)).sum() == 40 - MAX_OF_EPISODE
    expected = 1 - np.einsum("ij,ikj->ik", units, units[neighbours])
    np.testing.assert_allclose(distances, expected, atol=1e-6)
    assert (np.diff(distances, axis=1) >= 0).all()


@pytest.mark.parametrize(
    ("is_timed", "n_known", "weight"), [(True, 0, 1.0), (False, 0, 1 / 3), (False, 1, 1 / 2)]
)
def test_copies_without_a_time_share_a_test(is_timed: bool, n_known: int, weight: float) -> None:
    """Only tested copies share the test; labelled ones do not count."""
    rng = np.random.default_rng(5)
    means = np.concatenate([rng.normal(size=(20, 6)), np.ones((3, 6))]).astype(np.float32)
    times = 1e6 * np.arange(23.0)
    if not is_timed:
        times[20:] = np.nan
    found = crowds_of(directions(means), times, np.arange(23) >= 23 - n_known)
    np.testing.assert_allclose(found.weights[20 : 23 - n_known], weight)
    assert found.repeats[20:].all() == (not is_timed)


def test_a_copy_without_a_time_shares_the_test_of_one_with_a_time() -> None:
    rng = np.random.default_rng(5)
    means = np.concatenate([rng.normal(size=(20, 6)), np.ones((2, 6))]).astype(np.float32)
    times = np.concatenate([1e6 * np.arange(21.0), [np.nan]])
    found = crowds_of(directions(means), times, np.zeros(22, dtype=bool))
    np.testing.assert_allclose(found.weights[20:], 0.5)


@pytest.mark.parametrize(
    ("n_near", "is_calibrated"), [(0, True), (1, True), (2, False), (3, False)]
)
def test_a_kind_is_calibrated_if_at_most_one_of_five_neighbours_is_of_a_rare_class(
    n_near: int, is_calibrated: bool
) -> None:
    rng = np.random.default_rng(7)
    common = np.array([1.0, 0, 0]) + 0.02 * rng.normal(size=(30, 3))
    few = np.array([[0, 0, 1.0]] * 3)
    few[:n_near] = [1.0, 0, 0]
    means = np.concatenate([[[1.0, 0, 0]], few, common]).astype(np.float32)
    classes = np.concatenate([[UNLABELLED], [2] * 3, [1] * 30])
    is_reference = classes != UNLABELLED
    kinds = kinds_of(directions(means), 1e6 * np.arange(34.0), classes, is_reference, classes == 1)
    assert bool(kinds.is_calibrated[0]) == is_calibrated


@pytest.mark.parametrize(("near", "is_sure"), [([1, 1, 2, 2, 3], False), ([1, 1, 1, 2, 3], True)])
def test_most_of_five_is_three(near: list[int], is_sure: bool) -> None:
    turns = [0.0, 0.1, 0.11, 0.12, 0.13, 0.14] + [1.0 + 0.01 * at for at in range(30)]
    classes = np.array([UNLABELLED, *near, *np.tile([1, 2, 3], 10)])
    is_known = classes != UNLABELLED
    times = 1e6 * np.arange(36.0)
    found = kinds_of(directions(turned(turns)), times, classes, is_known, is_known)
    assert (found.classes[0], bool(found.is_sure[0])) == (1, is_sure)


def test_three_members_say_how_wide_their_class_is() -> None:
    """A glitch at twenty widths from three members of a class is of the common class instead."""
    turns = [0.8, 1.0, 1.01, 1.02] + [0.01 * at for at in range(30)]
    classes = np.repeat([UNLABELLED, 2, 1], [1, 3, 30])
    times = 1e6 * np.arange(34.0)
    found = kinds_of(directions(turned(turns)), times, classes, classes > 0, classes == 1)
    assert found.classes[0] == 1
    near = kinds_of(
        directions(turned([1.015, *turns[1:]])), times, classes, classes > 0, classes == 1
    )
    assert near.classes[0] == 2


def test_a_class_of_one_episode_is_as_wide_as_the_widest_of_few_labels() -> None:
    """One episode does not tell how wide its class is, so the widest of the others decides."""
    narrow, wide, storm = [1.0, 1.001, 1.002], [2.0, 2.1, 2.2], [2.9, 2.91, 2.92, 2.93, 2.94]
    turns = [3.02, *narrow, *wide, *storm, *[0.01 * at for at in range(30)]]
    classes = np.repeat([UNLABELLED, 2, 3, 4, 1], [1, 3, 3, 5, 30])
    times = 1e6 * np.arange(len(turns))
    times[classes == 4] = 5e7 + np.arange(5)
    found = kinds_of(directions(turned(turns)), times, classes, classes > 0, classes == 1)
    assert found.classes[0] == 4


@pytest.mark.parametrize(
    ("n_references", "n", "is_judged"),
    [
        (MIN_REFERENCES, MIN_CALIBRATION, True),
        (MIN_REFERENCES - 1, MIN_CALIBRATION, False),
        (MIN_REFERENCES, MIN_CALIBRATION - 1, False),
    ],
)
def test_judging_needs_fifty_references_and_twenty_calibrations(
    n_references: int, n: int, is_judged: bool
) -> None:
    assert (MIN_REFERENCES, MIN_CALIBRATION) == (50, 20)  # as in the documentation
    found = judge(0.5, n_references, Calibration(n, 3))
    assert found.is_judged == is_judged
    assert found.p_value == (pytest.approx(4 / 21) if is_judged else None)


@pytest.mark.parametrize(("n", "is_judged"), [(20, True), (19, False)])
def test_a_crowd_needs_enough_calibrations_of_its_condition(n: int, is_judged: bool) -> None:
    rng = np.random.default_rng(11)
    means = rng.normal(size=(n + 41, 5)).astype(np.float32)
    conditions = np.repeat([0, 1, 0], [n, 40, 1])
    is_known = np.arange(n + 41) < n + 40
    pool = Pool(
        means=means,
        gps_times=1e6 * np.arange(n + 41.0),
        is_reference=is_known,
        classes=np.where(is_known, 0, UNLABELLED),
        conditions=conditions,
        judged=np.full(n + 41, 0.3),
        calibration=np.where(is_known, rng.random(n + 41), np.nan),
    )
    assert np.isfinite(judge_pool(pool).p_values).tolist() == [is_judged]


@pytest.mark.parametrize(
    ("second", "apart_s", "tested"),
    [
        (1.01, 1e6, [0]),  # near a class of few labels, which is known to lack labels
        (0.0, 1e6, [0, 1]),
        (0.0, 600.0, []),  # the same source again within a day
    ],
)
def test_the_selection_excess_uses_single_glitches_of_known_classes(
    monkeypatch: pytest.MonkeyPatch, second: float, apart_s: float, tested: list[int]
) -> None:
    turns = [0.0, second] + [0.01 * at - 0.15 for at in range(30)] + [1.0, 1.02, 1.03]
    classes = np.repeat([UNLABELLED, 1, 2], [2, 30, 3])
    selections: list[tuple[np.ndarray, ...]] = []

    def noted(*given: np.ndarray) -> SelectionExcess:
        selections.append(given[-2:])
        return NO_EXCESS

    monkeypatch.setattr("glitch.novelty.pool.selection_excess", noted)
    judge_pool(
        Pool(
            means=turned(turns),
            gps_times=np.concatenate([[0.0, apart_s], 1e7 + 1e6 * np.arange(33.0)]),
            is_reference=classes > 0,
            classes=classes,
            conditions=np.zeros(35, dtype=int),
            judged=np.full(35, 0.3),
            calibration=np.where(classes == 1, 0.1, np.nan),
        )
    )
    [(is_test, calibrates)] = selections
    assert np.flatnonzero(is_test).tolist() == tested
    assert np.flatnonzero(calibrates).tolist() == list(range(2, 32))


@pytest.mark.parametrize(
    ("of_known", "of_tests", "is_amid"), [(0.0, 0.3, True), (0.0, 0.4, False), (1.0, 1.0, False)]
)
def test_three_of_ten_unlabelled_are_few_and_ten_are_not(
    of_known: float, of_tests: float, is_amid: bool
) -> None:
    is_test = np.arange(100) < 50
    share = np.where(is_test, of_tests, of_known)
    found = selection_excess(
        np.arange(100) / 100, share, np.zeros(100, dtype=int), is_test, ~is_test
    )
    assert (found.variance > 0) == is_amid


def seen_in(*windows: int) -> np.ndarray:
    """Return the observed rows of three windows of four rows each, for these windows."""
    observed = np.zeros((3, 4), dtype=bool)
    observed[list(windows)] = True
    return observed


def test_masks_are_the_most_useful_first_until_all_is_covered() -> None:
    own = seen_in(0, 1)

    def masks(*conditions: np.ndarray, n: list[int]) -> list[list[int]]:
        found = common_masks(own, np.stack(conditions), np.array(n))
        return [np.flatnonzero(one.any(axis=1)).tolist() for one in found]

    # A condition with both windows contains the mask of one window, which all references have.
    assert masks(seen_in(0, 1), seen_in(0), n=[30, 25]) == [[0]]
    assert masks(seen_in(0), seen_in(1), n=[25, 30]) == [[1], [0]]
    narrow = seen_in(0)
    narrow[0, 0] = False
    # of two equally useful masks, the wider first
    assert masks(narrow, seen_in(1), n=[30, 30]) == [[1], [0]]
    assert masks(seen_in(0), n=[20]) == [[0]]
    assert masks(seen_in(0), n=[19]) == []
    assert masks(seen_in(2), n=[30]) == []  # nothing in common


@pytest.mark.parametrize("seed", range(3))
def test_the_selection_excess_is_that_of_the_farthest_twentieth(seed: int) -> None:
    """The excess is counted among the farthest 5 %, with hypergeometric mean and variance.

    This is exact for one kind without ties.
    """
    rng = np.random.default_rng(seed)
    n = 100
    distances, is_test = rng.permutation(n) / n, rng.random(n) < 0.3
    crowded = rng.random(n) < 0.2  # left out, because most neighbours are unlabelled
    share = np.where(crowded & is_test, 0.6, 0.1)
    found = selection_excess(distances, share, np.zeros(n, dtype=int), is_test, ~is_test)
    is_in_half = share < 0.5
    size, n_tests = is_in_half.sum(), (is_test & is_in_half).sum()
    n_far = round(0.05 * size)
    far = is_in_half & (distances > np.sort(distances[is_in_half])[-n_far - 1])
    assert far.sum() == n_far
    assert found.n_excess == pytest.approx((far & is_test).sum() - n_far * n_tests / size)
    expected = n_far * n_tests / size * (1 - n_tests / size) * (size - n_far) / (size - 1)
    assert found.variance == pytest.approx(expected)


@pytest.mark.parametrize("is_reversed", [False, True])
def test_a_glitch_takes_the_largest_p_value_of_its_masks(
    monkeypatch: pytest.MonkeyPatch, is_reversed: bool
) -> None:
    """Score and weight come from the same mask; the doubts of the run are the larger ones."""
    n_known, tested = 25, np.arange(50, 53)
    conditions = np.repeat([0, 1, 2], [n_known, n_known, 3])
    is_reference = conditions < 2
    pool = Pool(
        means=np.random.default_rng(31).normal(size=(53, 4)).astype(np.float32),
        gps_times=1e6 * np.arange(53.0),
        is_reference=is_reference,
        classes=np.where(is_reference, 1, UNLABELLED),
        conditions=conditions,
        judged=np.full(53, np.nan),
        calibration=np.where(is_reference, 0.1, np.nan),
    )

    def result(p_values: list[float], score: float, n_excess: float) -> PoolTests:
        return PoolTests(
            tested,
            np.full(3, score),
            np.array(p_values),
            np.full(3, score / 10),
            pool.classes,
            is_reference,
            SelectionExcess(n_excess, 1.0),
            NeighbourExcess(n_excess, 1.0, 100.0),
        )

    masked = [result([0.3, 0.1, np.nan], 1.0, 1.0), result([0.2, 0.4, 0.5], 2.0, 9.0)]
    results = iter(masked[::-1] if is_reversed else masked)
    monkeypatch.setattr(common_masks_module, "judge_pool", lambda _: next(results))
    encoder = MaskedEncoder(
        np.stack([seen_in(0), seen_in(1), seen_in(0, 1)]),
        is_reference,
        lambda glitches, _: pool.means[glitches],
    )
    found = judge_under_common_masks(pool, result([np.nan] * 3, np.nan, 0.0), encoder)
    np.testing.assert_array_equal(found.places, tested)
    np.testing.assert_array_equal(found.p_values, [0.3, 0.4, 0.5])
    np.testing.assert_array_equal(found.scores, [1.0, 2.0, 2.0])
    np.testing.assert_allclose(found.weights, [0.1, 0.2, 0.2])
    assert (found.selection_excess.n_excess, found.neighbour_excess.n_excess) == (9.0, 9.0)
