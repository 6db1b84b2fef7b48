"""Tiles from a spectrum: the whole segment's, or a short piece's around the event.

A tile of a row of many tiles lasts a tenth of a second at most, so that a few seconds around the
event give nearly the same energies there for a fraction of the work. Pieces start where all rows
of many tiles have one.
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

FEWEST_TILES = 2048  # in a segment; shorter rows are always worked out over the whole of it


@dataclass(frozen=True, eq=False)
class BinWindow:
    """A row's bisquare window over a spectrum: complex64, so that the product needs no cast."""

    first_bin: int
    values: Complex64[Tensor, " bin"]


@dataclass(frozen=True, eq=False)
class CropPlan:
    """How pieces are cut from segments of one rate and length.

    Attributes:
        n_samples: of the segment.
        sample_rate_hz: of the segment.
        halvings: the piece is one over two to this power of the segment.
        taper: window over the piece.
    """

    n_samples: int
    sample_rate_hz: int
    halvings: int
    taper: Float32[Tensor, " crop"]

    @property
    def n_crop(self) -> int:
        """Samples of a piece."""
        return self.n_samples >> self.halvings

    @property
    def duration_s(self) -> float:
        """Length of a piece in seconds."""
        return self.n_crop / self.sample_rate_hz

    @property
    def energy_scale(self) -> float:
        """What turns a tile's energy in the piece into its energy in the segment."""
        return float(4**self.halvings)


@dataclass(frozen=True, eq=False)
class Crops:
    """Pieces of a batch.

    Attributes:
        spectrum: of each piece.
        starts: first sample of each within its segment.
    """

    spectrum: Complex64[Tensor, "batch bin"]
    starts: tuple[int, ...]


def crop_plan(
    sample_rate_hz: int, n_samples: int, *, shortest_s: float, taper_s: float, device: torch.device
) -> CropPlan | None:
    """The shortest pieces that halving gives; None where that does not fall into step with tiles.

    Args:
        sample_rate_hz: of the segments.
        n_samples: of the segments.
        shortest_s: least length of a piece.
        taper_s: seconds at either end that fade out.
        device: where the taper is kept.
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
    """The pieces around the events, tapered, and as near to them as the ends allow."""
    step = plan.n_samples // FEWEST_TILES
    half, last = plan.n_crop // 2, plan.n_samples - plan.n_crop
    wanted = [(round(event_s * plan.sample_rate_hz) - half) // step * step for event_s in events_s]
    starts = tuple(min(max(0, start), last) for start in wanted)
    pieces = [
        series[start : start + plan.n_crop] for series, start in zip(whitened, starts, strict=True)
    ]
    return Crops(rfft(torch.stack(pieces).mul_(plan.taper)), starts)


def segment_window(plane: Plane, row: Row, duration_s: float, device: torch.device) -> BinWindow:
    """A row's window over the spectrum of the whole segment."""
    values = window(plane.q, row, duration_s).astype(np.complex64)
    return BinWindow(row.first_bin, torch.from_numpy(values).to(device))


def crop_window(plane: Plane, row: Row, plan: CropPlan) -> BinWindow:
    """A row's window over the spectrum of a piece."""
    duration_s = plan.n_samples / plan.sample_rate_hz
    centre_hz = row.frequency_hz + 1 / duration_s  # where the whole window is centred
    half_hz = row.n_bins / 2 / duration_s
    first = math.ceil((centre_hz - half_hz) * plan.duration_s)
    bins = np.arange(first, math.floor((centre_hz + half_hz) * plan.duration_s) + 1)
    values = bisquare(plane.q, row.frequency_hz, bins / plan.duration_s - centre_hz)
    return BinWindow(first, torch.from_numpy(values.astype(np.complex64)).to(plan.taper.device))


def tile_magnitudes(
    spectrum: Complex64[Tensor, "batch bin"], windows: Sequence[BinWindow], n_tiles: int
) -> Float32[Tensor, "batch row tile"]:
    """Root of the energy of every tile of some rows that have equally many.

    The windowed bins may start anywhere in the FFT's input: their place only turns the phase.
    """
    padded = spectrum.new_zeros((spectrum.shape[0], len(windows), n_tiles))
    for row, each in enumerate(windows):
        width = each.values.shape[0]
        bins = spectrum[:, each.first_bin : each.first_bin + width]
        torch.mul(bins, each.values, out=padded[:, row, :width])
    return magnitudes(ifft(padded.flatten(0, 1))).view(padded.shape)


def chosen_tile_magnitudes(
    spectrum: Complex64[Tensor, "batch bin"], chosen: Sequence[tuple[int, BinWindow]], n_tiles: int
) -> Float32[Tensor, "chosen tile"]:
    """The same of chosen pairs of a member of the batch and a row's window."""
    padded = spectrum.new_zeros((len(chosen), n_tiles))
    for row, (member, each) in enumerate(chosen):
        width = each.values.shape[0]
        bins = spectrum[member, each.first_bin : each.first_bin + width]
        torch.mul(bins, each.values, out=padded[row, :width])
    return magnitudes(ifft(padded))
