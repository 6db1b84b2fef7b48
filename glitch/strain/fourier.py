"""Fourier transforms over the last axis; the result of a row does not depend on other rows.

MKL, which torch uses on CPUs, has a setup cost per call as large as ten rows, and is slow for
single rows of some lengths: a real float64 row of 131,072 samples takes 4.8 ms, two rows 1.3 ms,
eight 3.8 ms. A single row is therefore transformed with a copy of itself, and callers batch many
rows. NumPy has no such costs and is faster for long real rows, but slower for others. Which of the
two is used depends on the length alone.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Complex, Float, Inexact
from torch import Tensor

_LONG = 1 << 16  # samples of a real row that NumPy transforms


def fast_length(least: int) -> int:
    """Return the smallest length from ``least`` up without a prime factor above 5."""
    odd: list[int] = [3**threes * 5**fives for threes in range(20) for fives in range(14)]
    return min(part << (-(-least // part) - 1).bit_length() for part in odd)


def rfft(values: Float[Tensor, "*row sample"], n: int | None = None) -> Complex[Tensor, "*row bin"]:
    """Return the spectra of real series, padded with zeros to ``n`` samples; same precision."""
    if values.device.type == "cpu" and values.shape[-1] >= _LONG:
        return torch.from_numpy(np.fft.rfft(values.numpy(), n))
    return _with_a_copy(values, lambda rows: torch.fft.rfft(rows, n=n))


def irfft(spectra: Inexact[Tensor, "*row bin"], n: int) -> Float[Tensor, "*row sample"]:
    """Return the real series of ``n`` samples with these spectra; same precision.

    A real input is the spectrum of an even series.
    """
    if spectra.device.type == "cpu" and n >= _LONG:
        return torch.from_numpy(np.fft.irfft(spectra.numpy(), n))
    return _with_a_copy(spectra, lambda rows: torch.fft.irfft(rows, n=n))


def ifft(spectra: Complex[Tensor, "*row bin"]) -> Complex[Tensor, "*row sample"]:
    """Return the complex series with these spectra, not divided by their length."""
    return _with_a_copy(spectra, lambda rows: torch.fft.ifft(rows, norm="forward"))


def _with_a_copy(rows: Tensor, transform: Callable[[Tensor], Tensor]) -> Tensor:
    if rows.device.type == "cpu" and rows.numel() == rows.shape[-1]:
        return transform(rows.expand(2, *rows.shape[1:]))[:1]
    return transform(rows)


def magnitudes(spectrum: Complex[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Return absolute values; on CPUs NumPy takes a tenth of the time of torch."""
    if spectrum.device.type == "cpu":
        return torch.from_numpy(np.abs(spectrum.numpy()))
    return spectrum.abs()
