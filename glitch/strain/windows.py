"""Windows of the strain transform, as in SciPy.

They are written out because importing ``scipy.signal`` for two formulas delays the first strain of
a process by half a second and keeps 24 MB.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64


def hann(n: int) -> Float64[np.ndarray, " sample"]:
    """``scipy.signal.get_window("hann", n)``: periodic, so that halves that overlap add up to 1."""
    return np.asarray(0.5 + 0.5 * np.cos(np.linspace(-np.pi, np.pi, n + 1)[:-1]), dtype=np.float64)


def tukey(n: int, share: float) -> Float64[np.ndarray, " sample"]:
    """``scipy.signal.windows.tukey``: both ends fade, by ``share`` of the samples in all."""
    ends = np.arange(int(share * (n - 1) / 2) + 1)
    fade = 0.5 * (1 + np.cos(np.pi * (2.0 * ends / share / (n - 1) - 1)))
    return np.concatenate([fade, np.ones(n - 2 * ends.size), fade[::-1]])
