"""Check the time axis: zero in the centre, and a window length that its labels allow.

The text of the labels is not read: those before zero begin with a minus sign, which differs from
every digit, and their widths give their number of decimals.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import floor, log10
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool

from glitch.errors import ImageError
from glitch.images.labels import even_spacing
from glitch.images.panel import Box, several_windows
from glitch.images.runs import runs_of

# labels begin this near the axis: fraction of the picture's height; pixels
_BELOW, _MIN_BELOW = 0.08, 30
_OVERHANG = 0.06  # fraction of the axis: how far a label at its end extends beyond it
_CLEAR = 2  # pixels of the frame line below the panel
_MIN_HEIGHT = 6  # pixels: in smaller digits a minus sign cannot be recognised
_MIN_WIDTH = 0.5  # fraction of a digit's height: anything narrower is a tick
_MAX_MINUS_HEIGHT = 0.3  # fraction of a digit's height: thickest minus sign
_MIN_MINUS_LENGTH = 0.3  # fraction of a digit's height: shortest minus sign; a point is shorter
# fraction of a digit's height; pixels: gaps within a label are narrower
_BETWEEN, _MIN_BETWEEN = 0.55, 4.5
_MAX_OFFSET = 0.02  # fraction of the axis: how far zero may be from the middle
_WIDER = 0.25  # fraction of a digit's height: how much wider labels with a minus sign must be
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)  # times a power of ten, as in matplotlib
_STEP_OFF = 0.04  # tolerance, as a fraction of a step
_WHOLE, _DECIMAL = 1.05, 0.85  # widths of "0." and of each decimal, in digit heights
_MAX_DECIMALS = 6
_QUARTER_OFF = 0.005  # fraction of the axis: Gravity Spy's labels are at its quarters


class TimeLabel(NamedTuple):
    """One label: its position, as a fraction of the axis from the left, and its size."""

    place: float
    is_negative: bool
    width: float  # in digit heights

    @property
    def decimals(self) -> int:
        """Number of decimals in a label of this width that has one digit before the point."""
        return max(0, round((self.width - _WHOLE) / _DECIMAL))


@dataclass(frozen=True)
class TimeAxis:
    """The spacing and format of the labels on a time axis with zero in the middle.

    Attributes:
        step: distance between labels, as a fraction of the axis.
        decimals: number of decimals of the longest label.
    """

    step: float
    decimals: int

    def may_span(self, duration_s: float) -> bool:
        """Return whether these labels, at round times, fit an axis of this length in seconds.

        Labels in a custom format may have one decimal more than the times need.
        """
        seconds = duration_s * self.step
        if abs(self.step - 0.25) <= _QUARTER_OFF:  # as in Gravity Spy: -0.25, -0.125, 0.0 …
            return self.decimals == max(1, _decimals(duration_s / 4))
        for unit_step in _STEPS:
            step = unit_step * 10.0 ** floor(log10(seconds / unit_step) + 0.5)
            if abs(seconds - step) <= _STEP_OFF * step:
                return 0 <= self.decimals - _decimals(step) <= 1
        return False


def _decimals(step: float) -> int:
    """Return how many decimals the multiples of a step need."""
    possible = (n for n in range(_MAX_DECIMALS) if abs(step * 10**n - round(step * 10**n)) < 1e-6)
    return next(possible, _MAX_DECIMALS)


def time_labels(is_text: Bool[np.ndarray, "height width"], box: Box) -> list[TimeLabel]:
    """Return the labels below a panel, from the left; none if they are too small."""
    reach = max(_MIN_BELOW, round(_BELOW * len(is_text)))
    margin = round(_OVERHANG * box.width)
    left = max(0, box.left - margin)
    below = is_text[box.bottom + _CLEAR : box.bottom + reach, left : box.right + margin]
    for start, stop in runs_of(np.any(below, axis=1)):
        line = below[start:stop]
        height = stop - start
        runs = runs_of(np.any(line, axis=0))
        if height < _MIN_HEIGHT or max(end - first for first, end in runs) < _MIN_WIDTH * height:
            continue  # ticks
        minus = [first for first, end in runs if _is_minus(line[:, first:end])]
        words = [
            word
            for one in runs_of(np.any(line, axis=0), max(_MIN_BETWEEN, _BETWEEN * height))
            for word in _split(one, minus)
        ]
        return [
            TimeLabel(
                place=(left + (first + end) / 2 - box.left) / box.width,
                is_negative=first in minus,
                width=(end - first) / height,
            )
            for first, end in words
        ]
    return []


def time_axis(labels: list[TimeLabel]) -> TimeAxis | None:
    """Return what the labels of a time axis imply; None if they imply nothing.

    They imply nothing without minus signs, as with GPS seconds, which do not show where the glitch
    is; or if their widths show that a minus sign was missed or wrongly detected: it is faint in
    reduced pictures.

    Raises:
        ImageError: if zero is not in the middle, the axis runs backwards, or several axes with
            their own zeros lie side by side.
    """
    signs = [label.is_negative for label in labels]
    changes = [at for at, (one, other) in enumerate(pairwise(signs)) if one != other]
    rises = [at for at in changes if signs[at]]
    zeros = [(labels[at + 1].place, (labels[at].place + labels[at + 1].place) / 2) for at in rises]
    if len(rises) > 1 and all(
        min(abs(zero - (part + 0.5) / len(rises)) for zero in pair) <= _MAX_OFFSET
        for part, pair in enumerate(zeros)
    ):
        raise several_windows()
    step = even_spacing([label.place for label in labels])
    if step is None or len(changes) > 1 or not any(signs):
        return None
    if not changes:  # all labels are before zero
        raise _not_centred()
    if not rises or min(abs(zero - 0.5) for zero in zeros[0]) > _MAX_OFFSET:
        if not _are_distinguished(labels):
            return None
        raise _not_centred() if rises else _backwards()
    return TimeAxis(step, max(label.decimals for label in labels if not label.is_negative))


def _are_distinguished(labels: list[TimeLabel]) -> bool:
    """Return whether every label with a minus sign is wider than all labels without."""
    negative = [label.width for label in labels if label.is_negative]
    others = [label.width for label in labels if not label.is_negative]
    return not others or min(negative) >= max(others) + _WIDER


def _not_centred() -> ImageError:
    return ImageError(
        "Zero is not in the middle of the picture's time axis: draw the window centred on the "
        "glitch, such as -0.5 to 0.5 s for a window of 1 s, and send that."
    )


def _backwards() -> ImageError:
    return ImageError(
        "The time axis of the picture runs from right to left: draw it from left to right and send "
        "that."
    )


def _split(word: tuple[int, int], minus: list[int]) -> list[tuple[int, int]]:
    """Split labels of adjacent axes that touch: each minus sign begins a label."""
    starts = [word[0], *(first for first in minus if word[0] < first < word[1])]
    return list(pairwise([*starts, word[1]]))


def _is_minus(glyph: Bool[np.ndarray, "height width"]) -> bool:
    """Return whether a glyph is a minus sign: a thin horizontal line above the base."""
    height, width = glyph.shape
    rows = np.flatnonzero(glyph.any(axis=1))
    is_thin = rows[-1] + 1 - rows[0] <= max(2, _MAX_MINUS_HEIGHT * height)
    is_high = (rows[0] + rows[-1] + 1) / 2 < 0.8 * height
    return bool(is_thin and is_high and width >= _MIN_MINUS_LENGTH * height)
