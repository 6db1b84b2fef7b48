"""Windows of the strain transform, equal to SciPy's.

They are implemented here because importing ``scipy.signal`` for two formulas delays the first
strain of a process by half a second and takes 24 MB.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64


def hann(n: int) -> Float64[np.ndarray, " sample"]:
    """Return ``scipy.signal.get_window("hann", n)``: periodic, overlapping halves add up to 1."""
    return np.asarray(0.5 + 0.5 * np.cos(np.linspace(-np.pi, np.pi, n + 1)[:-1]), dtype=np.float64)


def tukey(n: int, share: float) -> Float64[np.ndarray, " sample"]:
    """Return ``scipy.signal.windows.tukey``: tapers ``share`` of the samples, half at each end."""
    ends = np.arange(int(share * (n - 1) / 2) + 1)
    fade = 0.5 * (1 + np.cos(np.pi * (2.0 * ends / share / (n - 1) - 1)))
    return np.concatenate([fade, np.ones(n - 2 * ends.size), fade[::-1]])
