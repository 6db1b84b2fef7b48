"""Silences are counted in days with data, and only a recent end of one is a comeback."""

from __future__ import annotations

import numpy as np
import pytest

from glitch.dormancy import DAY_S, comeback, days_with_data


def times(*days: float) -> np.ndarray:
    return DAY_S * (np.array(days) + 0.5)


def test_days_are_those_with_any_glitch() -> None:
    found = days_with_data(np.array([0.0, 86_399.9, 86_400.0, 5 * 86_400.0, np.nan]))
    np.testing.assert_array_equal(found, [0, 1, 5])
    assert not len(days_with_data(np.array([np.nan])))


def test_a_comeback_tells_of_the_silence_before_it() -> None:
    days = days_with_data(times(*range(50)))
    found = comeback(np.append(times(40, 3, 41.2, 5, 40.1), np.nan), days, 30)
    assert found is not None
    assert (found.silent_days, found.n_after) == (34, 3)
    assert found.last_before == times(5)[0]
    assert found.first_after == times(40)[0]


@pytest.mark.parametrize(
    ("occurrences", "least"),
    [
        ((3, 5, 40), 35),  # silent for 34 days
        ((3, 14, 40), 26),  # 25 days
        ((0, 15, 16), 13),  # back for longer than that
        ((3, 5), 10),  # still silent
        ((40,), 10),  # never there before
        ((), 10),
    ],
)
def test_no_comeback(occurrences: tuple[float, ...], least: int) -> None:
    assert comeback(times(*occurrences), days_with_data(times(*range(50))), least) is None


def test_days_without_data_are_no_silence() -> None:
    days = days_with_data(times(*range(10), *range(1000, 1010)))
    assert comeback(times(9, 1000), days, 1) is None
    found = comeback(times(5, 1005), days, 9)
    assert found is not None
    assert found.silent_days == 9


def test_of_several_silences_the_latest_counts() -> None:
    found = comeback(times(0, 20, 45, 46), days_with_data(times(*range(50))), 10)
    assert found is not None
    assert (found.silent_days, found.n_after) == (24, 2)
