"""The kinds for weighting: a class of few labels claims only glitches as near as its own."""

from __future__ import annotations

import numpy as np
import pytest

from glitch.novelty import References, directions, novelty_scores
from glitch.novelty.crowds import crowds_of
from glitch.novelty.false_discovery import benjamini_hochberg
from glitch.novelty.kinds import kinds_of
from glitch.novelty.weighting import Scored, weighted_p_values

COMMON, RARE, OPEN = 1, 2, -1
AXES = np.eye(8, dtype=np.float32)


def about(rng: np.random.Generator, axis: np.ndarray, n: int, spread: float) -> np.ndarray:
    return axis + rng.normal(scale=spread, size=(n, 8)).astype(np.float32)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def group_and_measure(
    rng: np.random.Generator, tested: np.ndarray, n_rare: int, times: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Determine the kinds of tested glitches, given a common class and one of few labels."""
    known = [about(rng, AXES[0], 60, 0.1), about(rng, AXES[1], n_rare, 0.1)]
    units = directions(np.concatenate([*known, tested]))
    classes = np.repeat([COMMON, RARE, OPEN], [60, n_rare, len(tested)])
    kinds, is_sure, _ = kinds_of(
        units,
        np.full(len(units), np.nan) if times is None else times,
        classes,
        classes != OPEN,
        classes == COMMON,
    )
    return kinds[60 + n_rare :], is_sure[60 + n_rare :]


def test_members_of_a_rare_class_keep_their_kind(rng: np.random.Generator) -> None:
    kinds, is_sure = group_and_measure(rng, about(rng, AXES[1], 40, 0.1), 9)
    assert (kinds == RARE).mean() > 0.8  # one in ten is farther out than nine others
    assert is_sure.all()


def test_glitches_far_from_a_rare_class_resemble_the_common_one(rng: np.random.Generator) -> None:
    new = about(rng, 0.55 * AXES[1] + AXES[2], 40, 0.1)
    kinds, _ = group_and_measure(rng, new, 9)
    assert (kinds == COMMON).all()


def test_pictures_of_one_event_say_nothing_of_its_width(rng: np.random.Generator) -> None:
    """Copies of an event do not make its class narrow: nine pictures of three events."""
    events = np.repeat(about(rng, AXES[1], 3, 0.35), 3, axis=0) + 1e-3
    tested = about(rng, AXES[1], 30, 0.2)
    units = directions(np.concatenate([about(rng, AXES[0], 60, 0.1), events, tested]))
    classes = np.repeat([COMMON, RARE, OPEN], [60, 9, 30])
    together = np.concatenate(
        [1000.0 * np.arange(60), np.repeat([1e6, 2e6, 3e6], 3), np.full(30, np.nan)]
    )
    apart = np.where(np.arange(99) < 69, 1000.0 * np.arange(99), np.nan)
    known = classes != OPEN, classes == COMMON
    wide, *_ = kinds_of(units, together, classes, *known)
    narrow, *_ = kinds_of(units, apart, classes, *known)
    assert (wide[69:] == RARE).sum() > (narrow[69:] == RARE).sum()


def test_without_references_nothing_is_like_anything() -> None:
    units = directions(AXES[:3])
    untimed = np.full(3, np.nan)
    none = np.zeros(3, dtype=bool)
    kinds, is_sure, _ = kinds_of(units, untimed, np.full(3, OPEN), none, none)
    assert kinds.tolist() == [OPEN] * 3
    assert not is_sure.any()


def test_a_new_crowd_near_a_rare_class_is_flagged(rng: np.random.Generator) -> None:
    """By the nearest labels alone, a new crowd would count as the class of few, grown frequent."""
    known = np.concatenate([about(rng, AXES[0], 200, 0.15), about(rng, AXES[1], 8, 0.1)])
    tested = np.concatenate(
        [about(rng, AXES[0], 100, 0.15), about(rng, 0.55 * AXES[1] + AXES[2], 30, 0.1)]
    )
    means = np.concatenate([known, tested]).astype(np.float32)
    classes = np.repeat([COMMON, RARE, OPEN], [200, 8, 130])
    untimed = np.full(len(means), np.nan)
    references, places = References.ordered(means[:208], untimed[:208])
    own = np.concatenate([places, np.full(130, -1)])
    units, is_known = directions(means), classes != OPEN
    scores = crowds_of(units, untimed, is_known).scores(
        novelty_scores(means, untimed, own, references)
    )
    kinds, *_ = kinds_of(units, untimed, classes, is_known, classes == COMMON)
    alike, counts = np.zeros(338, dtype=int), np.ones(338)
    p_values = weighted_p_values(
        Scored(scores[208:], kinds[208:], alike[208:], counts[208:]),
        Scored(scores[:200], kinds[:200], alike[:200], counts[:200]),
    )
    flagged = benjamini_hochberg(p_values, 0.1)
    assert flagged[100:].mean() > 0.9
    assert flagged[:100].mean() < 0.1
