"""Compute tiles from the spectrum of a whole segment, or of a short crop around the event.

In rows with many tiles a tile lasts at most a tenth of a second, so a few seconds around the event
give nearly the same energies there for a fraction of the work. Crops start at multiples of the
longest tile spacing of these rows, so that the tiles of crop and segment coincide.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Complex64, Float32
from torch import Tensor

from glitch.strain.fourier import ifft, magnitudes, rfft
from glitch.strain.tiling import Plane, Row, bisquare, window
from glitch.strain.windows import tukey

FEWEST_TILES = 2048  # tiles per segment; rows with fewer are always computed over the whole segment


@dataclass(frozen=True, eq=False)
class BinWindow:
    """A row's bisquare window over a spectrum: complex64, so that the product needs no cast."""

    first_bin: int
    values: Complex64[Tensor, " bin"]


@dataclass(frozen=True, eq=False)
class CropPlan:
    """How crops are cut from segments of one rate and length.

    Attributes:
        n_samples: samples of the segment.
        sample_rate_hz: sample rate of the segment.
        halvings: the crop is the segment's length divided by two to this power.
        taper: window over the crop.
    """

    n_samples: int
    sample_rate_hz: int
    halvings: int
    taper: Float32[Tensor, " crop"]

    @property
    def n_crop(self) -> int:
        """Number of samples of a crop."""
        return self.n_samples >> self.halvings

    @property
    def duration_s(self) -> float:
        """Length of a crop in seconds."""
        return self.n_crop / self.sample_rate_hz

    @property
    def energy_scale(self) -> float:
        """Factor from a tile's energy in the crop to its energy in the segment."""
        return float(4**self.halvings)


@dataclass(frozen=True, eq=False)
class Crops:
    """The crops of a batch.

    Attributes:
        spectrum: spectrum of each crop.
        starts: first sample of each crop within its segment.
    """

    spectrum: Complex64[Tensor, "batch bin"]
    starts: tuple[int, ...]


def crop_plan(
    sample_rate_hz: int, n_samples: int, *, shortest_s: float, taper_s: float, device: torch.device
) -> CropPlan | None:
    """Plan the shortest crops that halving allows; None if crops would not align with the tiles.

    Args:
        sample_rate_hz: sample rate of the segments.
        n_samples: samples of the segments.
        shortest_s: least length of a crop.
        taper_s: seconds that are tapered at either end.
        device: where the taper is stored.
    """
    halvings = math.floor(math.log2(n_samples / sample_rate_hz / shortest_s))
    if n_samples % FEWEST_TILES or halvings < 1:
        return None
    n_crop = n_samples >> halvings
    taper = tukey(n_crop, 2 * taper_s * sample_rate_hz / n_crop).astype(np.float32)
    return CropPlan(n_samples, sample_rate_hz, halvings, torch.from_numpy(taper).to(device))


def crop(
    whitened: Float32[Tensor, "batch sample"], events_s: Sequence[float], plan: CropPlan
) -> Crops:
    """Cut and taper the crops, centred on the events as closely as the segments' ends allow."""
    step = plan.n_samples // FEWEST_TILES
    half, last = plan.n_crop // 2, plan.n_samples - plan.n_crop
    aligned = [(round(event_s * plan.sample_rate_hz) - half) // step * step for event_s in events_s]
    starts = tuple(min(max(0, start), last) for start in aligned)
    pieces = [
        series[start : start + plan.n_crop] for series, start in zip(whitened, starts, strict=True)
    ]
    return Crops(rfft(torch.stack(pieces).mul_(plan.taper)), starts)


def segment_window(plane: Plane, row: Row, duration_s: float, device: torch.device) -> BinWindow:
    """Return a row's window over the spectrum of the whole segment."""
    values = window(plane.q, row, duration_s).astype(np.complex64)
    return BinWindow(row.first_bin, torch.from_numpy(values).to(device))


def crop_window(plane: Plane, row: Row, plan: CropPlan) -> BinWindow:
    """Return a row's window over the spectrum of a crop."""
    duration_s = plan.n_samples / plan.sample_rate_hz
    centre_hz = row.frequency_hz + 1 / duration_s  # the centre of the segment's window
    half_hz = row.n_bins / 2 / duration_s
    first = math.ceil((centre_hz - half_hz) * plan.duration_s)
    bins = np.arange(first, math.floor((centre_hz + half_hz) * plan.duration_s) + 1)
    values = bisquare(plane.q, row.frequency_hz, bins / plan.duration_s - centre_hz)
    return BinWindow(first, torch.from_numpy(values.astype(np.complex64)).to(plan.taper.device))


def tile_magnitudes(
    spectrum: Complex64[Tensor, "batch bin"], windows: Sequence[BinWindow], n_tiles: int
) -> Float32[Tensor, "batch row tile"]:
    """Return the square root of the energy of every tile, for rows with the same number of tiles.

    The windowed bins may start anywhere in the FFT's input: their position changes only the phase.
    """
    padded = spectrum.new_zeros((spectrum.shape[0], len(windows), n_tiles))
    for row, bin_window in enumerate(windows):
        width = bin_window.values.shape[0]
        bins = spectrum[:, bin_window.first_bin : bin_window.first_bin + width]
        torch.mul(bins, bin_window.values, out=padded[:, row, :width])
    return magnitudes(ifft(padded.flatten(0, 1))).view(padded.shape)


def chosen_tile_magnitudes(
    spectrum: Complex64[Tensor, "batch bin"], chosen: Sequence[tuple[int, BinWindow]], n_tiles: int
) -> Float32[Tensor, "chosen tile"]:
    """Like ``tile_magnitudes``, for selected pairs of a batch member and a row's window."""
    padded = spectrum.new_zeros((len(chosen), n_tiles))
    for row, (member, bin_window) in enumerate(chosen):
        width = bin_window.values.shape[0]
        bins = spectrum[member, bin_window.first_bin : bin_window.first_bin + width]
        torch.mul(bins, bin_window.values, out=padded[row, :width])
    return magnitudes(ifft(padded))
