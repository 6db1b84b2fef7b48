"""Locate the spectrogram in an image: inside its axes, without colour bar, ticks and title."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64

from glitch.errors import ImageError
from glitch.images.grid import shares
from glitch.images.runs import runs_of

SMALLEST_SIDE = 64  # pixels; on smaller panels most of the grid would be interpolated


class Box(NamedTuple):
    """A rectangle of pixels, right and bottom exclusive."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def height(self) -> int:
        return self.bottom - self.top


# Inside the frame of the axes, as in Gravity Spy's files of these sizes (width, height).
KNOWN_PANELS = {(800, 600): Box(101, 61, 674, 540), (600, 450): Box(76, 46, 505, 405)}

_MOSTLY = 0.95
_FRAME = 4  # pixels beside the panel that are searched for the frame of the axes
_MIN_BLANK = 0.015  # fraction of the panel: fewer blank rows are the frame itself
_GRID_LINE = 2  # widest grid line, pixels
_TICK = 0.05  # fraction of the frame: the longest tick
_STATED = re.compile(
    r"(\d{1,4})x(\d{1,4}) cells at (\d{1,4}),(\d{1,4}),(\d{1,4}),(\d{1,4})", re.ASCII
)


@dataclass(frozen=True)
class DrawnCells:
    """The grid (freq, time) and panel of an image that was drawn cell by cell.

    Images drawn here declare them in the PNG, so that they are read back exactly, including grey
    rows.
    """

    shape: tuple[int, int]
    box: Box

    def text(self) -> str:
        return f"{self.shape[0]}x{self.shape[1]} cells at " + ",".join(map(str, self.box))

    @classmethod
    def parse(cls, text: str | None, width: int, height: int) -> DrawnCells | None:
        """Read the declaration in a picture of this size; None if absent or impossible."""
        match = _STATED.fullmatch(text or "")
        if match is None:
            return None
        rows, columns, *edges = (int(group) for group in match.groups())
        box = Box(*edges)
        is_inside = 0 <= box.left < box.right <= width and 0 <= box.top < box.bottom <= height
        is_drawable = 0 < rows <= box.height and 0 < columns <= box.width
        return cls((rows, columns), box) if is_inside and is_drawable else None


def several_windows() -> ImageError:
    """Return the error for a picture that shows more than one spectrogram."""
    return ImageError("The picture holds several windows: send each window as a file of its own.")


class FoundPanel(NamedTuple):
    """The panel of a picture.

    ``has_rival``: another block of similar size lies beside or below it. ``is_framed``: a frame was
    found around it.
    """

    box: Box
    has_rival: bool = False
    is_framed: bool = False


def find_panel(
    is_colored: Bool[np.ndarray, "height width"],
    is_dark: Bool[np.ndarray, "height width"] | None = None,
) -> FoundPanel:
    """Find the rectangle of the spectrogram.

    Args:
        is_colored: pixels that have a colour.
        is_dark: pixels that may belong to the frame of the axes; None: do not search for a frame.

    The panel is the widest block of columns, then of rows, that are mostly coloured: the colour bar
    is a separate narrow block, and page, frame and text are grey. If nothing usable is found, the
    known box for that picture size is returned, else the whole picture; the distance to the colour
    map then decides whether it is an omega scan at all. Blank rows between the block and the frame
    of the axes were not measured and belong to the panel. So do the blank rows of a picture without
    axes, if it is coloured over its whole width.
    """
    height, width = is_colored.shape
    known = KNOWN_PANELS.get((width, height), Box(0, 0, width, height))
    columns = _runs(shares(is_colored, 0))
    if not columns:
        return FoundPanel(known)
    left, right = max(columns, key=_length)
    rows = _runs(shares(is_colored[:, left:right], 1))
    if not rows:
        return FoundPanel(known)
    top, bottom = max(rows, key=_length)
    # Repeated within the panel's rows only, the columns are exact at the frame.
    inner = _runs(shares(is_colored[top:bottom, left:right], 0))
    if inner:
        first, last = max(inner, key=_length)
        left, right = left + first, left + last
    box = Box(left, top, right, bottom)
    span = None if is_dark is None else _framed_rows(box, is_dark)
    if min(box.width, box.height) < min(SMALLEST_SIDE, width, height):
        return FoundPanel(known)
    if box.height < _MOSTLY * height:
        framed = _with_blank_rows(box, is_colored.shape, is_dark, span)
        is_known = (width, height) in KNOWN_PANELS and framed != box
        # JPEG blurs the ends of a frame; the known box is exact.
        deviation = max(abs(one - other) for one, other in zip(framed, known, strict=True))
        box = known if is_known and deviation <= _FRAME else framed
    is_alone = span is not None and box.height >= _MOSTLY * (span[1] - span[0])  # fills its axes
    is_part = not is_alone and (
        abs(box.left - known.left) <= _FRAME
        and abs(box.right - known.right) <= _FRAME
        and box.top >= known.top - _FRAME
        and box.bottom <= known.bottom + _FRAME
    )
    if is_part and (width, height) in KNOWN_PANELS and box.height < _MOSTLY * known.height:
        # Grey rows were not measured but belong to the panel.
        return FoundPanel(known, is_framed=span is not None)
    sides = ((columns, box.width), (rows, box.height))
    has_rival = any(sum(_length(run) > size / 2 for run in runs) > 1 for runs, size in sides)
    return FoundPanel(box, has_rival, span is not None)


