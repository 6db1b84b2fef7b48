"""Novelty in crowds: which glitches are flagged, and that the false-discovery rate holds."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from glitch.nearest import nearest_among, nearest_to
from glitch.novelty import References, directions, novelty_scores
from glitch.novelty.crowds import Crowds, crowds_of
from glitch.novelty.false_discovery import benjamini_hochberg
from glitch.novelty.weighting import Scored, weighted_p_values

KINDS = 6
DIMENSIONS = 6


def draw(rng: np.random.Generator, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Draw glitches around one direction for each kind; only the first ``KINDS`` are known."""
    centres = 3 * np.eye(DIMENSIONS + 2)[: len(counts)]
    kinds = np.repeat(np.arange(len(counts)), counts)
    return centres[kinds] + rng.normal(scale=0.8, size=(len(kinds), DIMENSIONS + 2)), kinds


def p_values_of(known: np.ndarray, kinds: np.ndarray, tested: np.ndarray) -> np.ndarray:
    """Compute p-values as ``glitch.novelty.pool`` does, for glitches of one condition."""
    means = np.concatenate([known, tested]).astype(np.float32)
    untimed = np.full(len(means), np.nan)
    references, places = References.ordered(means[: len(known)], untimed[: len(known)])
    own = np.concatenate([places, np.full(len(tested), -1)])
    alone = novelty_scores(means, untimed, own, references)
    units = directions(means)
    is_known = np.arange(len(means)) < len(known)
    scores = crowds_of(units, untimed, is_known).scores(alone)
    near, _ = nearest_to(units, units[: len(known)], 2)
    itself = near[:, 0] == np.arange(len(means))
    predicted = kinds[np.where(itself, near[:, 1], near[:, 0])]
    return weighted(
        scores[len(known) :], predicted[len(known) :], scores[: len(known)], predicted[: len(known)]
    )


def weighted(
    scores: np.ndarray, kinds: np.ndarray, known_scores: np.ndarray, known_kinds: np.ndarray
) -> np.ndarray:
    """Compute weighted p-values of one condition without bursts."""
    return weighted_p_values(
        Scored(scores, kinds, np.zeros(len(scores), dtype=int), np.ones(len(scores))),
        Scored(
            known_scores,
            known_kinds,
            np.zeros(len(known_scores), dtype=int),
            np.ones(len(known_scores)),
        ),
    )


@pytest.mark.parametrize("shifted", [False, True])
def test_the_false_discovery_rate_holds_whatever_has_become_frequent(shifted: bool) -> None:
    rng = np.random.default_rng(5)
    wrong, found = [], []
    for _ in range(40):
        now = np.array([60, 60, 60, 60, 60, 60, 0])
        if shifted:
            now = np.array([240, 60, 20, 20, 10, 10, 0])
        now[KINDS] = 30  # a kind without labels
        known, kinds = draw(rng, np.array([60] * KINDS))
        tested, truth = draw(rng, now)
        flagged = benjamini_hochberg(p_values_of(known, kinds, tested), 0.1)
        is_novel = truth == KINDS
        wrong.append((flagged & ~is_novel).sum() / max(1, flagged.sum()))
        found.append(flagged[is_novel].mean())
    assert np.mean(wrong) <= 0.1 + 2 * np.std(wrong) / np.sqrt(len(wrong))
    assert np.mean(found) >= 0.5


def test_p_values_of_known_kinds_are_uniform_or_larger() -> None:
    rng = np.random.default_rng(6)
    p_values = np.concatenate(
        [
            p_values_of(*draw(rng, np.array([40] * KINDS)), draw(rng, np.array([20] * KINDS))[0])
            for _ in range(30)
        ]
    )
    for level in (0.02, 0.05, 0.1, 0.3):
        # Glitches tested together are not independent, hence the tolerance.
        assert (p_values <= level).mean() <= 1.25 * level


