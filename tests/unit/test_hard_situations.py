"""Hard situations on drawn vectors: known glitches are not flagged, new ones still are.

The situations are those of ``benchmarks/discovery/hard_situations.py``, which puts real pictures
through the encoder. Each safeguard is disabled once, and a situation must then fail.
"""

from __future__ import annotations

import functools
import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import hypergeom

import glitch.novelty.common_masks
import glitch.novelty.conformal
import glitch.novelty.crowds
from glitch.novelty.fair_sample import SIGMAS, selection_excess


def _load(name: str) -> Any:
    root = str(Path(__file__).parents[2])
    if root not in sys.path:
        sys.path.append(root)
    return importlib.import_module(f"benchmarks.discovery.{name}")


situations, label_choices, drawn_bed = map(_load, ("situations", "label_choices", "drawn_bed"))
KNOWN = ("a", "b", "c", "d", "e", "f")
DRAWS = 6


@pytest.fixture(scope="module")
def bed() -> Any:
    return drawn_bed.DrawnBed(dict.fromkeys(KNOWN, 80) | {"new": 30}, seed=5)


Judged = list[tuple[Any, Any]]  # for each draw, the situation and its result


def drawn(
    bed: Any, make: Any, hidden: str | None = None, way: Any = None, *, stream: int = 3
) -> Judged:
    """Draw a situation several times, and judge each draw."""
    judged = []
    for seed in range(DRAWS):
        rng = np.random.default_rng([seed, stream])
        case = situations.plain(bed, rng, KNOWN, hidden)
        if hidden is None:  # not among the known, and not tested
            case = case.chosen(np.array(bed.labels)[case.places] != "new")
        case = make(case, bed, rng)
        judged.append((case, situations.judge(case, bed, way or situations.as_a_crowd)))
    return judged


@pytest.fixture(scope="module")
def as_a_crowd(bed: Any) -> Any:
    """Judge each situation once, for all tests that disable no safeguard."""
    return functools.cache(lambda name, hidden: drawn(bed, SITUATIONS[name], hidden))


def flagged(
    bed: Any, make: Any, *, hidden: str | None = None, way: Any = None
) -> tuple[float, float, float, float]:
    return flags_of(drawn(bed, make, hidden, way))


def flags_of(judged: Judged) -> tuple[float, float, float, float]:
    """Return means over draws: known glitches flagged, realised rate, recall, unjudged fraction."""
    wrong, rates, recall, unjudged = [], [], [], []
    for case, found in judged:
        is_flagged = found.flagged(0.1)
        is_new = case.is_hidden & case.is_open
        wrong.append((is_flagged & ~is_new).sum())
        counted = found.weights * is_flagged  # a burst counts as one
        rates.append(counted[~is_new].sum() / max(1e-9, counted.sum()))
        recall.append((is_flagged & is_new).sum() / max(1, is_new.sum()))
        unjudged.append((case.is_open & ~np.isfinite(found.p_values)).sum() / case.is_open.sum())
    return (
        float(np.mean(wrong)),
        float(np.mean(rates)),
        float(np.mean(recall)),
        float(np.mean(unjudged)),
    )


SITUATIONS = {
    "as it is": situations.unchanged,
    "a burst of 20": situations.burst("a", 20),
    "a burst of 40": situations.burst("c", 40),
    "40 pictures of one event": situations.one_event("b", 40),
    "one glitch 40 times, every 121 s": situations.burst("e", 40, 121.0),
    "one glitch 40 times, every ten minutes": situations.burst("f", 40, situations.REGULAR_S),
    "labels in episodes of ten": situations.labels_in_episodes(0.5, 10),
    "labels ten times, every ten minutes": situations.labels_in_episodes(
        0.5, 10, situations.REGULAR_S
    ),
    "four copies of labels without times": situations.labels_copied_without_times(0.5, 4),
    "six copies of labels without times": situations.labels_copied_without_times(0.5, 6),
    "labels without times": situations.without_times,
    "13 labels a class": situations.few_labels(13),
    "uneven": situations.uneven(1.2),
    "one class 20 times as frequent": situations.frequent("a", 20),
    "two detectors": situations.two_detectors,
}


@pytest.mark.parametrize("name", SITUATIONS)
def test_known_classes_are_not_flagged(bed: Any, as_a_crowd: Any, name: str) -> None:
    wrong, rate, _, _ = flags_of(as_a_crowd(name, None))
    assert rate <= 0.1 + 3 * np.sqrt(0.1 * 0.9 / DRAWS)
    assert wrong < 1
    assert flagged(bed, SITUATIONS[name], way=situations.alone)[0] < 1


