"""gwpy's q_transform resampled to the view's grid: the reference of strain tests and benchmark."""

import warnings
from dataclasses import dataclass

import numpy as np
from gwpy.segments import Segment as GpsSegment
from gwpy.timeseries import TimeSeries

from glitch.strain import Strain
from glitch.strain.series import analysed_segment
from glitch.views import Preprocessing

CLIP_SHARE = 0.01  # the promised accuracy: 0.255 of the clip value 25.5
TRES_S, FRES_HZ = 0.002, 0.5


@dataclass
class Oracle:
    values: np.ndarray  # (view, freq, time) in [0, 1]
    q: float
    n_observed_rows: int


def gwpy_spectrograms(
    strain: Strain, gps_time, recipe: Preprocessing, centre_gps_time=None, *, is_quick: bool = False
) -> list:
    """Return four q_transform results as in Gravity Spy; times are relative to the segment.

    The Q plane is that of ``gps_time``; the windows are centred on ``centre_gps_time`` if given.
    Each call searches all Q planes; with ``is_quick``, later calls reuse the plane of the first.
    """
    segment = analysed_segment(strain, gps_time, recipe)
    series = TimeSeries(segment.values, sample_rate=segment.sample_rate_hz, t0=0)
    event = segment.event_s
    centre = event if centre_gps_time is None else float(centre_gps_time - segment.gps_start)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # gwpy warns when it lowers the upper frequency
        drawn: list = []
        for duration in segment.durations_s:
            planes = (recipe.lowest_q, recipe.highest_q)
            spectrogram = series.q_transform(
                qrange=(drawn[0].q, drawn[0].q) if drawn and is_quick else planes,
                frange=(recipe.lowest_frequency_hz, recipe.highest_frequency_hz),
                gps=event,
                search=2 * recipe.search_half_width_s,
                tres=TRES_S,
                fres=FRES_HZ,
                outseg=GpsSegment(centre - duration / 2, centre + duration / 2),
            )
            drawn.append(spectrogram)
        return drawn


def gwpy_views(strain: Strain, gps_time, centre_gps_time=None) -> Oracle:
    """Return gwpy's spectrograms, clipped, then averaged over each cell of the view's grid."""
    recipe = Preprocessing()
    segment = analysed_segment(strain, gps_time, recipe)
    centre = float((centre_gps_time or gps_time) - segment.gps_start)
    values = np.zeros((len(recipe.durations_s), recipe.n_frequency, recipe.n_time))
    ratio = recipe.highest_frequency_hz / recipe.lowest_frequency_hz
    n_rows, q = 0, 0.0
    pictures = gwpy_spectrograms(strain, gps_time, recipe, centre_gps_time, is_quick=True)
    for view, spectrogram in enumerate(pictures):
        duration = recipe.durations_s[view]
        picture = np.clip(spectrogram.value, 0, recipe.energy_clip).astype(float)
        times = spectrogram.times.value - centre
        frequencies = spectrogram.frequencies.value.astype(float)
        columns = np.linspace(-duration / 2, duration / 2, recipe.n_time + 1)
        rows = recipe.lowest_frequency_hz * ratio ** (
            np.arange(recipe.n_frequency + 1) / recipe.n_frequency
        )
        n_rows = int((rows <= frequencies[-1] + 1.001 * FRES_HZ).sum()) - 1
        pooled = _cell_means(times, picture, columns)
        pooled = _cell_means(frequencies, pooled.T, rows[: n_rows + 1])
        values[view, :n_rows] = pooled / recipe.energy_clip
        q = spectrogram.q
    return Oracle(values, q, n_rows)


def share_within(ours: np.ndarray, oracle: np.ndarray) -> float:
    """Return the share of pixels that differ by at most 1 % of the clip scale."""
    return float((np.abs(ours - oracle) <= CLIP_SHARE).mean())


def _cell_means(positions: np.ndarray, values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Average the linear interpolation of the samples over cells along the first axis."""
    at_edges = np.array(
        [np.interp(edges, positions, column) for column in values.reshape(len(positions), -1).T]
    ).T
    means = []
    for cell in range(len(edges) - 1):
        low, high = edges[cell], edges[cell + 1]
        inside = (positions > low) & (positions < high)
        x = np.concatenate([[low], positions[inside], [high]])
        y = np.concatenate([at_edges[cell : cell + 1], values[inside], at_edges[cell + 1][None]])
        means.append(np.trapezoid(y, x, axis=0) / (high - low))
    return np.array(means)
