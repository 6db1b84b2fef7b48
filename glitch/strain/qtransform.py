"""The multi-Q transform of a batch: each member keeps the plane of its own loudest tile."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Complex64, Float32
from torch import Tensor

from glitch.strain.cropping import FEWEST_TILES, tile_magnitudes
from glitch.strain.fourier import rfft
from glitch.strain.medians import median_energies
from glitch.strain.plan import SPLINE_BLOCK, SPLINE_HALO, PlanePlan, RowGroup, ViewPlan, first_kept
from glitch.strain.screening import possible_rows

_CHUNK_ELEMENTS = {"cpu": 1 << 18, "cuda": 1 << 26}  # FFT input at a time: cache, or memory


@dataclass(frozen=True)
class Tile:
    """The loudest tile within the search window.

    Attributes:
        plane: index of its plane.
        frequency_hz: centre.
        time_s: seconds from the start of the segment to its peak, between tiles.
        energy: energy over the median of its row; higher is louder.
    """

    plane: int
    frequency_hz: float
    time_s: float
    energy: float


@dataclass(frozen=True, eq=False)
class PlaneEnergies:
    """Normalised energies of one plane around an event.

    Attributes:
        event_s: seconds from the start of the segment to the GPS time, around which they were kept.
        groups: of each group of rows, the energies and their spline's moments. Tiles come first,
            so that a sample gathers one run of memory for all rows.
    """

    event_s: float
    groups: list[Tensor]  # (tile, 2, row) each


@dataclass(frozen=True, eq=False)
class _Rows:
    """Some rows of a group, ascending, and their energies around the event."""

    rows: Sequence[int]
    kept: Float32[Tensor, "row kept"]


def loudest_planes(
    whitened: Float32[Tensor, "batch sample"], events_s: Sequence[float], plan: ViewPlan
) -> list[tuple[Tile, PlaneEnergies]]:
    """Each member's loudest tile, and the energies around its event in the plane of that tile.

    Args:
        whitened: whitened segments.
        events_s: seconds from the start of each segment to its GPS time.
        plan: plan for the segments' rate and length.
    """
    spectrum = rfft(whitened)
    short = [
        {
            index: _group_energies(spectrum, events_s, group, range(group.n_rows), plan)
            for index, group in enumerate(plane.groups)
            if plan.screen and group.n_tiles < FEWEST_TILES
        }
        for plane in plan.planes
    ]
    searched = _rows_to_search(whitened, events_s, short, plan)
    results = []
    for member, event_s in enumerate(events_s):
        spectra = spectrum[member : member + 1]
        known = [
            {
                index: _Rows(range(plane.groups[index].n_rows), kept[member])
                for index, kept in theirs.items()
            }
            for plane, theirs in zip(plan.planes, short, strict=True)
        ]
        tile = _loudest_of(spectra, event_s, [each[member] for each in searched], known, plan)
        rows = known[tile.plane]
        groups = [
            _splined(_whole_group(spectra, event_s, group, rows.get(index), plan), group)
            for index, group in enumerate(plan.planes[tile.plane].groups)
        ]
        results.append((tile, PlaneEnergies(event_s, groups)))
    return results


def _rows_to_search(
    whitened: Float32[Tensor, "batch sample"],
    events_s: Sequence[float],
    short: list[dict[int, Tensor]],
    plan: ViewPlan,
) -> list[np.ndarray]:
    """Which rows but the short ones may hold the loudest tile: (batch, row) for each plane."""
    n_rows = [
        sum(group.n_rows for index, group in enumerate(plane.groups) if index not in known)
        for plane, known in zip(plan.planes, short, strict=True)
    ]
    if not plan.screen:
        return [np.ones((len(events_s), n), dtype=np.bool_) for n in n_rows]
    known_peaks = [
        max(
            _peak(plane, known, member, event_s, plan)
            for plane, known in zip(plan.planes, short, strict=True)
        )
        for member, event_s in enumerate(events_s)
    ]
    peaks = torch.tensor(known_peaks, dtype=torch.float32, device=plan.device)
    return [rows.cpu().numpy() for rows in possible_rows(whitened, events_s, peaks, plan.screen)]


def _loudest_of(
    spectrum: Complex64[Tensor, "1 bin"],
    event_s: float,
    searched: Sequence[np.ndarray],
    known: Sequence[dict[int, _Rows]],
    plan: ViewPlan,
) -> Tile:
    """One member's loudest tile among the known rows and those to be searched, then known too."""
    best = Tile(0, plan.planes[0].plane.rows[0].frequency_hz, event_s, -1.0)
    for number, plane in enumerate(plan.planes):
        first = 0
        for index, group in enumerate(plane.groups):
            if index not in known[number]:
                chosen = np.flatnonzero(searched[number][first : first + group.n_rows]).tolist()
                first += group.n_rows
                if not chosen:
                    continue
                kept = _group_energies(spectrum, [event_s], group, chosen, plan)[0]
                known[number][index] = _Rows(chosen, kept)
            some = known[number][index]
            loudest = _loudest(group, some.kept, event_s, best.energy, plan)
            if loudest:
                row, time_s, energy = loudest
                tiled = plane.plane.rows[group.first_row + some.rows[row]]
                best = Tile(number, tiled.frequency_hz, time_s, energy)
    return best


