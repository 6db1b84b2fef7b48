"""The multi-Q transform of a batch: each member keeps the plane of its own loudest tile."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

import numpy as np
import torch
from jaxtyping import Complex64, Float32
from torch import Tensor

from glitch.strain.cropping import FEWEST_TILES, BinWindow, chosen_tile_magnitudes, tile_magnitudes
from glitch.strain.fourier import rfft
from glitch.strain.medians import median_energies
from glitch.strain.plan import SPLINE_BLOCK, SPLINE_HALO, PlanePlan, RowGroup, ViewPlan, first_kept
from glitch.strain.screening import possible_rows

_CHUNK_ELEMENTS = {"cpu": 1 << 20, "cuda": 1 << 26}  # FFT input elements at a time


@dataclass(frozen=True)
class Tile:
    """The loudest tile within the search window.

    Attributes:
        plane: index of its plane.
        frequency_hz: central frequency.
        time_s: seconds from the start of the segment to its peak, interpolated between tiles.
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
        event_s: seconds from the start of the segment to the GPS time around which they are kept.
        groups: for each group of rows, the energies and their spline's moments. The tile axis comes
            first, so that one sample reads contiguous memory for all rows.
    """

    event_s: float
    groups: list[Tensor]  # (tile, 2, row) each


@dataclass(frozen=True, eq=False)
class _Rows:
    """Some rows of a group, ascending, and their energies around the event."""

    rows: Sequence[int]
    kept: Float32[Tensor, "row kept"]


_Key = tuple[int, int]  # index of a plane, and of a group in it
_Known = dict[_Key, _Rows]  # the computed rows of one member


def loudest_planes(
    whitened: Float32[Tensor, "batch sample"], events_s: Sequence[float], plan: ViewPlan
) -> list[tuple[Tile, PlaneEnergies]]:
    """Find each member's loudest tile, and the energies around its event in the plane of that tile.

    Args:
        whitened: whitened segments.
        events_s: seconds from the start of each segment to its GPS time.
        plan: plan for the segments' rate and length.
    """
    spectrum = rfft(whitened)
    computed = _short_rows(spectrum, events_s, plan)
    _add(computed, _rows_to_search(whitened, events_s, computed, plan), spectrum, events_s, plan)
    tiles = [
        _loudest_of(rows, event_s, plan) for rows, event_s in zip(computed, events_s, strict=True)
    ]
    groups = [plan.planes[tile.plane].groups for tile in tiles]
    all_rows = [
        {(tile.plane, index): range(group.n_rows) for index, group in enumerate(row_groups)}
        for tile, row_groups in zip(tiles, groups, strict=True)
    ]
    _add(computed, all_rows, spectrum, events_s, plan)
    results = []
    for tile, event_s, row_groups, rows in zip(tiles, events_s, groups, computed, strict=True):
        splined = [
            _splined(rows[tile.plane, index].kept, group) for index, group in enumerate(row_groups)
        ]
        results.append((tile, PlaneEnergies(event_s, splined)))
    return results


def _short_rows(
    spectrum: Complex64[Tensor, "batch bin"], events_s: Sequence[float], plan: ViewPlan
) -> list[_Known]:
    """Compute each member's rows with few tiles, if the others are screened.

    Rows of equal length are computed together.
    """
    known: list[_Known] = [{} for _ in events_s]
    by_length: dict[int, list[tuple[_Key, RowGroup]]] = {}
    for key, group in _groups(plan):
        if plan.screen and group.n_tiles < FEWEST_TILES:
            by_length.setdefault(group.n_tiles, []).append((key, group))
    for groups in by_length.values():
        windows = [window for _, group in groups for window in group.windows]
        kept = _energies(spectrum, events_s, windows, groups[0][1], plan)
        sizes = [group.n_rows for _, group in groups]
        for computed, energies in zip(known, kept, strict=True):
            for (key, group), part in zip(groups, torch.split(energies, sizes), strict=True):
                computed[key] = _Rows(range(group.n_rows), part)
    return known


def _groups(plan: ViewPlan) -> list[tuple[_Key, RowGroup]]:
    return [
        ((number, index), group)
        for number, plane in enumerate(plan.planes)
        for index, group in enumerate(plane.groups)
    ]


def _rows_to_search(
    whitened: Float32[Tensor, "batch sample"],
    events_s: Sequence[float],
    known: Sequence[_Known],
    plan: ViewPlan,
) -> list[dict[_Key, Sequence[int]]]:
    """Return which of the rows not yet computed may contain each member's loudest tile.

    All computed rows have few tiles.
    """
    unknown = [(key, group) for key, group in _groups(plan) if key not in known[0]]
    if not plan.screen:
        return [{key: range(group.n_rows) for key, group in unknown} for _ in events_s]
    peaks = [
        max((_peak(rows, key, event_s, plan) for key, rows in computed.items()), default=0.0)
        for computed, event_s in zip(known, events_s, strict=True)
    ]
    known_peaks = torch.tensor(peaks, dtype=torch.float32, device=plan.device)
    possible = possible_rows(whitened, events_s, known_peaks, plan.screen)
    to_search: list[dict[_Key, Sequence[int]]] = [{} for _ in events_s]
    for number, rows in enumerate(possible):
        first = 0
        for key, group in unknown:
            if key[0] == number:
                part = rows[:, first : first + group.n_rows].cpu().numpy()
                first += group.n_rows
                for selected, chosen in zip(to_search, part, strict=True):
                    selected[key] = np.flatnonzero(chosen).tolist()
    return to_search


def _add(
    known: Sequence[_Known],
    requests: Sequence[Mapping[_Key, Sequence[int]]],
    spectrum: Complex64[Tensor, "batch bin"],
    events_s: Sequence[float],
    plan: ViewPlan,
) -> None:
    """Compute each member's requested rows that are not known yet, all of one length together."""
    groups = dict(_groups(plan))
    missing: dict[int, list[tuple[int, _Key, list[int]]]] = {}
    for member, requested in enumerate(requests):
        for key, rows in requested.items():
            done = known[member][key].rows if key in known[member] else ()
            if rest := [row for row in rows if row not in done]:
                missing.setdefault(groups[key].n_tiles, []).append((member, key, rest))
    for parts in missing.values():
        # any of these groups: they have the same n_tiles, is_whole and n_kept
        group = groups[parts[0][1]]
        chosen = [(member, groups[key].windows[row]) for member, key, rest in parts for row in rest]
        kept = _chosen_energies(spectrum, events_s, chosen, group, plan)
        pieces = torch.split(kept, [len(rest) for _, _, rest in parts])
        for (member, key, rest), energies in zip(parts, pieces, strict=True):
            before = known[member].get(key)
            rows, both = rest, energies
            if before:
                rows = [*before.rows, *rest]
                both = torch.cat([before.kept, energies])[np.argsort(rows)]
            known[member][key] = _Rows(sorted(rows), both)


