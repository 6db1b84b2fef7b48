"""Plans: all tensors of the transform that depend only on recipe, rate, length and device."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from glitch.strain import grid
from glitch.strain.cropping import BinWindow, segment_window
from glitch.strain.screening import ScreenPlan, screen_plan
from glitch.strain.tiling import Plane, highest_frequency_hz, tiling
from glitch.strain.whitening import WhiteningPlan, whitening_plan
from glitch.views import Preprocessing

SPLINE_BLOCK = 64  # samples whose spline is computed in one matrix product
SPLINE_HALO = 11  # samples; the influence of a neighbour on the spline decays by 0.27 per sample
_MIN_WEIGHT = 1e-12
# slower rows are splined whole, so that the halo stays inside the data
_LOWEST_LOCAL_RATE_HZ = 16.0
_MIN_SHARE = 1e-9  # least share of a row's energy in a picture; a row below it is left out
_BAND_ROWS = 16  # view rows drawn at once: their samples fit the processor's cache


@dataclass(frozen=True, eq=False)
class RowGroup:
    """Rows of one plane with the same number of tiles, which share their FFT length.

    Attributes:
        n_tiles: energies per row over the whole segment.
        first_row: position of the first row within the plane.
        windows: each row's window over the segment's spectrum.
        is_whole: whether the rows are kept and splined over their whole length.
        n_kept: energies per row that are kept around the event.
        moments: spline operator (from, to) over whole rows, or over blocks of kept stretches.
    """

    n_tiles: int
    first_row: int
    windows: tuple[BinWindow, ...]
    is_whole: bool
    n_kept: int
    moments: Float32[Tensor, "*operator"]

    @property
    def n_rows(self) -> int:
        """Rows in the group."""
        return len(self.windows)


@dataclass(frozen=True, eq=False)
class Band:
    """Neighbouring rows of the view, and the rows of the plane that contribute to them."""

    rows: slice
    to_samples: Float32[Tensor, "sample row"]  # spline across the rows
    means: Float32[Tensor, "view_row sample"]


@dataclass(frozen=True, eq=False)
class PlanePlan:
    """One plane: its rows in groups, and how it is drawn on the view's frequency axis."""

    plane: Plane
    groups: tuple[RowGroup, ...]
    bands: tuple[Band, ...]

    def mean_rows(
        self, drawn: Float32[Tensor, "row time"], clip: float
    ) -> Float32[Tensor, "view_row time"]:
        """Average the clipped picture over the view's rows."""
        means = [
            band.means @ (band.to_samples @ drawn[band.rows]).clamp_(0, clip) for band in self.bands
        ]
        return torch.cat(means)


@dataclass(frozen=True, eq=False)
class PooledTime:
    """``grid.TimeMeans`` on the device."""

    first: int
    step: int
    n_blocks: int
    weights: Float32[Tensor, "column sample"]

    def __call__(self, picture: Float32[Tensor, "sample time"]) -> Float32[Tensor, "sample column"]:
        """Average the picture over the view's columns."""
        width = self.weights.shape[1]
        last = self.first + (self.n_blocks - 1) * self.step + width
        blocks = picture[:, self.first : last].unfold(1, width, self.step)
        means = blocks.reshape(-1, width) @ self.weights.T  # (sample and block, column of block)
        return means.reshape(picture.shape[0], -1)


@dataclass(frozen=True, eq=False)
class ViewPlan:
    """The plan for all segments of one rate and length under a recipe, on one device."""

    preprocessing: Preprocessing
    sample_rate_hz: int
    n_samples: int
    device: torch.device
    whitening: WhiteningPlan
    planes: tuple[PlanePlan, ...]
    screen: ScreenPlan | None
    times_s: Tensor  # float64, sample times of the picture relative to the centre of the views
    n_observed_rows: int
    time_means: tuple[PooledTime, ...]  # one per window

    @property
    def duration_s(self) -> float:
        """Length of the segments in seconds."""
        return self.n_samples / self.sample_rate_hz