def _peak(
    plane: PlanePlan, groups: dict[int, Tensor], member: int, event_s: float, plan: ViewPlan
) -> float:
    parts = (
        _searched(plane.groups[index], kept[member], event_s, plan)[0]
        for index, kept in groups.items()
    )
    return max((float(part.amax()) for part in parts if part.numel()), default=0.0)


def _whole_group(
    spectrum: Complex64[Tensor, "1 bin"],
    event_s: float,
    group: RowGroup,
    known: _Rows | None,
    plan: ViewPlan,
) -> Float32[Tensor, "row kept"]:
    """The energies of all rows of a group, of which some may be known."""
    if known and len(known.rows) == group.n_rows:
        return known.kept
    done = list(known.rows) if known else []
    rest = [row for row in range(group.n_rows) if row not in done]
    kept = _group_energies(spectrum, [event_s], group, rest, plan)[0]
    if known:
        kept = torch.cat([known.kept, kept])[np.argsort(done + rest)]
    return kept


def _group_energies(
    spectrum: Complex64[Tensor, "batch bin"],
    events_s: Sequence[float],
    group: RowGroup,
    rows: Sequence[int],
    plan: ViewPlan,
) -> Float32[Tensor, "batch row kept"]:
    """Energies of some rows of a group over their medians, kept around the events."""
    starts = [first_kept(group, plan, event_s) for event_s in events_s]
    kept = spectrum.new_empty((len(starts), len(rows), group.n_kept), dtype=torch.float32)
    elements = _CHUNK_ELEMENTS[plan.device.type] // max(1, len(starts))
    n_rows = max(1, elements // group.n_tiles)
    for low in range(0, len(rows), n_rows):
        some = rows[low : low + n_rows]
        tiles = tile_magnitudes(spectrum, [group.windows[row] for row in some], group.n_tiles)
        near = kept[:, low : low + len(some)]
        for member, start in enumerate(starts):
            torch.square(tiles[member, :, start : start + group.n_kept], out=near[member])
        near /= median_energies(tiles)[..., None]
    return kept


def _searched(
    group: RowGroup, kept: Tensor, event_s: float, plan: ViewPlan
) -> tuple[Float32[Tensor, "row tile"], int]:
    """Energies within the search window, and the position of the first in its whole row."""
    half_s = plan.preprocessing.search_half_width_s
    rate_hz = group.n_tiles / plan.duration_s
    first = first_kept(group, plan, event_s)
    low = max(0, math.floor((event_s - half_s) * rate_hz))
    high = math.floor((event_s + half_s) * rate_hz)
    return kept[:, low - first : high - first], low


def _loudest(
    group: RowGroup, kept: Float32[Tensor, "row tile"], event_s: float, least: float, plan: ViewPlan
) -> tuple[int, float, float] | None:
    """Row, time in s and energy of the loudest tile in the search window, if above the least."""
    part, first = _searched(group, kept, event_s, plan)
    energy = float(part.amax()) if part.numel() else -1.0
    if energy <= least:
        return None
    row, column = divmod(int(part.argmax()), part.shape[1])
    place = first + column - first_kept(group, plan, event_s)
    shift = _summit(kept[row, max(0, place - 1) : place + 2]) if place else 0.0
    return row, (first + column + shift) * plan.duration_s / group.n_tiles, energy


def _summit(energies: Float32[Tensor, " three"]) -> float:
    """Where a parabola through three logarithms peaks, in tiles from the middle one.

    Tiles lie 1 to 250 ms apart, counted from the start of the segment, which follows the GPS
    time: without this a view's middle would jump by half a tile with the time that was given.
    """
    if energies.shape[0] < 3 or not bool((energies > 0).all()):
        return 0.0
    before, middle, after = energies.double().log().tolist()
    curvature = before - 2 * middle + after
    return min(max((before - after) / (2 * curvature), -0.5), 0.5) if curvature < 0 else 0.0


def draw_plane(
    energies: PlaneEnergies, centre_s: float, plane: PlanePlan, plan: ViewPlan
) -> Float32[Tensor, "row time"]:
    """Energies of one member's plane splined to the picture's sample times.

    Args:
        energies: of that plane.
        centre_s: seconds from the start of the segment to the middle of the picture.
        plane: how the plane is drawn.
        plan: plan for the segments' rate and length.
    """
    rates = [group.n_tiles / plan.duration_s for group in plane.groups]
    firsts = [first_kept(group, plan, energies.event_s) for group in plane.groups]
    lasts = [group.n_kept - 2 for group in plane.groups]
    columns = torch.tensor([rates, firsts, lasts], dtype=torch.float64, device=plan.device)
    position = (plan.times_s + centre_s) * columns[0, :, None] - columns[1, :, None]
    index = torch.minimum(position.floor(), columns[2, :, None]).clamp_(min=0)
    right = (position - index).to(torch.float32)
    left = 1 - right
    # weights of a tile's energy and of its moment, to the left and to the right of each sample
    lefts = torch.stack([left, left**3 - left], dim=-1)[..., None]  # (group, time, 2, 1)
    rights = torch.stack([right, right**3 - right], dim=-1)[..., None]
    index = index.long()
    drawn = torch.empty((len(plane.plane.rows), plan.times_s.numel()), device=plan.device)
    for number, (group, splined) in enumerate(zip(plane.groups, energies.groups, strict=True)):
        terms = splined.index_select(0, index[number]).mul_(lefts[number])
        terms.addcmul_(splined.index_select(0, index[number] + 1), rights[number])
        rows = drawn[group.first_row : group.first_row + group.n_rows]
        torch.add(terms[:, 0].T, terms[:, 1].T, out=rows)
    return drawn


def _splined(kept: Float32[Tensor, "row kept"], group: RowGroup) -> Float32[Tensor, "kept 2 row"]:
    """Energies and the second derivatives of the spline through each row, as ``grid`` has it."""
    if group.is_whole:
        moments = kept @ group.moments
    else:
        excess = -group.n_kept % SPLINE_BLOCK
        padded = torch.nn.functional.pad(kept, (SPLINE_HALO, SPLINE_HALO + excess))
        blocks = padded.unfold(1, SPLINE_BLOCK + 2 * SPLINE_HALO, SPLINE_BLOCK)
        moments = (blocks @ group.moments).flatten(1)[:, : group.n_kept]
    return torch.stack([kept.T, moments.T], dim=1)
