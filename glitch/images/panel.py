"""Where the spectrogram lies in a picture: inside its axes, away from colour bar, ticks, title."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64

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
KNOWN_PANELS = {
    (800, 600): Box(101, 61, 674, 540),
    (600, 450): Box(76, 46, 505, 405),
}

_MOSTLY = 0.95
_STATED = re.compile(
    r"(\d{1,4})x(\d{1,4}) cells at (\d{1,4}),(\d{1,4}),(\d{1,4}),(\d{1,4})", re.ASCII
)


@dataclass(frozen=True)
class DrawnCells:
    """That a picture was drawn cell by cell: its grid (freq, time) and where its panel lies.

    Our renders state it in the PNG, so that they read back exactly, grey rows included.
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


class FoundPanel(NamedTuple):
    """The panel, and whether another block of like size lies beside or below it."""

    box: Box
    has_rival: bool = False


def find_panel(is_colored: Bool[np.ndarray, "height width"]) -> FoundPanel:
    """The rectangle of the spectrogram.

    It is the widest block of columns, then of rows, that are mostly coloured: the colour bar is a
    narrow block apart, page, frame and text are grey. Where nothing of use is found, the known
    box of that picture size stands in, else the whole picture; the distance to the colour map
    then decides whether it is an omega scan at all.
    """
    height, width = is_colored.shape
    known = KNOWN_PANELS.get((width, height), Box(0, 0, width, height))
    columns = _runs(is_colored.mean(axis=0))
    if not columns:
        return FoundPanel(known)
    left, right = max(columns, key=_length)
    rows = _runs(is_colored[:, left:right].mean(axis=1))
    if not rows:
        return FoundPanel(known)
    top, bottom = max(rows, key=_length)
    # A second look at the columns, now within the panel's rows only, is exact at the frame.
    inner = _runs(is_colored[top:bottom, left:right].mean(axis=0))
    if inner:
        first, last = max(inner, key=_length)
        left, right = left + first, left + last
    box = Box(left, top, right, bottom)
    if min(box.width, box.height) < min(SMALLEST_SIDE, width, height):
        return FoundPanel(known)
    if (width, height) in KNOWN_PANELS and box.height < _MOSTLY * known.height:
        return FoundPanel(known)  # rows drawn grey, as not measured, belong to the panel
    sides = ((columns, box.width), (rows, box.height))
    return FoundPanel(
        box, any(sum(_length(run) > size / 2 for run in runs) > 1 for runs, size in sides)
    )


def _length(run: tuple[int, int]) -> int:
    return run[1] - run[0]


def _runs(coverage: Float64[np.ndarray, " line"]) -> list[tuple[int, int]]:
    """Blocks of neighbours with more than half of the greatest coverage.

    Gaps up to 1 % of the side are bridged (a grid line); the colour bar stands 2 % apart.
    """
    greatest = float(coverage.max(initial=0))
    if greatest < 0.1:
        return []
    inside = np.concatenate([[False], coverage > greatest / 2, [False]])
    edges = np.flatnonzero(inside[1:] != inside[:-1])
    runs: list[tuple[int, int]] = []
    for start, stop in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        if runs and start - runs[-1][1] <= len(coverage) // 100:
            runs[-1] = (runs[-1][0], stop)
        else:
            runs.append((start, stop))
    return runs