@pytest.mark.parametrize(
    "name", [name for name in SITUATIONS if name not in ("13 labels a class", "two detectors")]
)
def test_a_new_class_is_flagged_all_the_same(as_a_crowd: Any, name: str) -> None:
    _, rate, recall, _ = flags_of(as_a_crowd(name, "new"))
    assert recall > 0.5
    assert rate < 0.15


@pytest.mark.parametrize("is_open", [True, False])
def test_glitches_seen_in_other_windows_or_bands_are_not_judged_alone(
    bed: Any, is_open: bool
) -> None:
    for make in (
        situations.observed_otherwise(is_open=is_open, windows="one"),
        situations.observed_otherwise(is_open=is_open, highest_hz=1291.0),
    ):
        assert flagged(bed, make)[0] < 1
    assert flagged(bed, situations.observed_otherwise(is_open=True, highest_hz=646.0))[3] == 1


def test_a_class_is_known_from_twelve_labels_on(bed: Any) -> None:
    """Glitches of a class of fewer than twelve labels may be flagged, and are counted apart."""
    assert flagged(bed, situations.labels_of_class("a", 12))[0] < 1
    assert flagged(bed, situations.labels_of_class("a", 2))[0] >= 5
    case = situations.plain(bed, np.random.default_rng(1), KNOWN, "new")
    case = situations.labels_of_class("a", 11)(case, bed, np.random.default_rng(1))
    is_few = situations.has_few_labels(case, bed)
    is_a = np.array(bed.labels)[case.places] == "a"
    np.testing.assert_array_equal(is_few, is_a & case.is_open)


def told_of(judged: Judged) -> tuple[list[float], int]:
    """Return the label excess of each draw in standard deviations, and the draws with a finding.

    The finding is that the labels cover too little of their classes.
    """
    return [found.selection_excess.sigmas for _, found in judged], sum(
        found.neighbour_excess.is_significant for _, found in judged
    )


@pytest.mark.parametrize("hidden", [None, "new"])
def test_only_an_unfair_sample_of_labels_is_reported(
    bed: Any, as_a_crowd: Any, hidden: str | None
) -> None:
    for share in (0.5, 0.75, 0.9):
        sigmas, _ = told_of(drawn(bed, situations.typical_labels(share), hidden, stream=9))
        assert np.median(sigmas) > SIGMAS
    for make in (
        label_choices.faintest_unlabelled(0.25),
        situations.drawn_otherwise(power=0.7),
        situations.drawn_otherwise(black_hz=646.0),
    ):
        assert told_of(drawn(bed, make, hidden, stream=9))[1] == DRAWS
    for name in SITUATIONS:
        fair, n_aside = told_of(as_a_crowd(name, hidden))
        assert np.median(fair) < 1.5, (name, hidden)
        assert sum(one >= SIGMAS for one in fair) <= 1, (name, hidden)
        assert n_aside == 0, (name, hidden)


def test_label_coverage_is_checked_under_common_masks_too(bed: Any) -> None:
    less = situations.observed_otherwise(is_open=True, highest_hz=1291.0)
    otherwise = situations.both(less, situations.drawn_otherwise(power=0.7))
    assert told_of(drawn(bed, less, None, situations.in_common, stream=9))[1] == 0
    assert told_of(drawn(bed, otherwise, None, situations.in_common, stream=9))[1] == DRAWS


OTHERWISE = {
    "tests of one window": situations.observed_otherwise(is_open=True, windows="one"),
    "labels of the 1 s window": situations.labels_of_window(1.0),
    "tests of 4 kHz strain": situations.observed_otherwise(is_open=True, highest_hz=1291.0),
    "tests of 2 kHz strain": situations.observed_otherwise(is_open=True, highest_hz=646.0),
    "labels of 4 kHz strain": situations.observed_otherwise(is_open=False, highest_hz=1291.0),
}


@pytest.mark.parametrize("name", OTHERWISE)
def test_glitches_seen_in_other_windows_or_bands_are_judged_under_common_masks(
    bed: Any, name: str
) -> None:
    wrong, _, _, unjudged = flagged(bed, OTHERWISE[name], way=situations.in_common)
    assert unjudged == 0
    assert wrong < 1
    _, rate, recall, unjudged = flagged(
        bed, OTHERWISE[name], hidden="new", way=situations.in_common
    )
    assert unjudged == 0
    assert recall > 0.5
    assert rate < 0.15


