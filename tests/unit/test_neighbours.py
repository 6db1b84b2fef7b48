"""Exact neighbours against scikit-learn, ties, and refused input."""

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from glitch.errors import GlitchError
from glitch.neighbours import nearest


def vectors(n: int, dimensions: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, dimensions)).astype(np.float32)


@pytest.mark.parametrize("n_queries", [1, 300])  # within one block, and in several
def test_agrees_with_scikit_learn(n_queries: int) -> None:
    queries, references = vectors(n_queries, 8, 0), vectors(500, 8, 1)
    found = nearest(queries, references, 7)
    peer = NearestNeighbors(n_neighbors=7, algorithm="brute").fit(references.astype(np.float64))
    distances, indices = peer.kneighbors(queries.astype(np.float64))
    np.testing.assert_array_equal(found.indices, indices)
    np.testing.assert_allclose(found.distances, distances, rtol=1e-9)


def test_ties_go_to_the_lower_index_and_distances_ascend() -> None:
    references = np.asarray([[1, 0], [0, 1], [-1, 0], [0, 0]], dtype=np.float32)
    found = nearest(np.zeros((1, 2), dtype=np.float32), references, 4)
    assert found.indices.tolist() == [[3, 0, 1, 2]]
    assert found.distances.tolist() == [[0.0, 1.0, 1.0, 1.0]]


def test_a_vector_is_exactly_its_own_neighbour_far_from_the_origin() -> None:
    references = vectors(50, 16, 2) + np.float32(1000)
    found = nearest(references, references, 1)
    assert found.indices[:, 0].tolist() == list(range(50))
    assert not found.distances.any()


@pytest.mark.parametrize("k", [0, -1, 6])
def test_impossible_k_is_refused_with_the_range(k: int) -> None:
    with pytest.raises(GlitchError, match=r"1\.\.5"):
        nearest(vectors(2, 3, 0), vectors(5, 3, 1), k)


def test_latents_of_different_checkpoints_are_refused() -> None:
    with pytest.raises(GlitchError, match="different checkpoints"):
        nearest(vectors(2, 3, 0), vectors(5, 4, 1), 1)
