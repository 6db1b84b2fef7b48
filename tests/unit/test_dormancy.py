"""Dormancy: silence is counted in days with data, and only a recent end of it is a recurrence."""

from __future__ import annotations

import numpy as np
import pytest

from glitch.clustering.dormancy import DAY_S, days_with_data, recurrence, recurrences_in
from glitch.novelty.pool import Pool


def times(*days: float) -> np.ndarray:
    return DAY_S * (np.array(days) + 0.5)


def test_days_are_those_with_any_glitch() -> None:
    found = days_with_data(np.array([0.0, 86_399.9, 86_400.0, 5 * 86_400.0, np.nan]))
    np.testing.assert_array_equal(found, [0, 1, 5])
    assert not len(days_with_data(np.array([np.nan])))


def test_a_recurrence_states_the_silence_before_it() -> None:
    days = days_with_data(times(*range(50)))
    found = recurrence(np.append(times(40, 3, 41.2, 5, 40.1), np.nan), days, 30)
    assert found is not None
    assert (found.silent_days, found.n_after) == (34, 3)
    assert found.last_before == times(5)[0]
    assert found.first_after == times(40)[0]


@pytest.mark.parametrize(
    ("occurrences", "least"),
    [
        ((3, 5, 40), 35),  # silent for 34 days only
        ((3, 14, 40), 26),  # silent for 25 days only
        ((0, 15, 16), 13),  # back for more than 13 days
        ((3, 5), 10),  # still silent
        ((40,), 10),  # no occurrence before
        ((), 10),
    ],
)
def test_no_recurrence(occurrences: tuple[float, ...], least: int) -> None:
    assert recurrence(times(*occurrences), days_with_data(times(*range(50))), least) is None


def test_days_without_data_are_no_silence() -> None:
    days = days_with_data(times(*range(10), *range(1000, 1010)))
    assert recurrence(times(9, 1000), days, 1) is None
    found = recurrence(times(5, 1005), days, 9)
    assert found is not None
    assert found.silent_days == 9


def test_the_latest_of_several_silences_counts() -> None:
    found = recurrence(times(0, 20, 45, 46), days_with_data(times(*range(50))), 10)
    assert found is not None
    assert (found.silent_days, found.n_after) == (24, 2)


def pool_of(days: np.ndarray, classes: np.ndarray, judged: np.ndarray) -> Pool:
    return Pool(
        means=np.zeros((len(days), 2), np.float32),
        gps_times=times(*days),
        is_reference=classes >= 0,
        classes=classes.astype(np.int64),
        conditions=np.zeros(len(days), np.int64),
        judged=judged,
        calibration=np.where(classes >= 0, 0.2, np.nan),
    )


def test_a_class_recurs_where_unlabelled_glitches_look_like_it_after_a_silence() -> None:
    days = np.concatenate([np.arange(20), np.arange(105), np.arange(100, 105)])
    classes = np.concatenate([np.full(20, 7), np.full(105, 8), np.full(5, -1)])
    judged = np.where(classes < 0, 0.1, np.nan)  # nearer to the references than class 7 usually is
    pool = pool_of(days, classes, judged)
    predicted, sure = np.where(classes < 0, 7, classes), np.ones(len(days), bool)
    found = recurrences_in(pool, predicted, sure, 60, 5)
    assert set(found) == {7}
    assert (found[7].silent_days, found[7].n_after) == (80, 5)
    assert not recurrences_in(pool, predicted, sure, 60, 6)  # more occurrences required
    assert not recurrences_in(pool, predicted, sure, 81, 5)  # longer silence required
    # not surely of the class
    assert not recurrences_in(pool, predicted, np.zeros(len(days), bool), 60, 5)
    far = pool_of(days, classes, np.where(classes < 0, 0.3, np.nan))
    assert not recurrences_in(far, predicted, sure, 60, 5)
