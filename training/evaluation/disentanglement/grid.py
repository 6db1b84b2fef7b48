"""A factor grid encoded once; each metric only samples rows from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int64

from glitch.errors import GlitchError

Factors = Int64[np.ndarray, "point factor"]
Codes = Float32[np.ndarray, "point latent"]


@dataclass(frozen=True, eq=False)
class EncodedGrid:
    """Posterior means of every combination of the ground-truth factors.

    Attributes:
        means: shape (factor_1, ..., factor_n, latent), any float dtype. dSprites gives
            (3, 6, 40, 32, 32, latent): shape, scale, orientation, x, y.
    """

    means: np.ndarray

    def __post_init__(self) -> None:
        if self.means.ndim < 3 or min(self.means.shape) < 1:
            raise GlitchError(
                "An encoded grid needs at least two factor axes and one latent axis, "
                f"not the shape {self.means.shape}."
            )
        if not np.isfinite(self.means).all():
            raise GlitchError("The encoded grid holds values that are not finite: encode it again.")

    @property
    def factor_sizes(self) -> tuple[int, ...]:
        """The number of values of each factor."""
        return self.means.shape[:-1]

    @property
    def varying_factors(self) -> list[int]:
        """Indices of the factors with more than one value.

        Raises:
            GlitchError: if there is none.
        """
        varying = [place for place, size in enumerate(self.factor_sizes) if size > 1]
        if not varying:
            raise GlitchError(
                "No factor of the grid takes two values: there is nothing to measure."
            )
        return varying

    @property
    def n_latent(self) -> int:
        """Number of latent dimensions."""
        return int(self.means.shape[-1])

    def draw_factors(self, n_points: int, rng: np.random.Generator) -> Factors:
        """Draw uniform factor combinations, int64 (point, factor)."""
        return np.stack([rng.integers(size, size=n_points) for size in self.factor_sizes], axis=1)

    def codes(self, factors: Factors) -> Codes:
        """Return the posterior means of factor combinations, float32 (point, latent)."""
        return np.asarray(self.means[tuple(factors.T)], dtype=np.float32)

    def draw(self, n_points: int, rng: np.random.Generator) -> tuple[Factors, Codes]:
        """Draw uniform factor combinations, with their posterior means."""
        factors = self.draw_factors(n_points, rng)
        return factors, self.codes(factors)
