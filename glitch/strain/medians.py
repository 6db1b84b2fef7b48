"""Medians of many rows, exact, by whatever is fastest where they lie."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from torch import Tensor, from_numpy

_LONGEST_SORTED = 64  # values; NumPy sorts shorter rows faster than it parts them


def row_medians(values: Float[Tensor, "*batch n"]) -> Float[Tensor, "*batch"]:
    """Median over the last axis: the mean of the middle two where the count is even."""
    n = values.shape[-1]
    if values.device.type != "cpu":
        ordered = values.sort(dim=-1).values
        return (ordered[..., (n - 1) // 2] + ordered[..., n // 2]) / 2
    return from_numpy(_medians(values.reshape(-1, n).numpy())).reshape(values.shape[:-1])


def _medians(rows: np.ndarray) -> np.ndarray:
    """NumPy's median without its search for NaN and its second pivot: a tenth of the time.

    NumPy parts rows around one pivot by vector instructions; around two it does not.
    """
    n = rows.shape[1]
    if n <= _LONGEST_SORTED:
        ordered = np.sort(rows, axis=-1)
        return np.asarray((ordered[:, (n - 1) // 2] + ordered[:, n // 2]) / 2)
    parted = np.partition(rows, n // 2, axis=-1)
    upper = parted[:, n // 2]
    return np.asarray(upper if n % 2 else (parted[:, : n // 2].max(axis=-1) + upper) / 2)
