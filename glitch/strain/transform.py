"""Convert a batch of strain to views: crop, resample, whiten, Q-transform, draw."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from glitch.errors import GlitchError
from glitch.strain.plan import PlanePlan, ViewPlan, view_plan
from glitch.strain.qtransform import Tile, draw_plane, loudest_planes
from glitch.strain.series import Segment, Strain, analysed_segment
from glitch.strain.strain_views import StrainViews
from glitch.strain.tiling import bandwidth_hz
from glitch.strain.whitening import whiten
from glitch.views import Preprocessing, Views

HIGHEST_PROCESSING_RATE_HZ = 8192  # enough for the recipe's 2048 Hz with the widest window above it
# about 60 MB per member at 64 s and 8192 Hz; with 8, memory is repeatedly released and reallocated
_MEMBERS_AT_ONCE = 4


def views_from_strain(
    strains: Sequence[Strain],
    gps_times: Sequence[Decimal],
    preprocessing: Preprocessing | None = None,
    device: str = "cpu",
    *,
    centre: bool = True,
) -> list[StrainViews]:
    """Make the views of each strain around its GPS time.

    An error of 10 ms in the GPS time shifts a millisecond glitch by several columns of the shortest
    view, and moves its vector by more than the distance to another glitch of its class. The views
    are therefore centred on the loudest tile near that time. Members may differ in rate and length;
    each gets the same result as on its own.

    Args:
        strains: one strain per glitch.
        gps_times: its GPS time in seconds.
        preprocessing: recipe, Gravity Spy's by default.
        device: "cpu" or "cuda".
        centre: whether views are centred on the loudest tile, or on the GPS time.

    Raises:
        StrainError: if a strain cannot be whitened reliably around its GPS time.
        GlitchError: if the numbers of strains and GPS times differ.
    """
    recipe = preprocessing or Preprocessing()
    if len(strains) != len(gps_times):
        raise GlitchError(f"{len(strains)} strains were given with {len(gps_times)} GPS times.")
    segments = [
        _at_processing_rate(analysed_segment(strain, gps_time, recipe))
        for strain, gps_time in zip(strains, gps_times, strict=True)
    ]
    by_shape: dict[tuple[int, int], list[int]] = {}
    for index, segment in enumerate(segments):
        by_shape.setdefault((segment.sample_rate_hz, segment.values.size), []).append(index)
    results: dict[int, StrainViews] = {}
    for (rate, n_samples), indices in by_shape.items():
        plan = view_plan(recipe, rate, n_samples, torch.device(device))
        for low in range(0, len(indices), _MEMBERS_AT_ONCE):
            chunk = indices[low : low + _MEMBERS_AT_ONCE]
            views = _transform([segments[index] for index in chunk], plan, is_centred=centre)
            results.update(zip(chunk, views, strict=True))
    return [results[index] for index in range(len(segments))]


def _at_processing_rate(segment: Segment) -> Segment:
    """Resample faster strain to 8192 Hz: rows end at 2048 Hz, so nothing drawn is lost."""
    if segment.sample_rate_hz <= HIGHEST_PROCESSING_RATE_HZ:
        return segment
    from scipy.signal import firwin, resample_poly  # slow to import

    ratio = Fraction(HIGHEST_PROCESSING_RATE_HZ, segment.sample_rate_hz)
    up, down = ratio.numerator, ratio.denominator
    # 80 dB in the stop band, flat to 0.9 of the new Nyquist frequency: rows reach 3246 of 4096 Hz
    taps = firwin(2 * 48 * down + 1, 0.95 / down, window=("kaiser", 8.0))
    scale = float(np.abs(segment.values).max())
    values = resample_poly(segment.values / scale, up, down, window=taps) * scale
    n_samples = round(segment.values.size * up / down)
    return replace(segment, values=values[:n_samples], sample_rate_hz=HIGHEST_PROCESSING_RATE_HZ)


@torch.inference_mode()
def _transform(
    segments: Sequence[Segment], plan: ViewPlan, *, is_centred: bool
) -> list[StrainViews]:
    strain = torch.from_numpy(np.stack([segment.values for segment in segments]))
    whitened = whiten(strain.to(plan.device), plan.whitening)
    events_s = [segment.event_s for segment in segments]
    results = []
    loudest = loudest_planes(whitened, events_s, plan)
    for segment, (tile, energies) in zip(segments, loudest, strict=True):
        centre_s = _centre_s(segment, tile, plan) if is_centred else segment.event_s
        plane = plan.planes[tile.plane]
        drawn = draw_plane(energies, centre_s, plane, plan)
        views = _views(drawn, _fitting(segment, centre_s, plan), plane, plan)
        results.append(_described(views, segment, centre_s, tile, plan))
    return results


def _peak_s(segment: Segment, tile: Tile, recipe: Preprocessing) -> float:
    """Seconds to the loudest tile, limited to the search window.

    At 10 Hz tiles are 0.25 s apart, so a tile may begin before the window.
    """
    reach_s = recipe.search_half_width_s
    return min(max(tile.time_s, segment.event_s - reach_s), segment.event_s + reach_s)


def _centre_s(segment: Segment, tile: Tile, plan: ViewPlan) -> float:
    """Seconds to the loudest tile, or as near to it as the data leave room for one view."""
    recipe = plan.preprocessing
    margin_s = recipe.whitening_filter_s / 2 + min(recipe.durations_s) / 2
    peak_s = _peak_s(segment, tile, recipe)
    return min(max(peak_s, margin_s), plan.duration_s - margin_s)


def _fitting(segment: Segment, centre_s: float, plan: ViewPlan) -> list[float]:
    """Return the windows around the centre without data corrupted by the whitening filter."""
    settle_s = plan.preprocessing.whitening_filter_s / 2
    reach_s = min(centre_s, plan.duration_s - centre_s) - settle_s + 1e-9
    return [duration_s for duration_s in segment.durations_s if duration_s / 2 <= reach_s]


def _views(
    drawn: Float32[Tensor, "row time"],
    durations_s: Sequence[float],
    plane: PlanePlan,
    plan: ViewPlan,
) -> Views:
    recipe = plan.preprocessing
    values = np.zeros(
        (len(recipe.durations_s), recipe.n_frequency, recipe.n_time), dtype=np.float32
    )
    observed = np.zeros(values.shape[:2], dtype=np.bool_)
    rows_over_time = plane.mean_rows(drawn, recipe.energy_clip) / recipe.energy_clip
    pixels = torch.cat([means(rows_over_time) for means in plan.time_means], dim=1)
    for duration_s in durations_s:
        view = recipe.view_index(duration_s)
        columns = pixels[:, view * recipe.n_time : (view + 1) * recipe.n_time]
        values[view, : plan.n_observed_rows] = columns.cpu().numpy()
        observed[view, : plan.n_observed_rows] = True
    return Views(np.clip(values, 0, 1), observed, recipe)


def _described(
    views: Views, segment: Segment, centre_s: float, tile: Tile, plan: ViewPlan
) -> StrainViews:
    q = plan.planes[tile.plane].plane.q
    bandwidth = bandwidth_hz(q, tile.frequency_hz)
    return StrainViews(
        views=views,
        snr=math.sqrt(max(0.0, 2 * math.log(2) * tile.energy - 2)),
        peak_frequency_hz=tile.frequency_hz,
        duration_s=1 / bandwidth,
        bandwidth_hz=bandwidth,
        q=q,
        peak_gps_time=_gps_time(segment, _peak_s(segment, tile, plan.preprocessing)),
        centre_gps_time=_gps_time(segment, centre_s),
    )


def _gps_time(segment: Segment, seconds: float) -> Decimal:
    return segment.gps_start + Decimal(repr(round(seconds, 9)))