def _loudest_of(known: _Known, event_s: float, plan: ViewPlan) -> Tile:
    """Return one member's loudest tile among the computed rows."""
    best = Tile(0, plan.planes[0].plane.rows[0].frequency_hz, event_s, -1.0)
    for key, computed in sorted(known.items(), key=itemgetter(0)):
        plane = plan.planes[key[0]]
        group = plane.groups[key[1]]
        loudest = _loudest(group, computed.kept, event_s, best.energy, plan)
        if loudest:
            row, time_s, energy = loudest
            tiled = plane.plane.rows[group.first_row + computed.rows[row]]
            best = Tile(key[0], tiled.frequency_hz, time_s, energy)
    return best


def _peak(rows: _Rows, key: _Key, event_s: float, plan: ViewPlan) -> float:
    part, _ = _searched(plan.planes[key[0]].groups[key[1]], rows.kept, event_s, plan)
    return float(part.amax()) if part.numel() else 0.0


def _energies(
    spectrum: Complex64[Tensor, "batch bin"],
    events_s: Sequence[float],
    windows: Sequence[BinWindow],
    group: RowGroup,
    plan: ViewPlan,
) -> Float32[Tensor, "batch row kept"]:
    """Return energies over their medians, around the events, for rows of the group's length."""
    tiles = tile_magnitudes(spectrum, windows, group.n_tiles)
    kept = tiles.new_empty((*tiles.shape[:2], group.n_kept))
    for member, event_s in enumerate(events_s):
        start = first_kept(group, plan, event_s)
        torch.square(tiles[member, :, start : start + group.n_kept], out=kept[member])
    return kept.div_(median_energies(tiles)[..., None])


