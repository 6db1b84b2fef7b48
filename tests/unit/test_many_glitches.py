"""More glitches than an exact search can take: nearly the same results, in a short time.

All in one file, because the search is compiled once in each process, which can take minutes.
"""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from glitch.clustering import FoundCluster, find_clusters
from glitch.nearest import nearest_among
from glitch.novelty import directions
from glitch.novelty.crowds import crowds_of

pytestmark = pytest.mark.timeout(1200)


def test_beyond_the_exact_the_nearest_are_nearly_all_found_and_the_same_each_time() -> None:
    rng = np.random.default_rng(9)
    units = directions(rng.normal(size=(2000, 6)).astype(np.float32))
    units[5] = units[6]  # equal vectors
    exact, _ = nearest_among(units, 10)
    places, chords = nearest_among(units, 10, max_exact=100)
    assert (places != np.arange(2000)[:, None]).all()
    assert (np.diff(chords, axis=1) >= 0).all()
    found = [len(set(one) & set(other)) for one, other in zip(exact, places, strict=True)]
    assert np.mean(found) > 9
    again, _ = nearest_among(units, 10, max_exact=100)
    np.testing.assert_array_equal(places, again)


def test_a_burst_of_a_hundred_thousand_takes_linear_time() -> None:
    """The search does not compare all pairs of a burst, which would be ten thousand million."""
    rng = np.random.default_rng(13)
    usual = rng.normal(size=(2000, 8))
    burst = rng.normal(size=8) + 0.1 * rng.normal(size=(100_000, 8))
    units = directions(np.concatenate([usual, burst]).astype(np.float32))
    times = np.concatenate([1000.0 * np.arange(2000), 5e6 + np.sort(rng.uniform(0, 100, 100_000))])
    crowds = crowds_of(units, times, np.arange(102_000) < 1000)
    assert crowds.weights[2000:].sum() < 40  # at most the representatives of the episode
    assert np.isfinite(crowds.to_any).all()
    assert (crowds.weights[:2000] == 1).all()


def test_many_are_clustered_as_few_are(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(11)
    centres = 3 * np.eye(8)[:5]
    crowd = np.repeat(np.arange(5), 60)
    vectors = np.concatenate(
        [centres[crowd] + rng.normal(scale=0.35, size=(300, 8)), rng.normal(scale=2, size=(100, 8))]
    ).astype(np.float32)
    few = find_clusters(vectors, 10, np.random.default_rng(1))
    monkeypatch.setattr("glitch.clustering.density.MAX_COMPARED", 50)
    many = find_clusters(vectors, 10, np.random.default_rng(1))
    again = find_clusters(vectors, 10, np.random.default_rng(1))
    labels = [labelled(found, len(vectors)) for found in (few, many)]
    assert adjusted_rand_score(*labels) > 0.9
    for one, other in zip(many, again, strict=True):
        np.testing.assert_array_equal(one.members, other.members)
        assert one.stability == other.stability
    assert min(one.stability for one in many if len(one.members) > 40) > 0.7
    # Five crowds so far apart that no glitch has a neighbour in another still give one tree.
    apart = find_clusters(vectors[:300] * 1.0, 30, np.random.default_rng(1))
    assert len(apart) == 5


def labelled(found: list[FoundCluster], n: int) -> np.ndarray:
    labels = np.full(n, -1)
    for place, cluster in enumerate(found):
        labels[cluster.members] = place
    return labels