@lru_cache(maxsize=8)
def view_plan(
    preprocessing: Preprocessing, sample_rate_hz: int, n_samples: int, device: torch.device
) -> ViewPlan:
    """Return the plan for a rate and length. Pure and immutable, so the last few are cached."""
    duration_s = n_samples / sample_rate_hz
    top_hz = highest_frequency_hz(preprocessing, float(sample_rate_hz))

    def plane_plan(plane: Plane) -> PlanePlan:
        return PlanePlan(
            plane,
            _groups(plane, preprocessing, duration_s, device),
            _bands(plane, preprocessing, top_hz, device),
        )

    planes = tuple(
        plane_plan(plane) for plane in tiling(preprocessing, float(sample_rate_hz), duration_s)
    )
    means = [grid.time_means(preprocessing, d) for d in preprocessing.durations_s]
    return ViewPlan(
        preprocessing=preprocessing,
        sample_rate_hz=sample_rate_hz,
        n_samples=n_samples,
        device=device,
        whitening=whitening_plan(preprocessing, sample_rate_hz, n_samples, device),
        planes=planes,
        screen=screen_plan(
            [each.plane for each in planes], preprocessing, sample_rate_hz, n_samples, device
        ),
        times_s=torch.from_numpy(grid.sample_times_s(preprocessing)).to(device),
        n_observed_rows=grid.n_observed_rows(preprocessing, top_hz),
        time_means=tuple(
            PooledTime(each.first, each.step, each.n_blocks, _placed(each.weights, device))
            for each in means
        ),
    )


def _placed(weights: np.ndarray, device: torch.device) -> Tensor:
    """Return weights as float32 on the device.

    A spline's weights decay by 0.27 per row down to denormal float32 numbers, which processors
    multiply a hundred times slower; they are too small to be visible and are set to zero.
    """
    significant = np.where(np.abs(weights) < _MIN_WEIGHT, 0, weights)
    return torch.from_numpy(np.ascontiguousarray(significant, dtype=np.float32)).to(device)


def _bands(
    plane: Plane, preprocessing: Preprocessing, top_hz: float, device: torch.device
) -> tuple[Band, ...]:
    rows_hz = np.array([row.frequency_hz for row in plane.rows])
    samples = grid.frequency_samples(
        preprocessing, top_hz, grid.points_per_cell(preprocessing, plane.q)
    )
    to_samples = grid.spline_across_rows(rows_hz, samples.samples_hz)
    means = samples.means
    bands = []
    for low in range(0, len(means), _BAND_ROWS):
        high = low + _BAND_ROWS
        used = np.flatnonzero((means[low:high] > _MIN_SHARE).any(axis=0))
        from_rows = to_samples[used]
        columns = np.flatnonzero((np.abs(from_rows) > _MIN_SHARE).any(axis=0))
        rows = slice(int(columns[0]), int(columns[-1]) + 1)
        bands.append(
            Band(rows, _placed(from_rows[:, rows], device), _placed(means[low:high, used], device))
        )
    return tuple(bands)


def _groups(
    plane: Plane, preprocessing: Preprocessing, duration_s: float, device: torch.device
) -> tuple[RowGroup, ...]:
    groups: list[RowGroup] = []
    first_row = 0
    for n_tiles in sorted({row.n_tiles for row in plane.rows}):
        rows = [row for row in plane.rows if row.n_tiles == n_tiles]  # n_tiles grows with frequency
        rate_hz = n_tiles / duration_s
        n_kept = int(2 * kept_half_width_s(preprocessing) * rate_hz) + 2 * SPLINE_HALO + 3
        is_whole = rate_hz < _LOWEST_LOCAL_RATE_HZ or n_kept >= n_tiles
        moments = (
            grid.spline_moments(n_tiles).T
            if is_whole
            else grid.moment_blocks(SPLINE_HALO, SPLINE_BLOCK)
        )
        groups.append(
            RowGroup(
                n_tiles=n_tiles,
                first_row=first_row,
                windows=tuple(segment_window(plane, row, duration_s, device) for row in rows),
                is_whole=is_whole,
                n_kept=n_tiles if is_whole else n_kept,
                moments=_placed(moments, device),
            )
        )
        first_row += len(rows)
    return tuple(groups)


def kept_half_width_s(preprocessing: Preprocessing) -> float:
    """Seconds of energies kept on each side of the event: the views may be centred elsewhere."""
    return max(preprocessing.durations_s) / 2 + preprocessing.search_half_width_s


def first_kept(group: RowGroup, plan: ViewPlan, event_s: float) -> int:
    """Return the index of the first energy kept around an event; 0 for rows that are kept whole."""
    if group.is_whole:
        return 0
    half_s = kept_half_width_s(plan.preprocessing)
    start = int((event_s - half_s) * group.n_tiles / plan.duration_s) - SPLINE_HALO
    return max(0, min(start, group.n_tiles - group.n_kept))
