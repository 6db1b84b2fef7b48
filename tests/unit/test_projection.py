"""Map coordinates: repeatable, similar glitches close, new ones at their neighbours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from glitch.errors import GlitchError
from glitch.projection import FEWEST_FOR_UMAP, inside, lay_out, place

SEED = 5


def three_kinds(n: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Vectors around three directions, with random lengths; and the direction of each."""
    rng = np.random.default_rng(seed)
    kind = np.arange(n) % 3
    vectors = 3 * np.eye(6)[kind] + 0.3 * rng.standard_normal((n, 6))
    return (vectors * rng.uniform(0.5, 5, (n, 1))).astype(np.float32), kind


def test_umap_lays_out_the_same_map_twice_with_those_alike_together() -> None:
    vectors, kind = three_kinds(90)
    places = lay_out(vectors, seed=SEED)
    assert places.shape == (90, 2)
    assert places.dtype == np.float32
    assert np.abs(places).max() == pytest.approx(1)
    progress: list[float] = []
    np.testing.assert_array_equal(places, lay_out(vectors, seed=SEED, on_progress=progress.append))
    assert progress == sorted(progress)
    assert progress[-1] == 1
    apart = np.linalg.norm(places[:, None] - places[None], axis=2)
    np.fill_diagonal(apart, np.inf)
    assert (kind[apart.argmin(axis=1)] == kind).all()
    newcomers, theirs = three_kinds(30, seed=2)
    placed = place(newcomers, vectors, places)
    nearest = np.linalg.norm(placed[:, None] - places[None], axis=2).argmin(axis=1)
    assert (kind[nearest] == theirs).all()
    from umap import umap_, utils  # its import takes seconds, and warns if it is missing

    # The compiled functions are cached on disk, since compiling takes a dozen seconds.
    compiled = (umap_.smooth_knn_dist, umap_.compute_membership_strengths, utils.fast_knn_indices)
    for function in compiled:
        kept = Path(function.stats.cache_path)
        assert list(kept.glob(f"*.{function.__name__}-*.nbi"))


@pytest.mark.parametrize("count", [1, 2, 3, FEWEST_FOR_UMAP - 1])
def test_a_few_glitches_are_laid_out(count: int) -> None:
    vectors, _ = three_kinds(count)
    places = lay_out(vectors, seed=SEED)
    assert places.shape == (count, 2)
    assert np.isfinite(places).all()
    assert np.abs(places).max() <= 1
    if count > 1:
        assert len(np.unique(places, axis=0)) == count


def test_the_length_of_a_vector_says_nothing() -> None:
    vectors, _ = three_kinds(9)
    np.testing.assert_allclose(
        lay_out(vectors, seed=SEED), lay_out(7 * vectors, seed=SEED), atol=1e-5
    )


def test_a_newcomer_that_equals_an_anchor_takes_its_place() -> None:
    anchors, _ = three_kinds(12)
    places = np.random.default_rng(3).uniform(-1, 1, (12, 2)).astype(np.float32)
    np.testing.assert_allclose(place(2 * anchors, anchors, places), places, atol=1e-3)


def test_a_new_point_is_placed_by_its_anchors_alone() -> None:
    anchors, _ = three_kinds(40)
    places = np.random.default_rng(3).uniform(-1, 1, (40, 2)).astype(np.float32)
    newcomers, _ = three_kinds(20, seed=4)
    placed = place(newcomers, anchors, places)
    assert (np.abs(placed) <= 1).all()
    np.testing.assert_allclose(place(newcomers[7:8], anchors, places), placed[7:8], atol=1e-5)
    assert place(newcomers[:0], anchors, places).shape == (0, 2)


def test_a_newcomer_between_two_groups_joins_one_and_not_the_void() -> None:
    anchors = np.eye(2, dtype=np.float32)
    places = np.array([[-1, 0], [1, 0]], np.float32)
    placed = place(np.array([[1.0, 0.9]], np.float32), anchors, places)
    np.testing.assert_allclose(placed, [[-1, 0]], atol=1e-6)


def test_one_anchor_is_enough() -> None:
    only = np.array([[0.2, 0.3]], np.float32)
    placed = place(three_kinds(4)[0], np.ones((1, 6), np.float32), only)
    np.testing.assert_allclose(placed, [[0.2, 0.3]] * 4, atol=1e-6)


@pytest.mark.parametrize("wrong", [np.empty((0, 6), np.float32), np.full((20, 6), np.nan, "f4")])
def test_no_or_non_finite_vectors_are_not_laid_out(wrong: np.ndarray) -> None:
    with pytest.raises(GlitchError, match=r"at least one glitch|not finite"):
        lay_out(wrong, seed=SEED)
    with pytest.raises(GlitchError, match=r"at least one glitch|not finite"):
        place(np.ones((1, 6), np.float32), wrong, np.zeros((len(wrong), 2), np.float32))


def test_a_polygon_holds_what_lies_within_it() -> None:
    grid = np.stack(np.meshgrid(np.arange(-4, 5), np.arange(-4, 5)), axis=-1).reshape(-1, 2)
    places = (grid / 5).astype(np.float32)
    hook = np.array([[-0.7, -0.7], [0.7, -0.7], [0.7, 0.7], [0.1, 0.7], [0.1, -0.1], [-0.7, -0.1]])
    x, y = places.T
    is_within = (np.abs(x) < 0.7) & (np.abs(y) < 0.7) & ~((x < 0.1) & (y > -0.1))
    np.testing.assert_array_equal(inside(places, hook), is_within)
    np.testing.assert_array_equal(inside(places, hook[::-1]), is_within)
    # a polygon that crosses itself
    bow = np.array([[-0.9, -0.9], [0.9, 0.9], [0.9, -0.9], [-0.9, 0.9]])
    held = inside(places, bow)
    assert held[(x == np.float32(0.6)) & (y == 0)].all()
    assert not held[(x == 0) & (np.abs(y) > 0.5)].any()
    assert not inside(places, hook + 3).any()
    for polygon in (hook[:2], np.full((3, 2), np.nan)):
        with pytest.raises(GlitchError, match="three corners"):
            inside(places, polygon)
