"""Unlabelled glitches against labelled ones: neighbours of the same side, against permutations."""

from itertools import combinations
from typing import Any

import numpy as np
import pytest

from glitch.novelty.two_samples import (
    EXCESS,
    MIN_OF_SIDE,
    NEIGHBOURS,
    NO_NEIGHBOUR_EXCESS,
    SIGMAS,
    NeighbourExcess,
    neighbour_excess,
)

HOUR_S = 3_600.0


def compared(units: np.ndarray, is_test: np.ndarray, **changes: Any) -> NeighbourExcess:
    """Compare glitches of one kind and condition, a week apart, and all near the known."""
    n = len(units)
    given = {
        "gps_times": 1e9 + 7 * 24 * HOUR_S * np.arange(n),
        "to_known": np.full(n, 0.1),
        "kinds": np.zeros(n, dtype=np.int64),
        "conditions": np.zeros(n, dtype=np.int64),
        "calibrates": ~is_test,
        **changes,
    }
    times = given.pop("gps_times")
    return neighbour_excess(units.astype(np.float32), times, is_test=is_test, **given)


def drawn(n: int, seed: int = 0) -> np.ndarray:
    units = np.random.default_rng(seed).normal(size=(n, 4))
    return units / np.linalg.norm(units, axis=1, keepdims=True)


def exactly(units: np.ndarray, is_test: np.ndarray) -> tuple[float, float]:
    """Return the excess over all permutations of the labels, and its variance over them."""
    distances = 1 - units @ units.T
    np.fill_diagonal(distances, np.inf)
    near = np.argsort(distances, axis=1)[:, :NEIGHBOURS]

    def alike(chosen: Any) -> int:
        marked = np.isin(np.arange(len(units)), chosen)
        return int((marked[:, None] & marked[near]).sum())

    tests = np.flatnonzero(is_test)
    every = [alike(chosen) for chosen in combinations(range(len(units)), len(tests))]
    return alike(tests) - np.mean(every), float(np.var(every))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_neighbour_excess_equals_that_over_all_permutations(seed: int) -> None:
    units, is_test = drawn(12, seed), np.arange(12) % 2 == 0
    more, variance = exactly(units, is_test)
    found = compared(units, is_test)
    # 200 of 924 permutations: five standard errors of their mean and of their variance.
    assert found.n_excess == pytest.approx(more, abs=5 * np.sqrt(variance / 200))
    assert found.variance == pytest.approx(variance, rel=0.5)
    assert found.n == 6 * NEIGHBOURS
    assert not found.is_significant


def test_separate_sides_have_neighbours_of_their_own_side() -> None:
    units = np.concatenate([drawn(20) * 0.05 + [1, 0, 0, 0], drawn(30, 1) * 0.05 + [0, 1, 0, 0]])
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    is_test = np.arange(50) < 20
    # Every glitch is one event; otherwise similar ones would be copies of one within a day.
    found = compared(units, is_test)
    assert found.n == 20 * NEIGHBOURS
    assert found.n_excess == pytest.approx(found.n * (1 - 19 / 49), abs=2)
    assert found.is_significant


def test_labels_are_exchanged_only_among_what_was_seen_alike() -> None:
    units, is_test = drawn(40), np.arange(40) % 2 == 0
    apart = compared(units, is_test, conditions=is_test.astype(np.int64))
    assert (apart.n_excess, apart.variance) == (0, 0)
    assert not apart.is_significant
    # Each condition keeps its number of tests, at any positions of the list.
    crossed = compared(units, is_test, conditions=np.where(np.arange(40) < 36, 0, 1))
    assert crossed.variance > 0


def test_neighbours_are_of_other_events() -> None:
    units, is_test = drawn(30), np.arange(30) < 15
    at_once = np.where(is_test, 1e9, 1e9 + 7 * 24 * HOUR_S * np.arange(30))
    found = compared(units, is_test, gps_times=at_once)
    assert found.n == 15 * NEIGHBOURS  # all neighbours are labelled
    assert found.n_excess < 0
    alone = compared(units, is_test, gps_times=np.full(30, 1e9))
    assert alone == NeighbourExcess(0, 0, 0)


def test_few_glitches_on_either_side_give_no_excess() -> None:
    for n_tests, n_known in ((MIN_OF_SIDE - 1, 20), (20, MIN_OF_SIDE - 1)):
        is_test = np.arange(n_tests + n_known) < n_tests
        assert compared(drawn(len(is_test)), is_test) == NO_NEIGHBOUR_EXCESS
    is_test = np.arange(2 * MIN_OF_SIDE) < MIN_OF_SIDE
    assert compared(drawn(len(is_test)), is_test).n == MIN_OF_SIDE * NEIGHBOURS


def test_glitches_far_from_the_known_are_left_out_on_both_sides() -> None:
    units, is_test = drawn(60), np.arange(60) < 30
    to_known = np.where(is_test, 0.1, np.linspace(0.05, 0.2, 60))
    to_known[:10] = 0.5  # like a new kind
    to_known[10] = np.inf  # no reference of another event
    found = compared(units, is_test, to_known=to_known)
    assert found.n == 19 * NEIGHBOURS
    usual = np.quantile(to_known[30:], 0.9)
    kept = np.flatnonzero(to_known <= usual)
    assert found == compared(units[kept], is_test[kept], gps_times=1e9 + 7 * 24 * HOUR_S * kept)


def test_kinds_are_compared_apart_and_added() -> None:
    units, is_test = drawn(80), np.arange(80) % 2 == 0
    kinds = np.arange(80) // 40
    together = compared(units, is_test, kinds=kinds)
    assert together.n == 40 * NEIGHBOURS
    first = compared(units[:40], is_test[:40])
    second = compared(units[40:], is_test[40:])
    spread = 5 * np.sqrt((first.variance + second.variance) / 200)
    assert together.n_excess == pytest.approx(first.n_excess + second.n_excess, abs=spread)
    separate = compared(units, is_test, kinds=np.where(is_test, 0, 1))
    assert separate == NO_NEIGHBOUR_EXCESS


def test_large_groups_are_thinned_regularly() -> None:
    is_test = np.arange(1_900) < 1_100  # thinned to 367 and 400
    found = compared(drawn(1_900), is_test)
    assert found.n == 367 * NEIGHBOURS


def test_an_excess_is_significant_from_three_sigma_and_five_percent() -> None:
    assert NeighbourExcess(SIGMAS, 1.0, SIGMAS / EXCESS).is_significant
    assert not NeighbourExcess(SIGMAS - 0.01, 1.0, SIGMAS / EXCESS - 10).is_significant
    assert not NeighbourExcess(SIGMAS, 1.0, SIGMAS / EXCESS + 1).is_significant
    assert NeighbourExcess(3.0, 2.0, 60.0).plus(NeighbourExcess(1.0, 2.0, 20.0)) == NeighbourExcess(
        4.0, 4.0, 80.0
    )
    assert NO_NEIGHBOUR_EXCESS.excess == 0
    assert not NO_NEIGHBOUR_EXCESS.is_significant


@pytest.mark.parametrize("n_tests", [40, 100, 160])
def test_equal_glitches_have_no_neighbour_excess(n_tests: int) -> None:
    """Black pictures have equal vectors, so all are as near, and the order must not matter."""
    units = np.tile([1.0, 0.0, 0.0, 0.0], (200, 1))
    for is_test in (np.arange(200) < n_tests, np.arange(200) >= 200 - n_tests):
        found = compared(units, is_test)
        assert found.n == n_tests * NEIGHBOURS
        assert not found.is_significant
