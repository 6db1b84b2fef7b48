"""Which glitches count as one event."""

from __future__ import annotations

import numpy as np
import pytest

from glitch.novelty import directions
from glitch.novelty.conditions import condition_of
from glitch.novelty.episodes import (
    EPISODE_S,
    MAX_HEADS,
    MAX_OF_EPISODE,
    STORM_S,
    are_heads,
    one_per_episode,
    representatives_of,
    same_event,
)
from glitch.views import Preprocessing, Views

NAN = np.nan


@pytest.mark.parametrize(
    ("distance", "times", "is_one"),
    [
        (1.0, (0.0, EPISODE_S), True),
        (0.009, (0.0, EPISODE_S + 1), True),  # the same source, repeating
        (0.009, (STORM_S, 0.0), True),
        (0.011, (0.0, EPISODE_S + 1), False),
        (0.0, (0.0, STORM_S + 1), False),  # more than a day apart, however alike
        (0.001, (NAN, 5.0), True),
        (0.001, (NAN, NAN), True),
        (0.011, (NAN, 5.0), False),
    ],
)
def test_one_event_by_time_or_by_likeness(
    distance: float, times: tuple[float, float], is_one: bool
) -> None:
    pairs = same_event(np.array([distance]), np.array(times[:1]), np.array(times[1:]))
    assert pairs.tolist() == [is_one]


def test_one_glitch_represents_each_episode_and_class() -> None:
    units = directions(np.random.default_rng(1).normal(size=(9, 6)).astype(np.float32))
    units[8] = units[7]  # a copy; neither has a time
    times = np.array([0.0, 3.0, 130.0, 140.0, 5.0, NAN, NAN, NAN, NAN])
    units[6] = units[0]  # a copy without a time of a glitch with a time
    classes = np.array([1, 1, 1, 1, 2, 1, 1, 1, 1])
    is_selected = one_per_episode(units, times, classes)
    assert is_selected.tolist() == [True, False, True, False, True, True, False, True, False]


def test_the_next_representative_comes_after_the_episode_of_the_last_one() -> None:
    """An episode begins at a representative: glitches 100 s apart do not prolong it."""
    times = np.array([0.0, 100, 120, 200, 300, 321])
    units = directions(np.random.default_rng(3).normal(size=(6, 6)).astype(np.float32))
    is_selected = one_per_episode(units, times, np.ones(6, dtype=np.int64))
    assert is_selected.tolist() == [True, False, False, True, False, True]


def test_a_burst_has_few_representatives_including_its_outliers() -> None:
    rng = np.random.default_rng(2)
    means = np.array([1.0, 0, 0, 0]) + 0.01 * rng.normal(size=(500, 4))
    means[321] = [0, 0, 1, 0]
    times = 1200.0 + rng.uniform(0, 100, 500)
    times[400:] += 1e6 * np.arange(100)
    representatives = representatives_of(directions(means.astype(np.float32)), times)
    assert len(np.unique(representatives[:400])) == MAX_OF_EPISODE
    assert representatives[321] == 321
    assert (representatives == 321).sum() == 1
    just_more = representatives_of(directions(means[:17].astype(np.float32)), np.full(17, 1200.0))
    assert len(np.unique(just_more)) == MAX_OF_EPISODE
    assert (representatives[401:] == np.arange(401, 500)).all()
    assert (
        representatives_of(directions(means.astype(np.float32)), np.full(500, NAN))
        == np.arange(500)
    ).all()


def test_repetitions_within_a_day_have_one_head() -> None:
    axes = np.eye(4, dtype=np.float32)
    looks = [0, 1, 0, 2, 0, 1, 0, 3]
    days = np.array([5.1, 5.2, 5.9, 5.3, 6.1, 6.2, 6.3, -1.5])  # not in order of time
    heads = are_heads(axes[looks], days * STORM_S)
    assert heads.tolist() == [True, True, False, True, True, True, False, True]
    untimed = are_heads(axes[looks], np.full(8, NAN))
    assert untimed.tolist() == [True, True, False, True, False, False, False, True]
    mixed = np.array([5.1 * STORM_S, NAN, 5.2 * STORM_S, NAN])
    assert are_heads(axes[[0, 0, 0, 0]], mixed).tolist() == [True, True, False, False]


def test_the_last_of_a_day_is_compared_too_and_only_so_many_look_for_others() -> None:
    units = np.eye(MAX_HEADS + 3, dtype=np.float32)
    twice = np.concatenate([units, units])
    heads = are_heads(twice, np.full(len(twice), 1e9))
    assert heads[: len(units)].all()
    assert heads[len(units) :].tolist() == [False] * MAX_HEADS + [True] * 3
    pair = are_heads(units[[0, 0]], np.array([1e9, 1e9]))
    assert pair.tolist() == [True, False]


def test_a_condition_names_windows_and_bands() -> None:
    recipe = Preprocessing()
    observed = np.zeros((4, 128), dtype=bool)
    observed[[0, 3]] = True
    values = np.zeros((4, 128, 128), dtype=np.float32)
    assert condition_of(Views(values, observed, recipe)) == "0.5 + 4 s, 10 to 2048 Hz"
    observed[:, recipe.frequencies_hz() > 1291] = False
    narrow = condition_of(Views(values, observed, recipe))
    assert narrow.startswith("0.5 + 4 s, 10 to 1")
    observed[3, 20] = False
    assert "without 1 rows between" in condition_of(Views(values, observed, recipe))