def _chosen_energies(
    spectrum: Complex64[Tensor, "batch bin"],
    events_s: Sequence[float],
    chosen: Sequence[tuple[int, BinWindow]],
    group: RowGroup,
    plan: ViewPlan,
) -> Float32[Tensor, "chosen kept"]:
    """Like ``_energies``, for selected pairs of a member (in order) and a row's window."""
    starts = [first_kept(group, plan, event_s) for event_s in events_s]
    kept = torch.empty((len(chosen), group.n_kept), device=plan.device)
    n_rows = max(1, _CHUNK_ELEMENTS[plan.device.type] // group.n_tiles)
    for low in range(0, len(chosen), n_rows):
        chunk = chosen[low : low + n_rows]
        tiles = chosen_tile_magnitudes(spectrum, chunk, group.n_tiles)
        energies = kept[low : low + len(chunk)]
        first = 0
        for member, pairs in groupby(member for member, _ in chunk):
            rows = slice(first, first := first + sum(1 for _ in pairs))
            start = starts[member]
            torch.square(tiles[rows, start : start + group.n_kept], out=energies[rows])
        energies /= median_energies(tiles)[:, None]
    return kept


def _searched(
    group: RowGroup, kept: Tensor, event_s: float, plan: ViewPlan
) -> tuple[Float32[Tensor, "row tile"], int]:
    """Return the energies within the search window, and the index of the first in its whole row."""
    half_s = plan.preprocessing.search_half_width_s
    rate_hz = group.n_tiles / plan.duration_s
    first = first_kept(group, plan, event_s)
    low = max(0, math.floor((event_s - half_s) * rate_hz))
    high = math.floor((event_s + half_s) * rate_hz)
    return kept[:, low - first : high - first], low


def _loudest(
    group: RowGroup, kept: Float32[Tensor, "row tile"], event_s: float, least: float, plan: ViewPlan
) -> tuple[int, float, float] | None:
    """Return row, time (s) and energy of the loudest tile searched, if above ``least``."""
    part, first = _searched(group, kept, event_s, plan)
    energy = float(part.amax()) if part.numel() else -1.0
    if energy <= least:
        return None
    row, column = divmod(int(part.argmax()), part.shape[1])
    column_kept = first + column - first_kept(group, plan, event_s)
    shift = _summit(kept[row, max(0, column_kept - 1) : column_kept + 2]) if column_kept else 0.0
    return row, (first + column + shift) * plan.duration_s / group.n_tiles, energy


def _summit(energies: Float32[Tensor, " three"]) -> float:
    """Return the peak of a parabola through three logarithms, in tiles from the middle one.

    Tiles are 1 to 250 ms apart, counted from the start of the segment, which depends on the given
    GPS time. Without interpolation the centre of a view would shift by up to half a tile with that
    time.
    """
    if energies.shape[0] < 3 or not bool((energies > 0).all()):
        return 0.0
    before, middle, after = energies.double().log().tolist()
    curvature = before - 2 * middle + after
    return min(max((before - after) / (2 * curvature), -0.5), 0.5) if curvature < 0 else 0.0


def draw_plane(
    energies: PlaneEnergies, centre_s: float, plane: PlanePlan, plan: ViewPlan
) -> Float32[Tensor, "row time"]:
    """Interpolate one member's energies of a plane to the picture's sample times by a spline.

    Args:
        energies: energies of that plane.
        centre_s: seconds from the start of the segment to the centre of the picture.
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
    # weights of energy and moment of the tiles left and right of each sample
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
    """Return energies and the second derivatives of the spline through each row, as in ``grid``."""
    if group.is_whole:
        moments = kept @ group.moments
    else:
        excess = -group.n_kept % SPLINE_BLOCK
        padded = torch.nn.functional.pad(kept, (SPLINE_HALO, SPLINE_HALO + excess))
        blocks = padded.unfold(1, SPLINE_BLOCK + 2 * SPLINE_HALO, SPLINE_BLOCK)
        moments = (blocks @ group.moments).flatten(1)[:, : group.n_kept]
    return torch.stack([kept.T, moments.T], dim=1)
