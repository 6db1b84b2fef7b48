"""Whiten by inverse spectrum truncation, as in ``gwpy.timeseries.TimeSeries.whiten``.

Median ASD of overlapping Hann-windowed spectra, its inverse truncated to a finite impulse response,
applied to the whole segment. Works on a batch, in float64: strain spans ten orders of magnitude
between 10 Hz and 200 Hz, more than float32 can represent. The filter's overall scale is omitted
because every row of the Q-transform is divided by its own median.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32, Float64
from torch import Tensor

from glitch.errors import StrainError
from glitch.strain.fourier import fast_length, irfft, magnitudes, rfft
from glitch.strain.medians import median_energies
from glitch.strain.windows import hann
from glitch.views import Preprocessing

_TAPER_BINS = 5  # at both ends of the transfer function, as in gwpy's filter design


@dataclass(frozen=True, eq=False)
class WhiteningPlan:
    """The parts of whitening that depend only on rate, length and recipe."""

    n_samples: int
    n_padded: int  # including the zeros that keep the convolution linear
    n_fft: int  # samples per spectrum of the ASD
    n_step: int
    n_half_filter: int
    window: Float64[Tensor, " fft"]
    window_bins: Float64[Tensor, " bins"]  # the window's spectrum; all other bins are zero
    interpolation_bin: Tensor  # int64, one per bin of the segment's spectrum
    interpolation_weight: Float64[Tensor, " bin"]
    taper: Float64[Tensor, " bin"]
    rise: Float64[Tensor, " half"]  # halves of the periodic Hann window that truncates the filter
    fall: Float64[Tensor, " half"]


def whitening_plan(
    preprocessing: Preprocessing, sample_rate_hz: int, n_samples: int, device: torch.device
) -> WhiteningPlan:
    """Prepare whitening of segments of ``n_samples`` (even)."""
    n_fft = round(preprocessing.asd_fft_s * sample_rate_hz)
    n_taps = round(preprocessing.whitening_filter_s * sample_rate_hz)
    n_half = n_taps // 2
    position = np.arange(n_samples // 2 + 1) * (n_fft / n_samples)
    bins = np.minimum(position.astype(np.int64), n_fft // 2 - 1)
    taper = np.ones(n_samples // 2 + 1)
    edge = np.hanning(2 * _TAPER_BINS)
    taper[:_TAPER_BINS], taper[-_TAPER_BINS:] = edge[:_TAPER_BINS], edge[_TAPER_BINS:]
    taps = hann(n_taps)

    def place(values: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(device)

    return WhiteningPlan(
        n_samples=n_samples,
        n_padded=fast_length(n_samples + n_half),
        n_fft=n_fft,
        n_step=n_fft // 2,
        n_half_filter=n_half,
        window=place(hann(n_fft)),
        window_bins=place(np.array([n_fft / 2, -n_fft / 4])),
        interpolation_bin=place(bins),
        interpolation_weight=place(position - bins),
        taper=place(taper),
        rise=place(taps[:n_half]),
        fall=place(taps[n_half:]),
    )


def whiten(
    strain: Float64[Tensor, "batch sample"], plan: WhiteningPlan
) -> Float32[Tensor, "batch sample"]:
    """Return whitened strain, up to a constant factor per member, in float32.

    The convolution is made linear by zeros after the data. Circular wrapping would affect only the
    corrupted ends, but the remnants of loud low frequencies there would shift the rows' medians.

    Raises:
        StrainError: if a member's noise spectrum has a zero and cannot be inverted.
    """
    centred = strain - strain.mean(dim=-1, keepdim=True)
    centred /= torch.linalg.vector_norm(centred, dim=-1, keepdim=True) / math.sqrt(plan.n_samples)
    impulse = _whitening_filter(_median_asd(centred, plan), plan)
    half, n, members = plan.n_half_filter, plan.n_samples, len(centred)
    centred[:, :half] *= plan.rise
    centred[:, -half:] *= plan.fall
    padded = centred.new_zeros((2 * members, plan.n_padded))  # one transform for data and filters
    padded[:members, :n] = centred
    padded[members:, :half] = impulse[:, :half] * plan.fall
    padded[members:, -half:] = impulse[:, -half:] * plan.rise
    spectra = rfft(padded)
    # a symmetric filter's transfer function is real; the product is white, so single precision is
    # enough
    white = spectra[:members].mul_(spectra[members:].real).to(torch.complex64)
    return irfft(white, n=plan.n_padded)[:, :n]


def _median_asd(
    centred: Float64[Tensor, "batch sample"], plan: WhiteningPlan
) -> Float64[Tensor, "batch asd_bin"]:
    pieces = centred.unfold(-1, plan.n_fft, plan.n_step)  # (B, segment, n_fft)
    spectra = rfft(pieces * plan.window)
    # subtract each piece's mean in the spectrum, where the Hann window has only two non-zero bins
    spectra[..., :2] -= pieces.mean(dim=-1, keepdim=True) * plan.window_bins
    asd = median_energies(magnitudes(spectra).transpose(1, 2)).sqrt()
    asd[:, 1:-1] *= math.sqrt(2)  # one-sided: all bins except zero and Nyquist count twice
    if not bool((asd > 0).all()):
        raise StrainError(
            "The noise spectrum is zero at some frequency: the strain is zero or constant over "
            "much of the stretch around the GPS time. Check the channel and choose other data."
        )
    return asd


def _whitening_filter(
    asd: Float64[Tensor, "batch asd_bin"], plan: WhiteningPlan
) -> Float64[Tensor, "batch sample"]:
    """Return the untruncated impulse response of the filter: symmetric, its middle at index 0."""
    low = asd.index_select(1, plan.interpolation_bin)
    high = asd.index_select(1, plan.interpolation_bin + 1)
    return irfft(plan.taper / low.lerp_(high, plan.interpolation_weight), n=plan.n_samples)
