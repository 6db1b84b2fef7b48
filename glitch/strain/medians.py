"""Exact medians of many rows, by the fastest method for their device."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from torch import Tensor, from_numpy

_MAX_SORTED = 64  # values; NumPy sorts shorter rows faster than it partitions them


def median_energies(magnitudes: Float[Tensor, "*batch n"]) -> Float[Tensor, "*batch"]:
    """Return the median over the last axis of the squared magnitudes.

    For even n it is the mean of the two middle squares.

    Args:
        magnitudes: not negative; may be reordered in place if contiguous.
    """
    n = magnitudes.shape[-1]
    if magnitudes.device.type != "cpu":
        ordered = magnitudes.sort(dim=-1).values
        lower, upper = ordered[..., (n - 1) // 2], ordered[..., n // 2]
        return (lower.square() + upper.square()) / 2
    lowers, uppers = _middles(magnitudes.reshape(-1, n).numpy())
    return from_numpy((lowers**2 + uppers**2) / 2).reshape(magnitudes.shape[:-1])


def _middles(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the two middle values of each row, or the middle one twice; reorders the rows.

    NumPy vectorises a partition around one pivot, but not the partition around two of ``median``.
    """
    n = rows.shape[1]
    if n <= _MAX_SORTED:
        rows.sort(axis=-1)
        return rows[:, (n - 1) // 2], rows[:, n // 2]
    rows.partition(n // 2, axis=-1)
    upper = rows[:, n // 2]
    return (upper if n % 2 else rows[:, : n // 2].max(axis=-1)), upper