def _with_blank_rows(
    box: Box,
    shape: tuple[int, ...],
    is_dark: Bool[np.ndarray, "height width"] | None,
    span: tuple[int, int] | None,
) -> Box:
    """Extend the panel over blank rows to its frame, or without axes to the picture's edges."""
    height, width = shape
    if is_dark is None:
        return box
    if box.left <= 1 and box.right >= width - 1:  # no axes: blank above if there is no text
        is_blank = box.bottom >= height - 1 and not is_dark[: max(0, box.top - 1)].any()
        return Box(box.left, 0, box.right, height) if is_blank else box
    if span is None:
        return box
    top, bottom = span
    is_taller = box.height < (1 - _MIN_BLANK) * (bottom - top)
    return Box(box.left, top, box.right, bottom) if is_taller else box


def _framed_rows(box: Box, is_dark: Bool[np.ndarray, "height width"]) -> tuple[int, int] | None:
    """Return first and end row inside the frame lines at both sides; None unless both are found."""
    sides = [
        span
        for columns in (range(box.left - _FRAME, box.left), range(box.right, box.right + _FRAME))
        if (span := _frame(is_dark, columns, box)) is not None
    ]
    if len(sides) < 2:
        return None
    start, stop, thickness = (round(sum(ends) / len(ends)) for ends in zip(*sides, strict=True))
    # The line ends at the horizontal lines, which are as thick as it is and not rows of the panel,
    # or at a tick of the time axis at its end.
    is_across = shares(is_dark[start:stop, box.left : box.right], 1) > _MOSTLY
    reach = _TICK * (stop - start)
    above, below = int(np.argmax(is_across)), int(np.argmax(is_across[::-1]))
    start += above if above <= reach else 0
    stop -= below if below <= reach else 0
    return start + thickness, stop - thickness


def _frame(
    is_dark: Bool[np.ndarray, "height width"], columns: range, box: Box
) -> tuple[int, int, int] | None:
    """Find a vertical line beside the panel that covers its whole height.

    Returns:
        Its first and end row and its thickness; None if there is none.
    """
    best: tuple[int, int] | None = None
    thickness = 0
    for column in columns:
        if not 0 <= column < is_dark.shape[1]:
            continue
        for start, stop in runs_of(is_dark[:, column]):
            if start > box.top + _FRAME or stop < box.bottom - _FRAME:
                continue
            thickness += 1
            if best is None or stop - start > best[1] - best[0]:
                best = start, stop
    return None if best is None else (*best, thickness)


def _length(run: tuple[int, int]) -> int:
    return run[1] - run[0]


def _runs(coverage: Float64[np.ndarray, " line"]) -> list[tuple[int, int]]:
    """Return blocks of neighbouring lines with more than half of the greatest coverage.

    Gaps as wide as a grid line are bridged, but not wider ones: gwpy's colour bar is only 0.7 % of
    the width away.
    """
    greatest = float(coverage.max(initial=0))
    if greatest < 0.1:
        return []
    return runs_of(coverage > greatest / 2, max(_GRID_LINE, len(coverage) // 250) + 1)
