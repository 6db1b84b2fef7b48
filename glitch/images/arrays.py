"""Read views from npy, npz and HDF5 files whose arrays declare their axes.

The layout (docs/science/images.md): ``views`` (fractions of the clip) or ``energy`` (normalised
energy), with the optional arrays ``durations_s``, ``frequency_hz``, ``time_s`` and ``observed``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float64

from glitch.errors import FormatError
from glitch.images.containers import Array, Container, open_container
from glitch.images.grid import MIN_COVER, cell_means
from glitch.types import ViewArray
from glitch.views import Preprocessing, Views

_N_AXES = 3  # view, freq, time
_TOLERANCE = 1e-6  # fraction of the clip, for the sender's rounding

Line = Float64[np.ndarray, " cell"]


@dataclass(frozen=True, eq=False)
class _Declared:
    """The arrays of a file; None where the file does not hold one."""

    fractions: Float64[np.ndarray, "view freq time"]
    durations_s: Float64[np.ndarray, " view"] | None
    frequency_hz: Float64[np.ndarray, " freq"] | None
    time_s: Float64[np.ndarray, "view time"] | None
    observed: Bool[np.ndarray, "view freq"]


def holds_views(path: Path) -> bool:
    """Return whether the file is an npy, npz or HDF5 file of views (rather than, say, strain)."""
    try:
        with open_container(path, path.name) as container:
            name = _values_name(container)
            return name is not None and container.n_dimensions(name) == _N_AXES
    except FormatError:
        return False


def read_views(path: Path, file_name: str, preprocessing: Preprocessing | None = None) -> Views:
    """Read the views of one glitch and average them onto the grid.

    Rows that the file does not cover, or that are entirely NaN, are marked as not observed.

    Raises:
        FormatError: damaged file, missing or contradictory axes, values out of range.
        TooLargeError: an array declares more values than are ever read.
    """
    with open_container(path, file_name) as container:
        return views_in(container, preprocessing or Preprocessing())


def views_in(container: Container, recipe: Preprocessing) -> Views:
    """Read the views of one glitch from an open container; see ``read_views``."""
    declared = _declared(container, recipe)
    shape = (len(recipe.durations_s), recipe.n_frequency, recipe.n_time)
    values = np.zeros(shape, dtype=np.float32)
    observed = np.zeros(shape[:2], dtype=np.bool_)
    for position, duration_s in enumerate(_durations(declared, recipe)):
        index = recipe.view_index(duration_s)
        if observed[index].any():
            raise FormatError(f"The file gives the view of {duration_s:g} s twice.")
        values[index], observed[index] = _on_grid(declared, position, duration_s, recipe)
    if not observed.any():
        raise FormatError("The file covers no frequency between 10 and 2048 Hz with finite values.")
    return Views(values, observed, recipe)


def _values_name(container: Container) -> str | None:
    return next((name for name in ("views", "energy", "") if container.has(name)), None)


def _declared(container: Container, recipe: Preprocessing) -> _Declared:
    name = _values_name(container)
    if name is None:
        raise FormatError("The file holds neither an array 'views' nor an array 'energy'.")
    values = np.array(container.read(name), dtype=np.float64)
    if values.ndim != _N_AXES or values.size == 0:
        raise FormatError(
            f"The views must have three axes (view, freq, time), not the shape {values.shape}."
        )
    observed = np.asarray(np.isfinite(values).all(axis=2), dtype=np.bool_)
    if (~np.isnan(values[~observed])).any():
        raise FormatError(
            "The views hold NaN or infinite values. Mark a row that was not measured by NaN in "
            "the whole row."
        )
    marked = _optional(container, "observed", values.shape[:2])
    if marked is not None:
        observed &= marked.astype(np.bool_)
    n_views, _, n_time = values.shape
    time_s = _optional(container, "time_s", (n_time,), (n_views, n_time))
    return _Declared(
        fractions=_fractions(np.where(observed[..., None], values, 0), name, recipe),
        durations_s=_optional(container, "durations_s", (n_views,)),
        frequency_hz=_optional(container, "frequency_hz", (values.shape[1],)),
        time_s=None if time_s is None else np.broadcast_to(time_s, (n_views, n_time)),
        observed=observed,
    )


def _optional(container: Container, name: str, *shapes: tuple[int, ...]) -> Array | None:
    if not container.has(name):
        return None
    array = np.array(container.read(name), dtype=np.float64)
    if array.shape not in shapes:
        expected = " or ".join(str(shape) for shape in shapes)
        raise FormatError(f"{name!r} must have the shape {expected}, not {array.shape}.")
    if not np.isfinite(array).all():
        raise FormatError(f"{name!r} holds NaN or infinite values.")
    return array


def _fractions(values: Array, name: str, recipe: Preprocessing) -> Array:
    clip = recipe.energy_clip if name == "energy" else 1.0
    if values.min() < -_TOLERANCE * clip:
        raise FormatError(f"The views hold negative values ({values.min():.3g}).")
    if name != "energy" and values.max() > 1 + _TOLERANCE:
        raise FormatError(
            f"'views' must lie in [0, 1], the fraction of {recipe.energy_clip:g} in normalised "
            f"energy, but reach {values.max():.3g}. Name the array 'energy' if it is energy."
        )
    return np.asarray(np.clip(values / clip, 0, 1), dtype=np.float64)


def _durations(declared: _Declared, recipe: Preprocessing) -> list[float]:
    """Return the window length of each view in the file, in seconds."""
    n_views = len(declared.fractions)
    if declared.durations_s is not None:
        return [float(duration) for duration in declared.durations_s]
    if declared.time_s is not None:
        edges = [_edges(line, "time_s") for line in declared.time_s]
        spans = [float(2 * min(-edge[0], edge[-1])) for edge in edges]
        return [_widest_within(span, recipe) for span in spans]
    if n_views == len(recipe.durations_s):
        return list(recipe.durations_s)
    lengths = ", ".join(f"{duration:g}" for duration in recipe.durations_s)
    raise FormatError(
        f"The file holds {n_views} views and does not say which: add 'durations_s' "
        f"(of {lengths}) or 'time_s'."
    )


def _widest_within(span_s: float, recipe: Preprocessing) -> float:
    within = [d for d in recipe.durations_s if d <= span_s * (1 + 1 / recipe.n_time)]
    if not within:
        raise FormatError(
            f"'time_s' reaches only {span_s / 2:.3g} s to both sides of 0 (the GPS time), less "
            f"than the shortest window of {min(recipe.durations_s):g} s."
        )
    return max(within)


def _edges(centers: Line, name: str) -> Float64[np.ndarray, " cell+1"]:
    """Return cell edges half-way between ascending centres."""
    if len(centers) < 2 or (np.diff(centers) <= 0).any():
        raise FormatError(f"{name!r} must ascend and have at least two values.")
    middle = (centers[1:] + centers[:-1]) / 2
    first, last = 2 * centers[0] - middle[0], 2 * centers[-1] - middle[-1]
    return np.asarray(np.concatenate([[first], middle, [last]]), dtype=np.float64)


def _on_grid(
    declared: _Declared, position: int, duration_s: float, recipe: Preprocessing
) -> tuple[ViewArray, Bool[np.ndarray, " freq"]]:
    rows = _row_edges(declared, recipe)
    columns = _column_edges(declared, position, duration_s)
    row_grid = np.linspace(0, 1, recipe.n_frequency + 1)
    column_grid = (np.linspace(0, 1, recipe.n_time + 1) - 0.5) * duration_s
    uncovered = max(columns[0] - column_grid[0], column_grid[-1] - columns[-1])
    if uncovered > (1 - MIN_COVER) * duration_s / recipe.n_time:
        raise FormatError(
            f"'time_s' covers {columns[0]:.4g} to {columns[-1]:.4g} s; the view of "
            f"{duration_s:g} s needs {column_grid[0]:g} to {column_grid[-1]:g} s around the GPS "
            "time."
        )
    fractions, measured = declared.fractions[position], declared.observed[position]
    by_row, is_observed = cell_means(fractions, rows, row_grid, measured)
    all_columns = np.ones(fractions.shape[1], dtype=np.bool_)
    values, _ = cell_means(by_row.T, columns, column_grid, all_columns)
    return np.clip(values.T, 0, 1).astype(np.float32), is_observed


def _row_edges(declared: _Declared, recipe: Preprocessing) -> Line:
    """Return the edges of the file's rows on the log axis; the grid spans 0 to 1."""
    n_rows = declared.fractions.shape[1]
    if declared.frequency_hz is None:
        if n_rows != recipe.n_frequency:
            raise FormatError(
                f"The file has {n_rows} rows and no 'frequency_hz': add it. Only files with "
                f"{recipe.n_frequency} rows, evenly spaced in the logarithm from 10 to 2048 Hz, "
                "may omit it."
            )
        return np.linspace(0, 1, n_rows + 1)
    if declared.frequency_hz.min() <= 0:
        raise FormatError("'frequency_hz' must be above zero.")
    span = np.log(recipe.highest_frequency_hz / recipe.lowest_frequency_hz)
    logs = np.log(declared.frequency_hz / recipe.lowest_frequency_hz) / span
    return _edges(logs, "frequency_hz")


def _column_edges(declared: _Declared, position: int, duration_s: float) -> Line:
    if declared.time_s is not None:
        return _edges(declared.time_s[position], "time_s")
    n_columns = declared.fractions.shape[2]
    return (np.linspace(0, 1, n_columns + 1) - 0.5) * duration_s
