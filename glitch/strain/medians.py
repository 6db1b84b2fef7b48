"""Medians of many long rows: exact, and several times faster than selecting on whole rows."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float
from torch import Tensor, from_numpy

_STRIDE = 16
_SHORTEST_BRACKETED = 4096  # shorter rows are not worth a bracket
_BRACKET_SIGMAS = 3.5  # of the sample median's rank; a miss falls back to the whole row


def row_medians(values: Float[Tensor, "*batch n"]) -> Float[Tensor, "*batch"]:
    """Median over the last axis: the mean of the middle two where the count is even."""
    n = values.shape[-1]
    if values.device.type != "cpu":
        ordered = values.sort(dim=-1).values
        return (ordered[..., (n - 1) // 2] + ordered[..., n // 2]) / 2
    rows = values.reshape(-1, n).numpy()
    is_short = n < _SHORTEST_BRACKETED or n % 2
    medians = _selected(rows) if is_short else _bracketed(rows)
    return from_numpy(medians.astype(rows.dtype)).reshape(values.shape[:-1])


def _selected(rows: np.ndarray) -> np.ndarray:
    """Numpy's median without its search for NaN, which doubles the work on short rows."""
    n = rows.shape[1]
    parted = np.partition(rows, n // 2, axis=-1)
    upper = parted[:, n // 2]
    return upper if n % 2 else (parted[:, : n // 2].max(axis=-1) + upper) / 2


def _bracketed(rows: np.ndarray) -> np.ndarray:
    """Sort only what lies between two quantiles of every 16th value, one on either side."""
    middle = rows.shape[1] // 2
    sample = np.sort(rows[:, ::_STRIDE], axis=-1)
    centre = sample.shape[1] // 2
    reach = math.ceil(_BRACKET_SIGMAS * math.sqrt(sample.shape[1]) / 2)
    medians = np.empty(rows.shape[0])
    for index, row in enumerate(rows):
        low, high = sample[index, centre - reach], sample[index, centre + reach]
        below = row < low
        inside = row[below ^ (row <= high)]
        rank = middle - 1 - int(np.count_nonzero(below))
        if rank < 0 or rank + 1 >= inside.size:
            medians[index] = np.median(row)
            continue
        inside.sort()
        medians[index] = (float(inside[rank]) + float(inside[rank + 1])) / 2
    return medians