def test_a_crowd_is_more_novel_than_a_loner_as_far_away() -> None:
    rng = np.random.default_rng(7)
    known, kinds = draw(rng, np.array([60] * KINDS))
    far = 3 * np.eye(DIMENSIONS + 2)[KINDS]
    crowd = far + rng.normal(scale=0.3, size=(15, DIMENSIONS + 2))
    loner = 3 * np.eye(DIMENSIONS + 2)[KINDS + 1]
    p_values = p_values_of(known, kinds, np.concatenate([crowd, [loner], known[:50] * 1.01]))
    assert p_values[:15].max() < p_values[16:].min()
    assert p_values[:15].mean() <= p_values[15]


def test_weights_follow_the_kinds_of_now() -> None:
    known_scores = np.concatenate([np.linspace(0, 1, 50), np.linspace(1, 2, 50)])
    known_kinds = np.repeat([0, 1], 50)
    alike = np.linspace(0, 1.99, 100)
    even = weighted(alike, known_kinds, known_scores, known_kinds)
    assert (even[:-1] >= even[1:]).all()
    # Now nearly all are of the second kind, so a score that is usual there is no longer unusual.
    mostly = weighted(
        np.concatenate([np.linspace(1, 2, 95), [1.5]]), np.ones(96, int), known_scores, known_kinds
    )
    rarely = weighted(
        np.concatenate([np.linspace(0, 1, 95), [1.5]]), np.zeros(96, int), known_scores, known_kinds
    )
    assert mostly[-1] == pytest.approx(0.5, abs=0.03)
    assert rarely[-1] < 0.05
    unheard = weighted(np.array([9.0]), np.array([5]), known_scores, known_kinds)
    assert unheard[0] >= 1 / 101


def test_one_known_straggler_does_not_call_a_new_class_frequent() -> None:
    """One known outlier must not make a new class look like a frequent known one.

    It is the only known glitch of its kind; lower scores are not ordinary because of that.
    """
    known = np.concatenate([np.linspace(0, 2, 200), [9.0]])
    known_kinds = np.concatenate([np.zeros(200, int), [1]])
    tested = np.concatenate([np.linspace(0, 2, 100), np.full(30, 6.0)])
    kinds = np.repeat([0, 1], [100, 30])
    # Most of a new class look like the first kind, and the rest like the outlier.
    kinds[100:120] = 0
    p_values = weighted(tested, kinds, known, known_kinds)
    assert p_values[100:120].max() < 0.02  # 0.1 or more if the outlier represented its kind
    assert (p_values[:100] <= 0.05).mean() <= 0.05
    # The rest may be a known class with few labels that is now frequent, so less significant.
    assert 0.02 < p_values[120:].min() == p_values[120:].max() < 0.2
    # With five labels, the median decides.
    enough = np.concatenate([known_kinds[:200], np.ones(5, int)])
    known = np.concatenate([known[:200], np.linspace(5, 7, 5)])
    assert weighted(tested, kinds, known, enough)[120:].min() > 0.1
    none_enough = weighted(np.array([0.0, 9.0]), np.array([0, 1]), known[:3], np.arange(3))
    assert none_enough == pytest.approx([4 / 4, 1 / 4])  # each has the same weight


def test_conditions_weigh_as_kinds_do() -> None:
    """Glitches are weighted by their observing condition as they are by their kind.

    Scores of one window are high; if all tests are of it, its references must count for more.
    """
    rng = np.random.default_rng(11)
    known = np.concatenate([rng.normal(size=300), 3 + rng.normal(size=100)])
    seen = np.repeat([0, 1], [300, 100])
    tested = 3 + rng.normal(size=400)  # all observed in one window
    p_values = weighted_p_values(
        Scored(tested, np.zeros(400, int), np.ones(400, int), np.ones(400)),
        Scored(known, np.zeros(400, int), seen, np.ones(400)),
    )
    assert (p_values <= 0.1).mean() < 0.14
    blind = weighted(tested, np.zeros(400, int), known, np.zeros(400, int))
    assert (blind <= 0.1).mean() > 0.3