def test_tests_under_a_mask_that_references_are_not_under_break_it(
    bed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If only the tests are masked and not their references, known glitches are flagged."""
    make = OTHERWISE["tests of 4 kHz strain"]
    masked = drawn_bed.DrawnBed.masked

    def tests_alone(bed: Any, places: Any, variants: Any, mask: Any) -> Any:
        as_they_are = bed.means(places, variants)
        is_less = np.array([one.highest_hz is not None for one in variants])
        return np.where(is_less[:, None], masked(bed, places, variants, mask), as_they_are)

    monkeypatch.setattr(drawn_bed.DrawnBed, "masked", tests_alone)
    assert flagged(bed, make, way=situations.in_common)[0] >= 10


def test_with_several_masks_the_largest_p_value_counts(
    bed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The largest p-value of several masks counts, since each mask lacks most classes here.

    Each reference was observed in one window, which depends on its class.
    """
    rng = np.random.default_rng([0, 3])
    case = situations.plain(bed, rng, KNOWN, "new")
    variants = [
        one if is_open else one._replace(window_s=bed.windows[0][number % 4])
        for one, is_open, number in zip(case.variants, case.is_open, case.classes, strict=True)
    ]
    case = situations.replace(case, variants=tuple(variants))
    found = situations.judge(case, bed, situations.in_common)
    assert not (found.flagged(0.1) & ~case.is_hidden).any()
    every = glitch.novelty.common_masks.common_masks
    single = []
    for place in range(4):
        monkeypatch.setattr(
            glitch.novelty.common_masks,
            "common_masks",
            lambda *arguments, place=place: every(*arguments)[place : place + 1],
        )
        single.append(situations.judge(case, bed, situations.in_common).p_values)
    largest = np.max(np.array(single)[:, case.is_open], axis=0)
    np.testing.assert_array_equal(found.p_values[case.is_open], largest)
    assert (np.array(single)[:, case.is_open].min(axis=0) < largest).any()


def test_masks_cover_the_references_and_are_contained_in_what_was_seen() -> None:
    """Masks cover enough references and are part of what was observed, for three conditions."""
    whole = np.ones((3, 2), dtype=bool)
    first, second, third = (np.zeros((3, 2), dtype=bool) for _ in range(3))
    first[0], second[:2], third[2] = True, True, True
    conditions = np.stack([first, second, third])
    chosen = glitch.novelty.common_masks.common_masks(whole, conditions, np.array([30, 10, 25]))
    assert [one.tolist() for one in chosen] == [first.tolist(), third.tolist()]
    less = second.copy()
    less[0] = False
    (only,) = glitch.novelty.common_masks.common_masks(less, conditions, np.array([30, 40, 25]))
    assert only.tolist() == less.tolist()
    assert not glitch.novelty.common_masks.common_masks(third, conditions, np.array([30, 40, 19]))


def nothing_is_one_event(distances: Any, times: Any, others: Any) -> Any:
    """Treat each glitch as an event of its own: only itself is at distance zero."""
    return np.abs(distances) < 1e-9


def test_without_episodes_a_burst_is_flagged(bed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(glitch.novelty.crowds, "same_event", nothing_is_one_event)
    monkeypatch.setattr(glitch.novelty.crowds, "EPISODE_S", 0.0)
    assert flagged(bed, SITUATIONS["a burst of 40"])[0] >= 10
    assert flagged(bed, SITUATIONS["40 pictures of one event"])[0] >= 10


def test_without_storms_what_repeats_itself_for_hours_is_flagged(
    bed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the one-day rule, repetitions after two minutes are other events and are flagged."""

    def of_one_episode(distances: Any, times: Any, others: Any) -> Any:
        apart = np.abs(times - others)
        return np.where(np.isnan(apart), distances <= 0.01, apart <= 120.0)

    monkeypatch.setattr(glitch.novelty.crowds, "same_event", of_one_episode)
    assert flagged(bed, SITUATIONS["one glitch 40 times, every ten minutes"])[0] >= 10
    monkeypatch.setattr(glitch.novelty.conformal, "STORM_S", 0.0)
    assert flagged(bed, SITUATIONS["labels ten times, every ten minutes"])[0] >= 10


def test_with_too_short_a_search_one_event_is_flagged(
    bed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a short neighbour search, the pictures of one event fill it, and many are not judged."""
    monkeypatch.setattr(glitch.novelty.crowds, "_MAX_SEARCHED", 0)
    monkeypatch.setattr(glitch.novelty.crowds, "_N_SEARCHED", 20)
    monkeypatch.setattr(
        glitch.novelty.crowds, "representatives_of", lambda units, _times: np.arange(len(units))
    )
    monkeypatch.setattr(
        glitch.novelty.crowds, "are_heads", lambda units, _times: np.ones(len(units), dtype=bool)
    )
    assert flagged(bed, SITUATIONS["40 pictures of one event"])[3] > 0.1


def test_labels_that_all_calibrate_break_it(bed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def all_stand(units: Any, _times: Any, _classes: Any) -> Any:
        return np.ones(len(units), dtype=bool)

    def none_is_apart(distances: Any, times: Any, others: Any) -> Any:
        return nothing_is_one_event(distances, times, others)

    monkeypatch.setattr(glitch.novelty.common_masks, "one_per_episode", all_stand)
    monkeypatch.setattr(glitch.novelty.conformal, "EPISODE_S", -1.0)
    monkeypatch.setattr(glitch.novelty.conformal, "STORM_S", -1.0)
    monkeypatch.setattr(glitch.novelty.crowds, "same_event", none_is_apart)
    assert flagged(bed, SITUATIONS["labels in episodes of ten"], way=situations.alone)[0] >= 10


def test_copies_that_are_not_recognised_break_it(bed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(glitch.novelty.conformal, "COPY_DISTANCE", 0.0)
    name = "six copies of labels without times"
    assert flagged(bed, SITUATIONS[name], way=situations.alone)[0] >= 10


def test_conditions_that_are_not_heeded_break_it(bed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        drawn_bed.DrawnBed, "conditions", lambda _bed, places, _v: np.zeros(len(places), dtype=int)
    )
    make = situations.observed_otherwise(is_open=True, highest_hz=1291.0)
    assert flagged(bed, make)[0] >= 10


def test_a_burst_counts_once_and_is_flagged_whole_or_not(bed: Any) -> None:
    rng = np.random.default_rng(1)
    case = situations.plain(bed, rng, KNOWN, None)
    case = case.chosen(np.array(bed.labels)[case.places] != "new")
    strangest = int(np.nanargmin(situations.judge(case, bed).p_values))
    stormy = situations.with_copies(case, np.array([strangest]), 39, 3.0)
    found = situations.judge(stormy, bed)
    burst = np.append(np.arange(len(case.places), len(stormy.places)), strangest)
    assert found.weights[burst].sum() == pytest.approx(1)
    assert len(np.unique(found.p_values[burst])) == 1
    assert not found.flagged(0.2)[burst].any()


def test_typical_labels_are_reported_however_few_there_are() -> None:
    """The check finds typical labels even if few glitches are labelled.

    If most glitches are unlabelled, most neighbours of the labelled ones are unlabelled, too.
    """
    rng = np.random.default_rng(3)
    kinds, is_test = np.zeros(200, dtype=np.int64), np.arange(200) < 150
    crowded = rng.choice([0.6, 0.7, 0.8], 200)
    # a new kind that looks most like this one, but has no labelled neighbours
    new = np.arange(200) < 60
    among = np.where(new, 1.0, crowded)
    fair = rng.random(200) + 5 * new
    assert abs(selection_excess(fair, among, kinds, is_test, ~is_test).sigmas) < SIGMAS
    typical = fair + 0.4 * is_test
    assert selection_excess(typical, among, kinds, is_test, ~is_test).sigmas > SIGMAS


def test_the_selection_excess_counts_the_farthest_of_each_kind() -> None:
    rng = np.random.default_rng(2)
    kinds = rng.integers(0, 2, 300)
    is_test = rng.random(300) < 0.4
    away = rng.random(300) + 0.5 * is_test
    amid = np.where(np.arange(300) < 250, 0.1, 1.0)
    found = selection_excess(away, amid, kinds, is_test, ~is_test)
    more, variance = 0.0, 0.0
    for kind in (0, 1):
        one = np.nonzero((kinds == kind) & (amid < 0.5))[0]
        chance = hypergeom(len(one), is_test[one].sum(), round(len(one) / 20))
        far = one[np.argsort(-away[one])][: round(len(one) / 20)]
        more, variance = more + is_test[far].sum() - chance.mean(), variance + chance.var()
    assert found == pytest.approx((more, variance))
    assert found.sigmas > SIGMAS
    # Glitches at equal distance count in equal shares, so the order of the input does not matter.
    away[np.argsort(-away)[:40]] = 9.0
    given = selection_excess(away, amid, kinds, is_test, ~is_test)
    turned = selection_excess(away[::-1], amid[::-1], kinds[::-1], is_test[::-1], ~is_test[::-1])
    assert turned == pytest.approx(given)
    assert selection_excess(away, amid, kinds, is_test, np.zeros(300, dtype=bool)).sigmas == 0
