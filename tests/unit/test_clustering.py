"""Clusters of directions: found, described, repeatable, and matched with those of a later run."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from glitch.clustering import (
    EXEMPLARS,
    SAME_FROM,
    FoundCluster,
    find_clusters,
    match_clusters,
    unit_vectors,
)
from glitch.errors import GlitchError

SIZES = (60, 30, 15)


@pytest.fixture(scope="module")
def cloud() -> tuple[np.ndarray, np.ndarray]:
    """Three tight groups of directions with random lengths, and noise; and the group of each."""
    rng = np.random.default_rng(4)
    axes = np.eye(16)[: len(SIZES)]
    rows = [
        axis + rng.normal(scale=0.05, size=(n, 16)) for axis, n in zip(axes, SIZES, strict=True)
    ]
    noise = rng.normal(size=(25, 16))
    points = np.concatenate([*rows, noise])
    truth = np.repeat(np.arange(4), [*SIZES, 25])
    order = rng.permutation(len(points))
    lengths = rng.uniform(0.5, 20.0, size=(len(points), 1))
    return (points * lengths)[order].astype(np.float32), truth[order]


@pytest.fixture(scope="module")
def found(cloud: tuple[np.ndarray, np.ndarray]) -> list[FoundCluster]:
    return find_clusters(cloud[0], 8, np.random.default_rng(0))


def labels_of(found: list[FoundCluster], n: int) -> np.ndarray:
    labels = np.full(n, -1)
    for index, cluster in enumerate(found):
        labels[cluster.members] = index
    return labels


def test_vectors_of_any_length_are_clustered_by_direction(
    cloud: tuple[np.ndarray, np.ndarray], found: list[FoundCluster]
) -> None:
    for cluster, size in zip(found, SIZES, strict=True):  # from the largest to the smallest
        assert size <= len(cluster.members) <= size + 10  # noise may be near by chance
    truth = np.where(cloud[1] == 3, -1, cloud[1])
    assert adjusted_rand_score(truth, labels_of(found, len(truth))) > 0.8


def test_medoid_distances_and_exemplars_of_a_cluster_are_right(
    cloud: tuple[np.ndarray, np.ndarray], found: list[FoundCluster]
) -> None:
    units = unit_vectors(cloud[0])
    for cluster in found:
        between = np.linalg.norm(units[cluster.members][:, None] - units[cluster.members], axis=2)
        centre = cluster.members.tolist().index(cluster.medoid)
        assert between[centre].sum() == pytest.approx(between.sum(axis=1).min())
        np.testing.assert_allclose(cluster.distances, between[centre], atol=1e-9)
        assert cluster.exemplars[0] == cluster.medoid
        assert len(set(cluster.exemplars)) == EXEMPLARS
        assert set(cluster.exemplars) <= set(cluster.members.tolist())
        assert cluster.stability > 0.9


def test_the_same_glitches_give_the_same_clusters(
    cloud: tuple[np.ndarray, np.ndarray], found: list[FoundCluster]
) -> None:
    again = find_clusters(cloud[0], 8, np.random.default_rng(0))
    other_draws = find_clusters(cloud[0], 8, np.random.default_rng(1))
    for one, same, other in zip(found, again, other_draws, strict=True):
        np.testing.assert_array_equal(one.members, same.members)
        np.testing.assert_array_equal(one.members, other.members)
        assert (one.medoid, one.exemplars, one.stability) == (
            same.medoid,
            same.exemplars,
            same.stability,
        )


def test_one_bundle_alone_is_one_cluster() -> None:
    rng = np.random.default_rng(5)
    points = np.eye(8)[0] + rng.normal(scale=0.05, size=(30, 8))
    (only,) = find_clusters(points.astype(np.float32), 5, rng)
    assert len(only.members) >= 15  # of a core of five members, before it is completed


def test_too_few_glitches_are_a_sentence() -> None:
    few = np.ones((4, 8), dtype=np.float32)
    with pytest.raises(GlitchError, match="4 glitches to cluster, fewer than the minimum"):
        find_clusters(few, 5, np.random.default_rng(0))
    with pytest.raises(GlitchError, match="minimum size of 3 or more"):
        find_clusters(few, 2, np.random.default_rng(0))


def test_identical_glitches_and_a_vector_of_zeros_do_no_harm() -> None:
    points = np.zeros((20, 4), dtype=np.float32)
    points[:15, 0] = 3.0
    for cluster in find_clusters(points, 5, np.random.default_rng(0)):
        assert np.isfinite(cluster.distances).all()
        assert np.isfinite(cluster.probabilities).all()


def seen(current: list[set[int]], n_previous: int) -> np.ndarray:
    """Counts for the case that all members were present in every earlier run."""
    return np.array([[len(one)] * n_previous for one in current])


def test_a_later_run_recognises_clusters() -> None:
    previous = [set(range(20)), set(range(20, 40)), set(range(40, 45))]
    current = [{*range(22, 40), 99}, set(range(1, 20)), set(range(60, 70))]
    first, second, third = match_clusters(current, previous, seen(current, 3))
    assert first is not None
    assert second is not None
    assert (first.previous, second.previous) == (1, 0)
    assert first.overlap == pytest.approx(18 / 21)
    assert second.overlap == pytest.approx(19 / 20)
    assert third is None


def test_growth_alone_makes_no_cluster_another() -> None:
    """A cluster that only grew keeps its identity.

    Of its hundred members, twenty existed in the previous run and ten in the one before.
    """
    current, previous = [set(range(100))], [set(range(20)), set(range(10))]
    assert match_clusters(current, previous, seen(current, 2)) == [None]
    [grown] = match_clusters(current, previous, np.array([[20, 40]]))
    assert grown == (0, pytest.approx(1))
    [older] = match_clusters(current, previous[1:], np.array([[10]]))
    assert older == (0, pytest.approx(1))


def test_no_cluster_is_continued_twice_and_slight_overlap_is_none() -> None:
    parts: list[set[int]] = [set(range(7)), set(range(7, 10))]
    (larger, smaller) = match_clusters(parts, [set(range(10))], seen(parts, 1))
    assert larger is not None
    assert smaller is None
    assert match_clusters([set(range(10))], [{0, 1, *range(20, 30)}], np.array([[10]])) == [None]
    assert match_clusters([], [{1}], np.empty((0, 1), int)) == []
    assert match_clusters([{1}], [], np.empty((1, 0), int)) == [None]
    assert 0 < SAME_FROM < 0.5