def test_nearest_others_are_the_peers() -> None:
    rng = np.random.default_rng(8)
    units = directions(rng.normal(size=(300, 5)).astype(np.float32))
    places, chords = nearest_among(units, 7)
    expected, at = NearestNeighbors(n_neighbors=8).fit(units).kneighbors(units)
    np.testing.assert_allclose(chords, expected[:, 1:], atol=2e-4)
    assert (places == at[:, 1:]).mean() > 0.99
    assert nearest_among(units[:1], 3)[0].shape == (1, 0)
    assert nearest_among(units[:3], 7)[0].shape == (3, 2)


def test_a_crowd_is_one_of_each_other_event() -> None:
    rng = np.random.default_rng(12)
    means = np.eye(3)[np.repeat([0, 1, 2], [30, 30, 40])] + rng.normal(scale=0.05, size=(100, 3))
    means = means.astype(np.float32)
    means[50:60] = means[50]  # ten glitches within one minute
    times = 1000.0 * np.arange(100)
    times[50:60] = 50_000 + np.arange(10)
    crowds = crowds_of(directions(means), times, np.zeros(100, bool))
    alone = crowds_of(
        directions(np.delete(means, np.arange(51, 60), axis=0)),
        np.delete(times, np.arange(51, 60)),
        np.zeros(91, bool),
    )
    np.testing.assert_allclose(crowds.to_any[:51], alone.to_any[:51], atol=1e-6)
    np.testing.assert_allclose(crowds.weights[50:60], 0.1)
    assert (crowds.weights[:50] == 1).all()


def test_too_few_other_events_is_no_crowd() -> None:
    means = np.ones((30, 3)) + 0.01 * np.random.default_rng(1).normal(size=(30, 3))
    units = directions(means.astype(np.float32))
    assert np.isnan(crowds_of(units, 1000.0 + np.arange(30), np.zeros(30, bool)).to_any).all()


@pytest.mark.parametrize("is_timed", [True, False])
def test_a_source_that_repeats_itself_all_day_hides_no_other_events(
    monkeypatch: pytest.MonkeyPatch, is_timed: bool
) -> None:
    """A source that repeats for a day must not fill the neighbour search of other glitches.

    One representative of each day stands for all repetitions.
    """
    rng = np.random.default_rng(4)
    source = rng.normal(size=12)
    others = rng.normal(size=(200, 12))
    copies = source + 0.02 * rng.normal(size=(1400, 12))
    units = directions(np.concatenate([others, copies]).astype(np.float32))
    times = np.concatenate([2e5 * np.arange(200), 1e6 + 61.0 * np.arange(1400)])
    if not is_timed:
        times[200:] = np.nan
    is_known = np.arange(1600) < 150
    found = crowds_of(units, times, is_known)
    assert np.isfinite(found.to_any).all()
    expected = np.sort(1 - units[200:] @ units[:200].T, axis=1)[:, 4]
    np.testing.assert_allclose(found.to_any[200:], expected, atol=0.02)
    monkeypatch.setattr(
        "glitch.novelty.crowds.are_heads", lambda units, _times: np.ones(len(units), dtype=bool)
    )
    assert np.isnan(crowds_of(units, times, is_known).to_any[200:]).all()


def test_the_score_by_hand_and_by_brute_force() -> None:
    by_hand = Crowds(
        np.array([0.1, 0.3]),
        np.array([0.6, 0.0]),
        np.ones(2),
        np.arange(2),
        np.zeros((2, 0), int),
        np.zeros(2, dtype=bool),
    )
    np.testing.assert_allclose(by_hand.scores(np.array([0.4, 0.3])), [2 + 0.6 + 0.4, 0.75 + 0.3])
    rng = np.random.default_rng(14)
    units = directions(rng.normal(size=(60, 4)).astype(np.float32))
    is_known = rng.random(60) < 0.5
    to_known = rng.random(60)
    found = crowds_of(units, 1e5 * np.arange(60), is_known).scores(to_known)
    cosine = 1 - units.astype(np.float64) @ units.T.astype(np.float64)
    for one in range(60):
        others = np.argsort(cosine[one] + 9 * (np.arange(60) == one))
        fifth, share = cosine[one, others[4]], np.mean(~is_known[others[:10]])
        expected = to_known[one] / (fifth + 0.1) + share + to_known[one]
        assert found[one] == pytest.approx(expected, abs=1e-4)
