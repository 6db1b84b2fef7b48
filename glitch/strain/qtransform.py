"""The multi-Q transform of a batch: each member keeps the plane of its own loudest tile."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Complex64, Float32
from torch import Tensor

from glitch.strain.medians import row_medians
from glitch.strain.plan import PlanePlan, RowGroup, ViewPlan, first_kept

_CHUNK_ELEMENTS = {"cpu": 1 << 19, "cuda": 1 << 26}  # FFT input at a time: cache, or memory


@dataclass(frozen=True)
class Tile:
    """The loudest tile within the search window.

    Attributes:
        plane: index of its plane.
        frequency_hz: centre.
        time_s: seconds from the start of the segment.
        energy: energy over the median of its row; higher is louder.
    """

    plane: int
    frequency_hz: float
    time_s: float
    energy: float


PlaneEnergies = list[Float32[Tensor, "batch _ _"]]  # one tensor a row group


def loudest_planes(
    spectrum: Complex64[Tensor, "batch bin"], events_s: Sequence[float], plan: ViewPlan
) -> tuple[list[PlaneEnergies], list[Tile]]:
    """Normalised energies around the event in every plane, and each member's loudest tile.

    Args:
        spectrum: whitened spectra of the segments.
        events_s: seconds from the start of each segment to its GPS time.
        plan: plan for the segments' rate and length.
    """
    energies = [_plane_energies(spectrum, events_s, plane, plan) for plane in plan.planes]
    best: list[Tile | None] = [None] * len(events_s)
    for index, (plane, groups) in enumerate(zip(plan.planes, energies, strict=True)):
        for member, event_s in enumerate(events_s):
            for group, kept in zip(plane.groups, groups, strict=True):
                tile = _loudest(index, group, kept[member], event_s, plan)
                current = best[member]
                if tile and (current is None or tile.energy > current.energy):
                    best[member] = tile
    return energies, [tile for tile in best if tile is not None]


def _plane_energies(
    spectrum: Tensor, events_s: Sequence[float], plane: PlanePlan, plan: ViewPlan
) -> PlaneEnergies:
    half_s = max(plan.preprocessing.durations_s) / 2
    result = []
    for group in plane.groups:
        starts = [first_kept(group, plan.duration_s, event_s, half_s) for event_s in events_s]
        kept = spectrum.new_empty((len(starts), group.n_rows, group.n_kept), dtype=torch.float32)
        elements = _CHUNK_ELEMENTS[plan.device.type] // len(starts)
        n_rows = max(1, elements // group.n_tiles)
        for low in range(0, group.n_rows, n_rows):
            rows = slice(low, min(low + n_rows, group.n_rows))
            energy = _energies(spectrum, group, rows)
            norm = row_medians(energy)[..., None]
            for member, start in enumerate(starts):
                part = energy[member, :, start : start + group.n_kept]
                torch.div(part, norm[member], out=kept[member, rows])
        result.append(kept)
    return result


def _energies(spectrum: Tensor, group: RowGroup, rows: slice) -> Float32[Tensor, "batch row tile"]:
    """Energy of every tile of some of the group's rows.

    The windowed bins may start anywhere in the FFT's input: their place only turns the phase.
    """
    firsts, windows = group.first_bins[rows], group.windows[rows]
    padded = spectrum.new_zeros((spectrum.shape[0], len(firsts), group.n_tiles))
    for row, (first, window) in enumerate(zip(firsts, windows, strict=True)):
        width = window.shape[0]
        torch.mul(spectrum[:, first : first + width], window, out=padded[:, row, :width])
    tiles = torch.view_as_real(torch.fft.ifft(padded, norm="forward")).square_()
    energy: Tensor = tiles[..., 0] + tiles[..., 1]
    return energy


def _loudest(
    index: int, group: RowGroup, kept: Tensor, event_s: float, plan: ViewPlan
) -> Tile | None:
    half_s = plan.preprocessing.search_half_width_s
    rate_hz = group.n_tiles / plan.duration_s
    first = first_kept(group, plan.duration_s, event_s, max(plan.preprocessing.durations_s) / 2)
    low = max(0, math.floor((event_s - half_s) * rate_hz)) - first
    high = math.floor((event_s + half_s) * rate_hz) - first
    part = kept[:, low:high]
    if part.shape[1] == 0:
        return None
    position = int(part.argmax())
    row, column = divmod(position, part.shape[1])
    return Tile(
        plane=index,
        frequency_hz=plan.planes[index].plane.rows[group.first_row + row].frequency_hz,
        time_s=(first + low + column) / rate_hz,
        energy=float(part[row, column]),
    )


def draw_plane(
    energies: PlaneEnergies, member: int, event_s: float, plane: PlanePlan, plan: ViewPlan
) -> Float32[Tensor, "time row"]:
    """Energies of one member's plane splined to the picture's sample times."""
    times = plan.times_s + event_s
    half_s = max(plan.preprocessing.durations_s) / 2
    columns = []
    for group, kept in zip(plane.groups, energies, strict=True):
        first = first_kept(group, plan.duration_s, event_s, half_s)
        values = kept[member].T  # (kept, row)
        if group.is_whole:
            moments = group.moments @ values
        else:
            taps = group.moments[None, None]
            padding = group.moments.shape[0] // 2
            convolved = torch.nn.functional.conv1d(kept[member][:, None], taps, padding=padding)
            moments = convolved[:, 0].T
        position = times * (group.n_tiles / plan.duration_s) - first
        index = position.long().clamp(0, group.n_kept - 2)
        right = (position - index).to(torch.float32)[:, None]
        left = 1 - right
        values, moments = values.contiguous(), moments.contiguous()
        columns.append(
            left * values[index]
            + right * values[index + 1]
            + (left**3 - left) * moments[index]
            + (right**3 - right) * moments[index + 1]
        )
    return torch.cat(columns, dim=1)
