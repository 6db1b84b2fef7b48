"""Location of the spectrogram in an image: inside its axes, without colour bar, ticks and title."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64

from glitch.images.grid import shares
from glitch.images.runs import runs_of

SMALLEST_SIDE = 64  # pixels; below this the grid would mostly be interpolated


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


# Inside the axes' frame, seen in real files of these sizes (width, height).
KNOWN_PANELS = {(800, 600): Box(101, 61, 674, 540), (600, 450): Box(76, 46, 505, 405)}

_SMALLER = 0.95  # of its size: a picture that was made smaller
_MOSTLY = 0.95
_FRAME = 4  # pixels beside the panel in which the frame of its axes is looked for
_LEAST_BLANK = 0.015  # of the panel: fewer rows are the frame itself
_GRID_LINE = 2  # pixels
_TICK = 0.05  # of the frame: the longest that a tick is
_STATED = re.compile(
    r"(\d{1,4})x(\d{1,4}) cells at (\d{1,4}),(\d{1,4}),(\d{1,4}),(\d{1,4})", re.ASCII
)


@dataclass(frozen=True)
class DrawnCells:
    """The grid (freq, time) and panel of an image that was drawn cell by cell.

    Images drawn here state them in the PNG, so that they are read back exactly, including grey
    rows.
    """

    shape: tuple[int, int]
    box: Box

    def text(self) -> str:
        return f"{self.shape[0]}x{self.shape[1]} cells at " + ",".join(map(str, self.box))

    @classmethod
    def parse(cls, text: str | None, width: int, height: int) -> DrawnCells | None:
        """Read the statement of a picture of that size; None if it makes none that can be true."""
        match = _STATED.fullmatch(text or "")
        if match is None:
            return None
        rows, columns, *edges = (int(group) for group in match.groups())
        box = Box(*edges)
        is_inside = 0 <= box.left < box.right <= width and 0 <= box.top < box.bottom <= height
        is_drawable = 0 < rows <= box.height and 0 < columns <= box.width
        return cls((rows, columns), box) if is_inside and is_drawable else None


def is_published_layout(box: Box, width: int, height: int) -> bool:
    """Whether a picture of that size is laid out as Gravity Spy's, be it made smaller, which mixes
    the colours of a pixel beside each edge.
    """
    for size, known in KNOWN_PANELS.items():
        scale = width / size[0]
        most_off = 1 if scale < _SMALLER else 0
        off = (abs(one - scale * edge) for one, edge in zip(box, known, strict=True))
        if abs(height - scale * size[1]) <= most_off and max(off) <= most_off:
            return True
    return False


class FoundPanel(NamedTuple):
    """The panel; whether another block of like size lies beside or below it, and whether a frame
    was seen around it.
    """

    box: Box
    has_rival: bool = False
    is_framed: bool = False


def find_panel(
    is_colored: Bool[np.ndarray, "height width"],
    is_dark: Bool[np.ndarray, "height width"] | None = None,
) -> FoundPanel:
    """The rectangle of the spectrogram.

    Args:
        is_colored: pixels that have a colour.
        is_dark: pixels that a frame of axes may be drawn with; without them no frame is looked for.

    It is the widest block of columns, then of rows, that are mostly coloured: the colour bar is a
    narrow block apart, page, frame and text are grey. Where nothing of use is found, the known
    box of that picture size stands in, else the whole picture; the distance to the colour map
    then decides whether it is an omega scan at all. Rows that a frame around the axes holds
    above or below the block were drawn blank, as not measured: they belong to the panel, as they do
    where a picture without axes is coloured over its whole width alone.
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
    # A second look at the columns, now within the panel's rows only, is exact at the frame.
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
        # A frame's ends are blurred by JPEG; where the box is known, it is exact.
        near = max(abs(one - other) for one, other in zip(framed, known, strict=True))
        box = known if is_known and near <= _FRAME else framed
    is_alone = span is not None and box.height >= _MOSTLY * (span[1] - span[0])  # in its axes
    is_part = not is_alone and (
        abs(box.left - known.left) <= _FRAME
        and abs(box.right - known.right) <= _FRAME
        and box.top >= known.top - _FRAME
        and box.bottom <= known.bottom + _FRAME
    )
    if is_part and (width, height) in KNOWN_PANELS and box.height < _MOSTLY * known.height:
        # Rows drawn grey, as not measured, belong to the panel.
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
    """The panel with the blank rows between it and its frame, or the picture's own edges."""
    height, width = shape
    if is_dark is None:
        return box
    if box.left <= 1 and box.right >= width - 1:  # without axes: blank above, where no text is
        is_blank = box.bottom >= height - 1 and not is_dark[: max(0, box.top - 1)].any()
        return Box(box.left, 0, box.right, height) if is_blank else box
    if span is None:
        return box
    top, bottom = span
    is_taller = box.height < (1 - _LEAST_BLANK) * (bottom - top)
    return Box(box.left, top, box.right, bottom) if is_taller else box


def _framed_rows(box: Box, is_dark: Bool[np.ndarray, "height width"]) -> tuple[int, int] | None:
    """First and last row within a frame at both sides of the panel; one line may be of anything."""
    sides = [
        span
        for columns in (range(box.left - _FRAME, box.left), range(box.right, box.right + _FRAME))
        if (span := _frame(is_dark, columns, box)) is not None
    ]
    if len(sides) < 2:
        return None
    start, stop, thickness = (round(sum(ends) / len(ends)) for ends in zip(*sides, strict=True))
    # The line ends with the lines across it, as thick as it is, which are no rows of the panel, or
    # with a tick of the time axis that stands at its end.
    is_across = shares(is_dark[start:stop, box.left : box.right], 1) > _MOSTLY
    reach = _TICK * (stop - start)
    above, below = int(np.argmax(is_across)), int(np.argmax(is_across[::-1]))
    start += above if above <= reach else 0
    stop -= below if below <= reach else 0
    return start + thickness, stop - thickness


def _frame(
    is_dark: Bool[np.ndarray, "height width"], columns: range, box: Box
) -> tuple[int, int, int] | None:
    """First and last row of a vertical line beside the panel that reaches over all of it; and how
    thick it is.
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
    """Blocks of neighbours with more than half of the greatest coverage.

    Gaps of a grid line are bridged; gwpy's colour bar stands no more than 0.7 % of the width apart.
    """
    greatest = float(coverage.max(initial=0))
    if greatest < 0.1:
        return []
    return runs_of(coverage > greatest / 2, max(_GRID_LINE, len(coverage) // 250) + 1)
