"""Find runs of true values in a line."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool


def runs_of(is_there: Bool[np.ndarray, " line"], apart: float | int = 1) -> list[tuple[int, int]]:
    """Return (start, stop) of each run, joining runs whose gap is narrower than ``apart``."""
    padded = np.concatenate([[False], is_there, [False]])
    edges = np.flatnonzero(padded[1:] != padded[:-1]).tolist()
    runs: list[tuple[int, int]] = []
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        if runs and start - runs[-1][1] < apart:
            runs[-1] = (runs[-1][0], stop)
        else:
            runs.append((start, stop))
    return runs
