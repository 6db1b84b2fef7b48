"""The latents that distinguish a group of glitches from others, and its projection to a plane."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64

from glitch.errors import GlitchError


@dataclass(frozen=True, eq=False)
class Spread:
    """The distribution of a set of glitches along each latent."""

    size: int
    mean: Float64[np.ndarray, " latent"]
    variance: Float64[np.ndarray, " latent"]


def spread_of(vectors: Float[np.ndarray, "glitch latent"]) -> Spread:
    """Compute mean and variance (over n) of each latent.

    Raises:
        GlitchError: if there is no vector.
    """
    if not len(vectors):
        raise GlitchError("A spread needs at least one latent vector.")
    values = vectors.astype(np.float64)
    return Spread(len(values), values.mean(axis=0), values.var(axis=0))


def mean_differences(group: Spread, others: Spread) -> Float64[np.ndarray, " latent"]:
    """Compute the standardised difference of the means of each latent.

    The difference divided by the root of the mean of both variances (Cohen's d for groups of equal
    weight): far from zero distinguishes the group, positive means higher in the group. A latent
    that is constant in both sets gets 0.
    """
    scale = np.sqrt((group.variance + others.variance) / 2)
    difference = group.mean - others.mean
    standardised = np.divide(difference, scale, out=np.zeros_like(difference), where=scale > 0)
    return np.asarray(standardised, dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Plane:
    """Coordinates of vectors along their two leading principal components."""

    points: Float64[np.ndarray, "glitch 2"]
    shares: tuple[float, float]  # fraction of the variance along each, in [0, 1]


def principal_plane(vectors: Float[np.ndarray, "glitch latent"]) -> Plane:
    """Project vectors onto the plane of their two leading principal components.

    The same vectors give the same plane: each direction is oriented so that its largest component
    is positive. For fewer than three vectors, or vectors along one line, the second share is zero.
    """
    centred = vectors.astype(np.float64)
    centred = centred - centred.mean(axis=0) if len(centred) else centred
    points = np.zeros((len(centred), 2))
    if len(centred) < 2 or not centred.any():
        return Plane(points, (0.0, 0.0))
    # The latent covariance is small even for many glitches.
    variances, directions = np.linalg.eigh(centred.T @ centred)
    shares = [0.0, 0.0]
    for axis, column in enumerate(range(len(variances) - 1, max(len(variances) - 3, -1), -1)):
        direction = directions[:, column]
        direction = direction * np.sign(direction[np.abs(direction).argmax()])
        points[:, axis] = centred @ direction
        shares[axis] = float(max(variances[column], 0) / variances.clip(0).sum())
    return Plane(points, (shares[0], shares[1]))
