"""Which planes could hold a member's loudest tile, told cheaply before any is worked out in full.

Nearly all work of the transform goes into rows of many tiles, and all of it counts for one plane
only. Two shortcuts give an estimate of those rows' normalised energies near the event: their
peak from two or so seconds of data, and their median from some hundred of their tiles, spread
over the whole segment. Planes within reach of the best estimate are then worked out exactly, so
that the shortcut decides nothing but what is skipped.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Complex64, Float32
from scipy.signal.windows import tukey
from torch import Tensor

from glitch.strain.medians import row_medians
from glitch.strain.tiling import Plane, Row, bisquare
from glitch.views import Preprocessing

FEWEST_TILES = 2048  # shorter rows are always worked out exactly
_FOLDED_TILES = 512  # tiles for the rough median: 6 % deviation
_SHORTEST_CROP_S = 2.0
REACH = 0.65  # of the best estimate; five deviations below it a plane is out


@dataclass(frozen=True, eq=False)
class ScreenRow:
    """A row of many tiles: its FFT length and window within the crop, and its whole window."""

    n_tiles: int
    first_bin: int
    window: Complex64[Tensor, " bin"]
    crop_tiles: int
    crop_first_bin: int
    crop_window: Complex64[Tensor, " crop_bin"]


@dataclass(frozen=True, eq=False)
class ScreenPlan:
    """How segments of one rate and length are screened.

    Attributes:
        n_crop: samples of the crop around the event.
        alignment: the crop starts at a multiple of this many samples, where all rows have tiles.
        taper: window over the crop.
        planes: rows of many tiles of each plane.
    """

    n_samples: int
    sample_rate_hz: int
    n_crop: int
    alignment: int
    search_half_width_s: float
    taper: Float32[Tensor, " crop"]
    planes: tuple[tuple[ScreenRow, ...], ...]


def screen_plan(
    planes: Sequence[Plane],
    windows: Sequence[Sequence[Tensor]],
    preprocessing: Preprocessing,
    sample_rate_hz: int,
    n_samples: int,
) -> ScreenPlan | None:
    """Prepare screening; None where tiles and samples do not fall into step, or to no avail."""
    duration_s = n_samples / sample_rate_hz
    halvings = math.floor(math.log2(duration_s / _SHORTEST_CROP_S))
    if n_samples % FEWEST_TILES or halvings < 1:
        return None
    device = windows[0][0].device

    def screened(plane: Plane, row: Row, window: Tensor) -> ScreenRow:
        crop_s = duration_s / 2**halvings
        centre_hz = row.frequency_hz + 1 / duration_s  # where the whole window is centred
        half_hz = row.n_bins / 2 / duration_s
        bins = np.arange(
            math.ceil((centre_hz - half_hz) * crop_s),
            math.floor((centre_hz + half_hz) * crop_s) + 1,
        )
        values = bisquare(plane.q, row.frequency_hz, bins / crop_s - centre_hz)
        return ScreenRow(
            n_tiles=row.n_tiles,
            first_bin=row.first_bin,
            window=window,
            crop_tiles=row.n_tiles >> halvings,
            crop_first_bin=int(bins[0]),
            crop_window=torch.from_numpy(values.astype(np.complex64)).to(device),
        )

    rows = tuple(
        tuple(
            screened(plane, row, window)
            for row, window in zip(plane.rows, row_windows, strict=True)
            if row.n_tiles >= FEWEST_TILES
        )
        for plane, row_windows in zip(planes, windows, strict=True)
    )
    n_crop = n_samples >> halvings
    return ScreenPlan(
        n_samples=n_samples,
        sample_rate_hz=sample_rate_hz,
        n_crop=n_crop,
        alignment=n_samples // FEWEST_TILES,
        search_half_width_s=preprocessing.search_half_width_s,
        taper=torch.from_numpy(tukey(n_crop, 0.5).astype(np.float32)).to(device),
        planes=rows,
    )


def possible_planes(
    whitened: Float32[Tensor, "batch sample"],
    spectrum: Complex64[Tensor, "batch bin"],
    events_s: Sequence[float],
    known_peaks: Float32[Tensor, "plane batch"],
    plan: ScreenPlan,
) -> Bool[Tensor, "plane batch"]:
    """Whether each plane's loudest tile may be a member's loudest of all.

    Args:
        whitened: the whitened segments.
        spectrum: their spectra.
        events_s: seconds from the start of each to its GPS time.
        known_peaks: exact peaks of the rows of few tiles.
        plan: plan for segments of this rate and length.
    """
    half = plan.n_crop // 2
    rate = plan.sample_rate_hz
    starts = [
        min(
            max(0, (round(event_s * rate) - half) // plan.alignment * plan.alignment),
            plan.n_samples - plan.n_crop,
        )
        for event_s in events_s
    ]
    crops = torch.stack(
        [
            series[start : start + plan.n_crop]
            for series, start in zip(whitened, starts, strict=True)
        ]
    )
    crop_spectrum = torch.fft.rfft(crops * plan.taper)
    offsets_s = [event_s - start / rate for event_s, start in zip(events_s, starts, strict=True)]
    best = known_peaks.clone()
    for plane, rows in enumerate(plan.planes):
        if rows:
            peaks = _rough_peaks(crop_spectrum, offsets_s, rows, plan)
            rough = (peaks / _rough_medians(spectrum, rows)).amax(dim=1)
            best[plane] = torch.maximum(best[plane], rough)
    return best >= REACH * best.amax(dim=0)


def _rough_medians(spectrum: Tensor, rows: Sequence[ScreenRow]) -> Float32[Tensor, "batch row"]:
    """Medians of every so manieth tile: its FFT is that of the folded windowed spectrum."""
    folded = spectrum.new_zeros((spectrum.shape[0], len(rows), _FOLDED_TILES))
    for index, row in enumerate(rows):
        windowed = spectrum[:, row.first_bin : row.first_bin + row.window.shape[0]] * row.window
        whole = windowed.shape[1] // _FOLDED_TILES * _FOLDED_TILES
        if whole:
            parts = windowed[:, :whole].view(spectrum.shape[0], -1, _FOLDED_TILES)
            folded[:, index] = parts.sum(dim=1)
        folded[:, index, : windowed.shape[1] - whole] += windowed[:, whole:]
    return row_medians(_energy(folded))


def _rough_peaks(
    spectrum: Tensor, offsets_s: Sequence[float], rows: Sequence[ScreenRow], plan: ScreenPlan
) -> Float32[Tensor, "batch row"]:
    """Loudest energy of each row within the search window, on the scale of the whole segment."""
    peaks = spectrum.new_empty((spectrum.shape[0], len(rows)), dtype=torch.float32)
    crop_s = plan.n_crop / plan.sample_rate_hz
    scale = (plan.n_samples / plan.n_crop) ** 2
    for n_tiles in {row.crop_tiles for row in rows}:
        chosen = [index for index, row in enumerate(rows) if row.crop_tiles == n_tiles]
        padded = spectrum.new_zeros((spectrum.shape[0], len(chosen), n_tiles))
        for place, index in enumerate(chosen):
            row = rows[index]
            width = row.crop_window.shape[0]
            torch.mul(
                spectrum[:, row.crop_first_bin : row.crop_first_bin + width],
                row.crop_window,
                out=padded[:, place, :width],
            )
        energy = _energy(padded)
        for member, offset_s in enumerate(offsets_s):
            low = max(0, math.floor((offset_s - plan.search_half_width_s) * n_tiles / crop_s))
            high = math.floor((offset_s + plan.search_half_width_s) * n_tiles / crop_s)
            peaks[member, chosen] = energy[member, :, low:high].amax(dim=1) * scale
    return peaks


def _energy(padded: Complex64[Tensor, "*batch tile"]) -> Float32[Tensor, "*batch tile"]:
    tiles = torch.view_as_real(torch.fft.ifft(padded, norm="forward")).square_()
    energy: Tensor = tiles[..., 0] + tiles[..., 1]
    return energy
