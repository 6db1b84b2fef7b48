"""Exact medians of many rows, by the fastest method for their device."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from torch import Tensor, from_numpy

_LONGEST_SORTED = 64  # values; NumPy sorts shorter rows faster than it parts them


def median_energies(magnitudes: Float[Tensor, "*batch n"]) -> Float[Tensor, "*batch"]:
    """Median over the last axis of the squares: the mean of the middle two where n is even.

    Args:
        magnitudes: not negative; contiguous ones are left in another order.
    """
    n = magnitudes.shape[-1]
    if magnitudes.device.type != "cpu":
        ordered = magnitudes.sort(dim=-1).values
        lower, upper = ordered[..., (n - 1) // 2], ordered[..., n // 2]
        return (lower.square() + upper.square()) / 2
    lowers, uppers = _middles(magnitudes.reshape(-1, n).numpy())
    return from_numpy((lowers**2 + uppers**2) / 2).reshape(magnitudes.shape[:-1])


def _middles(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The two in the middle of each row, or the one twice; reorders the rows.

    NumPy parts rows around one pivot by vector instructions, not around two as its median does.
    """
    n = rows.shape[1]
    if n <= _LONGEST_SORTED:
        rows.sort(axis=-1)
        return rows[:, (n - 1) // 2], rows[:, n // 2]
    rows.partition(n // 2, axis=-1)
    upper = rows[:, n // 2]
    return (upper if n % 2 else rows[:, : n // 2].max(axis=-1)), upper
