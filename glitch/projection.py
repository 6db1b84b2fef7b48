"""The map's two coordinates for each glitch: UMAP on directions in the latent space.

UMAP (McInnes, Healy & Melville 2018, arXiv:1802.03426) lays out a sample of glitches. Every other
glitch is placed near the most similar ones of the sample, which do not move. Angles between latent
vectors count, not their lengths, as for clusters (``glitch.clustering``).
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from io import StringIO
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float32

from glitch.clustering import unit_vectors
from glitch.errors import GlitchError
from glitch.types import LatentArray

NEIGHBOURS = 15  # UMAP's n_neighbors
MIN_DISTANCE = 0.1  # UMAP's min_dist, before the map is scaled
FEWEST_FOR_UMAP = 16  # below, two principal components are enough
PLACED_BY = 5  # nearest laid-out glitches that determine a new glitch's place
NEAR = 0.05  # largest distance on the map from the nearest of them to the others that count
_BLOCK = 4096  # new glitches per neighbour search

Coordinates = Float32[np.ndarray, "glitch 2"]
Anchors = Float32[np.ndarray, "anchor latent"]
AnchorPlaces = Float32[np.ndarray, "anchor 2"]
Polygon = Float[np.ndarray, "corner 2"]


def lay_out(
    vectors: LatentArray, *, seed: int, on_progress: Callable[[float], None] | None = None
) -> Coordinates:
    """Lay glitches out in the plane so that similar ones are close to each other.

    Deterministic: the same vectors in the same order with the same seed give the same places, at
    the price of one thread. 2,000 glitches take some seconds, 50,000 some minutes, and the first
    call of an installation compiles for half a minute.

    Args:
        vectors: Posterior means, shape (glitch, latent), finite.
        seed: Of UMAP's random numbers.
        on_progress: Called about once a second with the fraction of UMAP's steps that is done, in
            [0, 1]. May raise to stop.

    Returns:
        Places, shape (glitch, 2), float32, centred, the farthest coordinate at -1 or 1.

    Raises:
        GlitchError: if there is no glitch, or a vector is not finite.
    """
    units = _checked(vectors)
    if len(units) < FEWEST_FOR_UMAP:
        return _scaled(_principal(units))
    with warnings.catch_warnings():
        # It warns that TensorFlow is missing and that a seed disables threads: both are intended.
        warnings.simplefilter("ignore")
        from umap import UMAP, umap_, utils  # seconds, so only where it is needed

        # Without caching, umap-learn compiles them in each process, and a worker draws few maps.
        for compiled in (
            umap_.smooth_knn_dist,
            umap_.compute_membership_strengths,
            utils.fast_knn_indices,
        ):
            compiled.enable_caching()
        layout = UMAP(
            n_components=2,
            n_neighbors=min(NEIGHBOURS, len(units) - 1),
            min_dist=MIN_DISTANCE,
            metric="euclidean",
            random_state=seed,
            n_jobs=1,
            tqdm_kwds=None if on_progress is None else _report_to(on_progress),
        ).fit_transform(units.astype(np.float32))
    # UMAP gives NaN to glitches without neighbours: put them at the centre.
    return _scaled(np.nan_to_num(np.asarray(layout, dtype=np.float64)))


def place(vectors: LatentArray, anchors: Anchors, places: AnchorPlaces) -> Coordinates:
    """Place new glitches relative to those already laid out, which do not move.

    A new glitch is placed near its nearest anchor, moved towards the next nearest with weights of 1
    / distance**3 (twice the distance counts an eighth), but only towards those that are also close
    to the nearest on the map: the mean of two separate groups would be in an empty region. A glitch
    unlike all anchors is therefore placed near the least dissimilar: a new type of glitch has its
    own place only once the map is laid out again.

    Args:
        vectors: Posterior means of the new glitches, shape (glitch, latent), finite.
        anchors: Posterior means of the glitches already laid out, shape (anchor, latent), finite.
        places: Coordinates of the anchors, shape (anchor, 2).

    Returns:
        Coordinates of the new glitches, shape (glitch, 2), float32, within the anchors' bounds.

    Raises:
        GlitchError: if there is no anchor, or a vector is not finite.
    """
    from sklearn.neighbors import NearestNeighbors

    fixed = _checked(anchors).astype(np.float32)
    if not len(vectors):
        return np.empty((0, 2), dtype=np.float32)
    units = _checked(vectors).astype(np.float32)
    # Brute force is exact, needs no index, and the result does not depend on the rest of the batch.
    search = NearestNeighbors(n_neighbors=min(PLACED_BY, len(fixed)), algorithm="brute").fit(fixed)
    placed = np.empty((len(units), 2), dtype=np.float32)
    for start in range(0, len(units), _BLOCK):
        distances, nearest = search.kneighbors(units[start : start + _BLOCK])
        nearby = places[nearest]  # (newcomer, anchor, 2)
        is_near = np.linalg.norm(nearby - nearby[:, :1], axis=2) <= NEAR
        # 1e-6: a new glitch identical to an anchor gets the anchor's place.
        weights = is_near * ((distances[:, :1] + 1e-6) / (distances + 1e-6)) ** 3
        weights /= weights.sum(axis=1, keepdims=True)
        placed[start : start + _BLOCK] = np.einsum("gn,gnc->gc", weights, nearby)
    return placed


def inside(places: Coordinates, polygon: Polygon) -> Bool[np.ndarray, " glitch"]:
    """Determine which places are inside a polygon, by the even-odd rule.

    Args:
        places: Shape (glitch, 2).
        polygon: Its corners in order, shape (corner, 2), at least three; the last is joined to the
            first. It may cross itself: a region enclosed twice is outside.

    Returns:
        True for places inside; either value for places on the edge itself.

    Raises:
        GlitchError: if it has fewer than three corners, or one is not finite.
    """
    if len(polygon) < 3 or not np.isfinite(polygon).all():
        raise GlitchError("A polygon needs at least three corners, each with two finite numbers.")
    is_inside = np.zeros(len(places), dtype=np.bool_)
    low, high = polygon.min(axis=0), polygon.max(axis=0)
    in_bounds = np.flatnonzero(((places >= low) & (places <= high)).all(axis=1))
    x, y = places[in_bounds].astype(np.float64).T
    is_within = np.zeros(len(in_bounds), dtype=np.bool_)
    for (x0, y0), (x1, y1) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        if y0 != y1:
            crosses = (y0 > y) != (y1 > y)
            is_within ^= crosses & (x < x0 + (y - y0) / (y1 - y0) * (x1 - x0))
    is_inside[in_bounds] = is_within
    return is_inside


def _checked(vectors: LatentArray) -> Float32[np.ndarray, "glitch latent"]:
    if not len(vectors):
        raise GlitchError("A map needs at least one glitch: embed some first.")
    if not np.isfinite(vectors).all():
        raise GlitchError("A latent vector holds values that are not finite: embed it again.")
    return unit_vectors(vectors).astype(np.float32)


def _report_to(on_progress: Callable[[float], None]) -> dict[str, Any]:
    """Build tqdm options that report UMAP's progress, which is only available through its bar."""

    class Bar(StringIO):
        def write(self, text: str) -> int:
            match = re.search(r"(\d+)/(\d+)", text)
            if match:
                on_progress(int(match[1]) / max(1, int(match[2])))
            return len(text)

    return {"disable": False, "file": Bar(), "bar_format": "{n}/{total}", "mininterval": 1.0}


def _principal(units: Float32[np.ndarray, "glitch latent"]) -> np.ndarray:
    """Project onto the two leading principal components."""
    centred = units - units.mean(axis=0)
    vectors, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    plane: np.ndarray = np.zeros((len(units), 2))
    n_axes = min(2, len(sizes))
    plane[:, :n_axes] = vectors[:, :n_axes] * sizes[:n_axes]
    # The sign of a singular vector is arbitrary: fix it, so that results are reproducible.
    signs = np.where(plane[np.abs(plane).argmax(axis=0), [0, 1]] < 0, -1.0, 1.0)
    return np.asarray(plane * signs, dtype=np.float64)


def _scaled(plane: np.ndarray) -> Coordinates:
    middle = (plane.min(axis=0) + plane.max(axis=0)) / 2
    reach = float(np.abs(plane - middle).max())
    return np.asarray((plane - middle) / (reach or 1.0), dtype=np.float32)
