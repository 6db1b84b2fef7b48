"""Measure positions and sizes of the labels beside an axis or a colour bar."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from glitch.images.panel import Box
from glitch.images.runs import runs_of

# labels begin this near an axis: fraction of the picture's width; pixels
_STRIP, _MIN_STRIP = 0.035, 25
_CLEAR = 6  # pixels beside the axes that hold ticks, not labels
_MIN_GAP = 3.0  # pixels
_GAP = 0.3  # fraction of a label's height: the name of the axis is further away from the labels
_OVERHANG = 0.015  # fraction of the axis: how far a label at its end extends beyond it
_MIN_HEIGHT = 4  # pixels
# fraction of the picture's height: anything lower is a tick, in enlarged pictures
_MIN_SHARE = 0.006
MIN_LABELS = 3  # the fewest whose spacing can be checked
_EVEN = 0.06  # fraction of a spacing: largest deviation of labels of one axis
# pixels: positions and widths of smaller labels are too uncertain to contradict the caller
_LEGIBLE = 8
_BETWEEN = 0.45  # fraction of a label's height: largest gap between its digits


class Label(NamedTuple):
    """One label: its position as a fraction of the axis from the bottom, and its size in pixels."""

    place: float
    width: int
    height: int


def labels_left(is_text: Bool[np.ndarray, "height width"], box: Box) -> list[Label]:
    """Return the labels left of a box, from the bottom up."""
    return _nearest_labels(is_text[:, : max(0, box.left - _CLEAR)][:, ::-1], box, is_text.shape)


def labels_right(is_text: Bool[np.ndarray, "height width"], box: Box) -> list[Label]:
    """Return the labels right of a box, from the bottom up."""
    return _nearest_labels(is_text[:, box.right + _CLEAR :], box, is_text.shape)


def _nearest_labels(
    band: Bool[np.ndarray, "height band"], box: Box, shape: tuple[int, ...]
) -> list[Label]:
    """Return the labels nearest to the axis, not its name.

    ``band`` is the part of the picture beside the axis, its columns ordered away from the axis.
    """
    strip = band[:, : max(_MIN_STRIP, round(_STRIP * shape[1])) - _CLEAR]
    margin = round(_OVERHANG * box.height)
    is_filled = strip[max(0, box.top - margin) : box.bottom + margin].any(axis=0)
    columns = np.flatnonzero(is_filled)
    while columns.size:
        first = int(columns[0])
        block = _up_to_gap(columns, _MIN_GAP)
        rows = _label_rows(strip[:, first : block[-1] + 1], box)
        if rows:
            # The height of the first digits gives the size of the text, and so the gap between
            # words.
            height = float(np.median([stop - start for start, stop in rows]))
            block = _up_to_gap(columns, max(2.0, _GAP * height))
            # Measured beyond ``near``, because long labels extend further.
            return [
                Label(
                    (box.bottom - (start + stop) / 2) / box.height,
                    _width(band[start:stop, first:]),
                    stop - start,
                )
                for start, stop in reversed(_label_rows(strip[:, first : block[-1] + 1], box))
            ]
        columns = columns[len(block) :]
    return []


def _up_to_gap(columns: Int[np.ndarray, " filled"], max_gap: float) -> Int[np.ndarray, " block"]:
    """Return the first columns, up to a gap wider than ``apart``."""
    gaps = np.flatnonzero(np.diff(columns) > max_gap)
    return columns[: gaps[0] + 1] if gaps.size else columns


def _label_rows(is_dark: Bool[np.ndarray, "height band"], box: Box) -> list[tuple[int, int]]:
    """Return first and end row of each label, from the top."""
    margin = _OVERHANG * box.height
    least = max(_MIN_HEIGHT, _MIN_SHARE * len(is_dark))
    return [
        (start, stop)
        for start, stop in runs_of(np.any(is_dark, axis=1))
        if stop - start >= least and box.top - margin <= (start + stop) / 2 <= box.bottom + margin
    ]


def _width(is_dark: Bool[np.ndarray, "height band"]) -> int:
    """Return the width of the first run of columns with text, including the gaps between digits."""
    columns = np.flatnonzero(is_dark.any(axis=0))
    most = max(4.0, _BETWEEN * len(is_dark))
    ends = np.flatnonzero(np.diff(columns) > most)
    return int(columns[ends[0] if ends.size else -1] - columns[0]) + 1


def are_legible(labels: list[Label]) -> bool:
    """Return whether labels are large enough for their positions and widths to contradict the
    caller.
    """
    return bool(np.median([label.height for label in labels]) >= _LEGIBLE)


def even_spacing(places: list[float]) -> float | None:
    """Return the distance between labels; None if they are too few or not evenly spaced."""
    if len(places) < MIN_LABELS:
        return None
    steps = np.diff(places)
    spacing = float((places[-1] - places[0]) / (len(places) - 1))
    return spacing if spacing > 0 and np.abs(steps - spacing).max() <= _EVEN * spacing else None
