"""Novelty in company: what is flagged, and that the false-discovery rate holds."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from glitch.company import company_scores, weighted_p_values
from glitch.false_discovery import benjamini_hochberg
from glitch.nearest import nearest_among, nearest_to
from glitch.novelty import References, directions, novelty_scores

KINDS = 6
DIMENSIONS = 6


def draw(rng: np.random.Generator, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Glitches about one direction a kind; the first ``KINDS`` are known, others are not."""
    centres = 3 * np.eye(DIMENSIONS + 2)[: len(counts)]
    kinds = np.repeat(np.arange(len(counts)), counts)
    return centres[kinds] + rng.normal(scale=0.8, size=(len(kinds), DIMENSIONS + 2)), kinds


def p_values_of(known: np.ndarray, kinds: np.ndarray, tested: np.ndarray) -> np.ndarray:
    """As ``app.clusters.company`` makes them."""
    means = np.concatenate([known, tested]).astype(np.float32)
    nowhen = np.full(len(means), np.nan)
    references, places = References.ordered(means[: len(known)], nowhen[: len(known)])
    own = np.concatenate([places, np.full(len(tested), -1)])
    alone = novelty_scores(means, nowhen, own, references)
    units = directions(means)
    is_known = np.arange(len(means)) < len(known)
    scores = company_scores(units, nowhen, is_known, alone)
    near, _ = nearest_to(units, units[: len(known)], 2)
    itself = near[:, 0] == np.arange(len(means))
    looks = kinds[np.where(itself, near[:, 1], near[:, 0])]
    return weighted_p_values(
        scores[len(known) :], looks[len(known) :], scores[: len(known)], looks[: len(known)]
    )


@pytest.mark.parametrize("shifted", [False, True])
def test_the_false_discovery_rate_holds_whatever_has_become_frequent(shifted: bool) -> None:
    rng = np.random.default_rng(5)
    wrong, found = [], []
    for _ in range(40):
        now = np.array([60, 60, 60, 60, 60, 60, 0])
        if shifted:
            now = np.array([240, 60, 20, 20, 10, 10, 0])
        now[KINDS] = 30  # of a kind that no label names
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
        # Glitches tested together depend on each other: hence the slack.
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
    even = weighted_p_values(alike, known_kinds, known_scores, known_kinds)
    assert (even[:-1] >= even[1:]).all()
    # Nearly all are of the second kind now: a score usual there is nothing special any more.
    mostly = weighted_p_values(
        np.concatenate([np.linspace(1, 2, 95), [1.5]]), np.ones(96, int), known_scores, known_kinds
    )
    rarely = weighted_p_values(
        np.concatenate([np.linspace(0, 1, 95), [1.5]]), np.zeros(96, int), known_scores, known_kinds
    )
    assert mostly[-1] == pytest.approx(0.5, abs=0.03)
    assert rarely[-1] < 0.05
    unheard = weighted_p_values(np.array([9.0]), np.array([5]), known_scores, known_kinds)
    assert unheard[0] >= 1 / 101


def test_nearest_others_are_the_peers() -> None:
    rng = np.random.default_rng(8)
    units = directions(rng.normal(size=(300, 5)).astype(np.float32))
    places, chords = nearest_among(units, 7)
    expected, at = NearestNeighbors(n_neighbors=8).fit(units).kneighbors(units)
    np.testing.assert_allclose(chords, expected[:, 1:], atol=2e-4)
    assert (places == at[:, 1:]).mean() > 0.99
    assert nearest_among(units[:1], 3)[0].shape == (1, 0)
    assert nearest_among(units[:3], 7)[0].shape == (3, 2)


@pytest.mark.timeout(1200)  # the search is compiled first: seconds, minutes on a crowded machine
def test_beyond_the_exact_the_nearest_are_nearly_all_found_and_the_same_each_time() -> None:
    rng = np.random.default_rng(9)
    units = directions(rng.normal(size=(2000, 6)).astype(np.float32))
    units[5] = units[6]  # the same place
    exact, _ = nearest_among(units, 10)
    places, chords = nearest_among(units, 10, most_exact=100)
    assert (places != np.arange(2000)[:, None]).all()
    assert (np.diff(chords, axis=1) >= 0).all()
    found = [len(set(one) & set(other)) for one, other in zip(exact, places, strict=True)]
    assert np.mean(found) > 9
    again, _ = nearest_among(units, 10, most_exact=100)
    np.testing.assert_array_equal(places, again)
