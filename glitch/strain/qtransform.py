"""The multi-Q transform of a batch: each member keeps the plane of its own loudest tile."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Complex64, Float32
from torch import Tensor

from glitch.strain.cropping import FEWEST_TILES, tile_energies
from glitch.strain.fourier import rfft
from glitch.strain.medians import row_medians
from glitch.strain.plan import (
    SPLINE_BLOCK,
    SPLINE_HALO,
    PlanePlan,
    RowGroup,
    ViewPlan,
    first_kept,
)
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


GroupEnergies = Float32[Tensor, "batch row kept"]


@dataclass(frozen=True, eq=False)
class PlaneEnergies:
    """Normalised energies around the events of those members whose loudest tile is this plane's.

    Attributes:
        members: their positions in the batch, ascending.
        events_s: seconds from the start of each to its GPS time, around which energies were kept.
        groups: of each group of rows, in the members' order, the energies and their spline's
            moments. Tiles come first, so that a sample gathers one run of memory for all rows.
    """

    members: tuple[int, ...]
    events_s: tuple[float, ...]
    groups: list[Tensor]  # (member, tile, 2, row) each


def loudest_planes(
    whitened: Float32[Tensor, "batch sample"], events_s: Sequence[float], plan: ViewPlan
) -> tuple[list[PlaneEnergies], list[Tile]]:
    """Each member's loudest tile, and the energies around its event in the plane of that tile.

    Args:
        whitened: whitened segments.
        events_s: seconds from the start of each segment to its GPS time.
        plan: plan for the segments' rate and length.
    """
    spectrum = rfft(whitened)
    short: list[dict[int, Tensor]] = [
        {
            index: _group_energies(spectrum, events_s, group, plan)
            for index, group in enumerate(plane.groups)
            if plan.screen and group.n_tiles < FEWEST_TILES
        }
        for plane in plan.planes
    ]
    rows = _rows_to_search(whitened, events_s, short, plan)
    tiles = [
        _loudest_of(
            spectrum[member : member + 1],
            event_s,
            [each[member] for each in rows],
            [{index: kept[member] for index, kept in known.items()} for known in short],
            plan,
        )
        for member, event_s in enumerate(events_s)
    ]
    energies: list[PlaneEnergies] = []
    for number, plane in enumerate(plan.planes):
        members = tuple(member for member, tile in enumerate(tiles) if tile.plane == number)
        chosen = list(members)
        theirs, spectra = tuple(events_s[member] for member in chosen), spectrum[chosen]
        groups = [
            _splined(
                short[number][index][chosen]
                if index in short[number]
                else _group_energies(spectra, theirs, group, plan),
                group,
            )
            for index, group in enumerate(plane.groups)
            if members
        ]
        energies.append(PlaneEnergies(members, theirs, groups))
    return energies, tiles


def _rows_to_search(
    whitened: Tensor, events_s: Sequence[float], short: list[dict[int, Tensor]], plan: ViewPlan
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
    rows: Sequence[np.ndarray],
    short: Sequence[dict[int, Tensor]],
    plan: ViewPlan,
) -> Tile:
    """The loudest tile of one member among its short rows and the rows to be searched."""
    best = Tile(0, plan.planes[0].plane.rows[0].frequency_hz, event_s, -1.0)
    for number, plane in enumerate(plan.planes):
        first = 0
        for index, group in enumerate(plane.groups):
            if index in short[number]:
                chosen = list(range(group.n_rows))
                kept = short[number][index]
            else:
                chosen = np.flatnonzero(rows[number][first : first + group.n_rows]).tolist()
                first += group.n_rows
                if not chosen:
                    continue
                kept = _group_energies(spectrum, [event_s], group, plan, chosen)[0]
            loudest = _loudest(group, kept, event_s, best.energy, plan)
            if loudest:
                row, time_s, energy = loudest
                tiled = plane.plane.rows[group.first_row + chosen[row]]
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


def _group_energies(
    spectrum: Complex64[Tensor, "batch bin"],
    events_s: Sequence[float],
    group: RowGroup,
    plan: ViewPlan,
    rows: Sequence[int] | None = None,
) -> GroupEnergies:
    """Energies of a group's rows (all, or some) over their medians, kept around the events."""
    chosen = range(group.n_rows) if rows is None else rows
    starts = [first_kept(group, plan, event_s) for event_s in events_s]
    kept = spectrum.new_empty((len(starts), len(chosen), group.n_kept), dtype=torch.float32)
    elements = _CHUNK_ELEMENTS[plan.device.type] // max(1, len(starts))
    n_rows = max(1, elements // group.n_tiles)
    for low in range(0, len(chosen), n_rows):
        some = chosen[low : low + n_rows]
        energy = tile_energies(spectrum, [group.windows[row] for row in some], group.n_tiles)
        norm = row_medians(energy)[..., None]
        for member, start in enumerate(starts):
            part = energy[member, :, start : start + group.n_kept]
            torch.div(part, norm[member], out=kept[member, low : low + len(some)])
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
    group: RowGroup,
    kept: Float32[Tensor, "row tile"],
    event_s: float,
    least: float,
    plan: ViewPlan,
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
    energies: PlaneEnergies, member: int, centre_s: float, plane: PlanePlan, plan: ViewPlan
) -> Float32[Tensor, "row time"]:
    """Energies of one member's plane splined to the picture's sample times.

    Args:
        energies: of that plane.
        member: position in the batch.
        centre_s: seconds from the start of the segment to the middle of the picture.
        plane: how the plane is drawn.
        plan: plan for the segments' rate and length.
    """
    place = energies.members.index(member)
    event_s = energies.events_s[place]
    rates = [group.n_tiles / plan.duration_s for group in plane.groups]
    firsts = [first_kept(group, plan, event_s) for group in plane.groups]
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
    for number, (group, everyones) in enumerate(zip(plane.groups, energies.groups, strict=True)):
        splined = everyones[place]
        terms = splined.index_select(0, index[number]).mul_(lefts[number])
        terms.addcmul_(splined.index_select(0, index[number] + 1), rights[number])
        rows = drawn[group.first_row : group.first_row + group.n_rows]
        torch.add(terms[:, 0].T, terms[:, 1].T, out=rows)
    return drawn


def _splined(kept: GroupEnergies, group: RowGroup) -> Float32[Tensor, "batch kept 2 row"]:
    """Energies and the second derivatives of the spline through each row, as ``grid`` has it."""
    if group.is_whole:
        moments = kept @ group.moments
    else:
        excess = -group.n_kept % SPLINE_BLOCK
        padded = torch.nn.functional.pad(kept, (SPLINE_HALO, SPLINE_HALO + excess))
        blocks = padded.unfold(2, SPLINE_BLOCK + 2 * SPLINE_HALO, SPLINE_BLOCK)
        moments = (blocks @ group.moments).flatten(2)[:, :, : group.n_kept]
    return torch.stack([kept.transpose(1, 2), moments.transpose(1, 2)], dim=2)
