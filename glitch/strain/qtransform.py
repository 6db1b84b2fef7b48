"""The multi-Q transform of a batch: each member keeps the plane of its own loudest tile."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32
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
from glitch.strain.screening import possible_planes

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
    """Normalised energies around the events of those members that may need this plane.

    Attributes:
        members: their positions in the batch, ascending.
        events_s: seconds from the start of each to its GPS time, around which energies were kept.
        groups: energies of each group of rows, in the members' order.
    """

    members: tuple[int, ...]
    events_s: tuple[float, ...]
    groups: list[Tensor]


def loudest_planes(
    whitened: Float32[Tensor, "batch sample"], events_s: Sequence[float], plan: ViewPlan
) -> tuple[list[PlaneEnergies], list[Tile]]:
    """Energies around the events in every plane that matters, and each member's loudest tile.

    Args:
        whitened: whitened segments.
        events_s: seconds from the start of each segment to its GPS time.
        plan: plan for the segments' rate and length.
    """
    spectrum = rfft(whitened)
    everyone = tuple(range(len(events_s)))
    short: list[dict[int, Tensor]] = [
        {
            index: _group_energies(spectrum, events_s, group, plan)
            for index, group in enumerate(plane.groups)
            if plan.screen and group.n_tiles < FEWEST_TILES
        }
        for plane in plan.planes
    ]
    possible = np.ones((len(plan.planes), len(everyone)), dtype=np.bool_)
    if plan.screen:
        known = [
            [_peak(plane, groups, member, events_s[member], plan) for member in everyone]
            for plane, groups in zip(plan.planes, short, strict=True)
        ]
        known_peaks = torch.tensor(known, dtype=torch.float32, device=plan.device)
        planes = possible_planes(whitened, events_s, known_peaks, plan.screen)
        possible = planes.cpu().numpy()
    energies: list[PlaneEnergies] = []
    best: dict[int, Tile] = {}
    for number, plane in enumerate(plan.planes):
        members = tuple(int(member) for member in np.flatnonzero(possible[number]))
        chosen = list(members)
        theirs = tuple(events_s[member] for member in chosen)
        groups = [
            short[number][index][chosen]
            if index in short[number]
            else _group_energies(spectrum[chosen], theirs, group, plan)
            for index, group in enumerate(plane.groups)
        ]
        energies.append(PlaneEnergies(members, theirs, groups))
        for place, member in enumerate(members):
            for group, kept in zip(plane.groups, groups, strict=True):
                tile = _loudest(number, group, kept[place], events_s[member], plan)
                if tile and (member not in best or tile.energy > best[member].energy):
                    best[member] = tile
    return energies, [best[member] for member in everyone]


def _peak(
    plane: PlanePlan, groups: dict[int, Tensor], member: int, event_s: float, plan: ViewPlan
) -> float:
    parts = (
        _searched(plane.groups[index], kept[member], event_s, plan)[0]
        for index, kept in groups.items()
    )
    return max((float(part.amax()) for part in parts if part.numel()), default=0.0)


def _group_energies(
    spectrum: Tensor, events_s: Sequence[float], group: RowGroup, plan: ViewPlan
) -> GroupEnergies:
    """Energies of a group's rows over their medians, kept around each member's event."""
    starts = [first_kept(group, plan, event_s) for event_s in events_s]
    kept = spectrum.new_empty((len(starts), group.n_rows, group.n_kept), dtype=torch.float32)
    elements = _CHUNK_ELEMENTS[plan.device.type] // max(1, len(starts))
    n_rows = max(1, elements // group.n_tiles)
    for low in range(0, group.n_rows if starts else 0, n_rows):
        rows = slice(low, min(low + n_rows, group.n_rows))
        energy = tile_energies(spectrum, group.windows[rows], group.n_tiles)
        norm = row_medians(energy)[..., None]
        for member, start in enumerate(starts):
            part = energy[member, :, start : start + group.n_kept]
            torch.div(part, norm[member], out=kept[member, rows])
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
    number: int, group: RowGroup, kept: Tensor, event_s: float, plan: ViewPlan
) -> Tile | None:
    part, first = _searched(group, kept, event_s, plan)
    if not part.numel():
        return None
    row, column = divmod(int(part.argmax()), part.shape[1])
    place = first + column - first_kept(group, plan, event_s)
    shift = _summit(kept[row, max(0, place - 1) : place + 2]) if place else 0.0
    return Tile(
        plane=number,
        frequency_hz=plan.planes[number].plane.rows[group.first_row + row].frequency_hz,
        time_s=(first + column + shift) * plan.duration_s / group.n_tiles,
        energy=float(part[row, column]),
    )


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
) -> Float32[Tensor, "time row"]:
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
    drawn = []
    for number, (group, everyones) in enumerate(zip(plane.groups, energies.groups, strict=True)):
        kept = everyones[place]
        # tiles first, so that a sample gathers one run of memory for all rows
        both = torch.stack([kept.T, _moments(kept, group).T], dim=1)  # (tile, 2, row)
        terms = both.index_select(0, index[number]).mul_(lefts[number])
        terms.addcmul_(both.index_select(0, index[number] + 1), rights[number])
        drawn.append(terms[:, 0] + terms[:, 1])
    return torch.cat(drawn, dim=1)


def _moments(kept: Float32[Tensor, "row tile"], group: RowGroup) -> Float32[Tensor, "row tile"]:
    """Second derivatives of the spline through each row, for ``grid``'s form of it."""
    if group.is_whole:
        return kept @ group.moments
    excess = -group.n_kept % SPLINE_BLOCK
    padded = torch.nn.functional.pad(kept, (SPLINE_HALO, SPLINE_HALO + excess))
    blocks = padded.unfold(1, SPLINE_BLOCK + 2 * SPLINE_HALO, SPLINE_BLOCK)
    return (blocks @ group.moments).reshape(group.n_rows, -1)[:, : group.n_kept]
