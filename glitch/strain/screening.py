"""Select quickly the rows that could contain a glitch's loudest tile.

Nearly all work of the transform is spent on rows with many tiles, and in the end only one plane is
used. Two shortcuts estimate the normalised energies of those rows near the event: their peak from
about two seconds of data, and their median from the median spectrum of the whitened segment. Rows
near the best estimate are then computed exactly, so the shortcuts only decide what is skipped.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from glitch.strain.cropping import (
    FEWEST_TILES,
    BinWindow,
    CropPlan,
    Crops,
    crop,
    crop_plan,
    crop_window,
    tile_magnitudes,
)
from glitch.strain.fourier import magnitudes, rfft
from glitch.strain.medians import median_energies
from glitch.strain.tiling import Plane, Row, window
from glitch.views import Preprocessing

_PIECE_S = 2.0  # piece of the median spectrum: a row's median deviates by 4 to 7 %
_MIN_CROP_S = 2.0
# factor on the median expected from the spectrum: tiles overlap, noise is not Gaussian
_TILE_MEDIAN = 0.88
REACH = 0.65  # fraction of the best estimate, five deviations below it; lower rows are skipped


@dataclass(frozen=True, eq=False)
class ScreenRow:
    """A row with many tiles, and its window over the spectrum of the crop around the event."""

    n_tiles: int
    near: BinWindow


@dataclass(frozen=True, eq=False)
class ScreenPlan:
    """How segments of one rate and length are screened.

    Attributes:
        search_half_width_s: half width of the window in which the loudest tile is searched.
        crop: crops around the event.
        planes: rows with many tiles of each plane.
        piece_window: window of the pieces that the median spectrum is made of.
        levels: for each plane, the matrix from that spectrum to the medians of its rows.
    """

    search_half_width_s: float
    crop: CropPlan
    planes: tuple[tuple[ScreenRow, ...], ...]
    piece_window: Float32[Tensor, " piece"]
    levels: tuple[Float32[Tensor, "spectrum_bin _"], ...]


def screen_plan(
    planes: Sequence[Plane],
    preprocessing: Preprocessing,
    sample_rate_hz: int,
    n_samples: int,
    device: torch.device,
) -> ScreenPlan | None:
    """Prepare screening; None if tiles and samples do not align, or the segment is too short."""
    pieces = crop_plan(
        sample_rate_hz, n_samples, shortest_s=_MIN_CROP_S, taper_s=_MIN_CROP_S / 4, device=device
    )
    if pieces is None:
        return None
    long = [[row for row in plane.rows if row.n_tiles >= FEWEST_TILES] for plane in planes]
    n_piece = round(_PIECE_S * sample_rate_hz)
    window = np.hanning(n_piece + 1)[:-1].astype(np.float32)
    levels = [
        _levels(plane.q, rows, n_piece, n_samples / sample_rate_hz)
        for plane, rows in zip(planes, long, strict=True)
    ]
    return ScreenPlan(
        preprocessing.search_half_width_s,
        pieces,
        tuple(
            tuple(ScreenRow(row.n_tiles, crop_window(plane, row, pieces)) for row in rows)
            for plane, rows in zip(planes, long, strict=True)
        ),
        torch.from_numpy(window).to(device),
        tuple(torch.from_numpy(each).to(device) for each in levels),
    )


def _levels(
    q: float, rows: Sequence[Row], n_piece: int, duration_s: float
) -> Float32[np.ndarray, "spectrum_bin row"]:
    """Return squared windows over a coarser spectrum, scaled from a piece's power to the segment's.

    White noise of unit variance has ``3/8 n_piece`` in a bin of a piece with a Hann window and
    ``n_samples`` in one of the segment; both medians are the same fraction of their means.
    """
    levels = np.zeros((n_piece // 2 + 1, len(rows)), dtype=np.float32)
    per_bin = duration_s / _PIECE_S  # bins of the segment per bin of a piece
    for column, row in enumerate(rows):
        squares = window(q, row, duration_s) ** 2
        position = (row.first_bin + np.arange(row.n_bins)) / per_bin
        bins = position.astype(np.int64)
        right = position - bins
        np.add.at(levels[:, column], bins, squares * (1 - right))
        np.add.at(levels[:, column], bins + 1, squares * right)
    return levels * np.float32(_TILE_MEDIAN * per_bin / 0.375)


def possible_rows(
    whitened: Float32[Tensor, "batch sample"],
    events_s: Sequence[float],
    known_peaks: Float32[Tensor, " batch"],
    plan: ScreenPlan,
) -> list[Tensor]:
    """Return whether each row with many tiles may hold a member's loudest: (batch, row) per plane.

    Args:
        whitened: the whitened segments.
        events_s: seconds from the start of each segment to its GPS time.
        known_peaks: exact peaks of the rows with few tiles.
        plan: plan for segments of this rate and length.
    """
    crops = crop(whitened, events_s, plan.crop)
    spectrum = _median_spectrum(whitened, plan)
    peaks = _rough_peaks(crops, events_s, [row for rows in plan.planes for row in rows], plan)
    rough = [
        some / (spectrum @ levels)
        for some, levels in zip(
            torch.split(peaks, [len(rows) for rows in plan.planes], dim=1), plan.levels, strict=True
        )
    ]
    best = torch.cat([known_peaks[:, None], *rough], dim=1).amax(dim=1, keepdim=True)
    return [each >= REACH * best for each in rough]


def _median_spectrum(
    whitened: Float32[Tensor, "batch sample"], plan: ScreenPlan
) -> Float32[Tensor, "batch spectrum_bin"]:
    """Return the median power of half-overlapping pieces."""
    n_piece = plan.piece_window.shape[0]
    spectra = rfft(whitened.unfold(-1, n_piece, n_piece // 2) * plan.piece_window)
    return median_energies(magnitudes(spectra).transpose(1, 2))  # from (batch, piece, spectrum_bin)


def _rough_peaks(
    crops: Crops, events_s: Sequence[float], rows: Sequence[ScreenRow], plan: ScreenPlan
) -> Float32[Tensor, "batch row"]:
    """Return the loudest energy of each row in the search window, on the whole segment's scale."""
    peaks = torch.empty((len(events_s), len(rows)), device=crops.spectrum.device)
    half_s, rate = plan.search_half_width_s, plan.crop.sample_rate_hz
    offsets_s = [
        event_s - start / rate for event_s, start in zip(events_s, crops.starts, strict=True)
    ]
    for n_tiles in {row.n_tiles for row in rows}:
        chosen = [index for index, row in enumerate(rows) if row.n_tiles == n_tiles]
        n_near = n_tiles >> plan.crop.halvings
        tiles = tile_magnitudes(crops.spectrum, [rows[index].near for index in chosen], n_near)
        tile_rate_hz = n_near / plan.crop.duration_s
        for member, offset_s in enumerate(offsets_s):
            low = max(0, math.floor((offset_s - half_s) * tile_rate_hz))
            high = math.floor((offset_s + half_s) * tile_rate_hz)
            peaks[member, chosen] = tiles[member, :, low:high].amax(dim=1)
    return peaks.square_() * plan.crop.energy_scale
