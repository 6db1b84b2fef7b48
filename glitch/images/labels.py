"""Positions and sizes of the labels beside an axis or a colour bar."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from glitch.images.panel import Box
from glitch.images.runs import runs_of

_BESIDE, _LEAST_BESIDE = 0.035, 25  # of the picture's width, pixels: labels begin this near an axis
_CLEAR = 6  # pixels beside the axes that hold ticks rather than labels
_LEAST_APART = 3.0  # pixels
_APART = 0.3  # of a label's height: further lies the name of an axis from its labels
_OVER = 0.015  # of the axis: a label at its end stands so far beyond; those of the time, further
_LEAST_HEIGHT = 4  # pixels
_LEAST_SHARE = 0.006  # of the picture's height: lower are ticks, in pictures made larger
LEAST_LABELS = 3  # of which it can be told whether they stand evenly
_EVEN = 0.06  # of a spacing: labels of one axis stand no less evenly
_LEGIBLE = 8  # pixels: of lower labels, places and widths tell too little against what is said
_BETWEEN = 0.45  # of a label's height: no further stand its digits from one another


class Label(NamedTuple):
    """One label: its position, as a fraction of the axis from its bottom; its size in pixels."""

    place: float
    width: int
    height: int


def labels_left(is_text: Bool[np.ndarray, "height width"], box: Box) -> list[Label]:
    """Labels left of a box, from its bottom up."""
    return _nearest_labels(is_text[:, : max(0, box.left - _CLEAR)][:, ::-1], box, is_text.shape)


def labels_right(is_text: Bool[np.ndarray, "height width"], box: Box) -> list[Label]:
    """Labels right of a box, from its bottom up."""
    return _nearest_labels(is_text[:, box.right + _CLEAR :], box, is_text.shape)


def _nearest_labels(
    beside: Bool[np.ndarray, "height band"], box: Box, shape: tuple[int, ...]
) -> list[Label]:
    """The labels next to the axis, from which its columns lead away; not the axis' name."""
    near = beside[:, : max(_LEAST_BESIDE, round(_BESIDE * shape[1])) - _CLEAR]
    margin = round(_OVER * box.height)
    is_filled = near[max(0, box.top - margin) : box.bottom + margin].any(axis=0)
    columns = np.flatnonzero(is_filled)
    while columns.size:
        first = int(columns[0])
        block = _up_to_gap(columns, _LEAST_APART)
        rows = _label_rows(near[:, first : block[-1] + 1], box)
        if rows:
            # Its first digits tell how large the text is, and so how far apart its words stand.
            height = float(np.median([stop - start for start, stop in rows]))
            block = _up_to_gap(columns, max(2.0, _APART * height))
            # Long labels reach beyond where they are looked for.
            return [
                Label(
                    (box.bottom - (start + stop) / 2) / box.height,
                    _width(beside[start:stop, first:]),
                    stop - start,
                )
                for start, stop in reversed(_label_rows(near[:, first : block[-1] + 1], box))
            ]
        columns = columns[len(block) :]
    return []


def _up_to_gap(columns: Int[np.ndarray, " filled"], apart: float) -> Int[np.ndarray, " block"]:
    """The first of the columns, up to a gap that is wider."""
    gaps = np.flatnonzero(np.diff(columns) > apart)
    return columns[: gaps[0] + 1] if gaps.size else columns


def _label_rows(is_dark: Bool[np.ndarray, "height band"], box: Box) -> list[tuple[int, int]]:
    """First and last row of each label, from above."""
    margin = _OVER * box.height
    least = max(_LEAST_HEIGHT, _LEAST_SHARE * len(is_dark))
    return [
        (start, stop)
        for start, stop in runs_of(np.any(is_dark, axis=1))
        if stop - start >= least and box.top - margin <= (start + stop) / 2 <= box.bottom + margin
    ]


def _width(is_dark: Bool[np.ndarray, "height band"]) -> int:
    """Of the first run of columns with text, over the gaps between digits."""
    columns = np.flatnonzero(is_dark.any(axis=0))
    most = max(4.0, _BETWEEN * len(is_dark))
    ends = np.flatnonzero(np.diff(columns) > most)
    return int(columns[ends[0] if ends.size else -1] - columns[0]) + 1


def are_legible(labels: list[Label]) -> bool:
    """Whether labels are large enough for their positions and widths to contradict a caller."""
    return bool(np.median([label.height for label in labels]) >= _LEGIBLE)


def even_spacing(places: list[float]) -> float | None:
    """The distance between labels; None if they are too few or not evenly spaced."""
    if len(places) < LEAST_LABELS:
        return None
    steps = np.diff(places)
    spacing = float((places[-1] - places[0]) / (len(places) - 1))
    return spacing if spacing > 0 and np.abs(steps - spacing).max() <= _EVEN * spacing else None
