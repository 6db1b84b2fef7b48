"""Checks of the time axis: zero in the centre, and the windows that its labels allow.

The labels are not read: those before zero begin with a minus sign, which no digit resembles, and
their widths give their number of decimals.
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
from glitch.images.panel import Box
from glitch.images.runs import runs_of

_BELOW, _LEAST_BELOW = 0.08, 30  # of the picture's height, pixels: labels begin this near the axis
_OVER = 0.06  # of the axis: a label at its end stands so far beyond
_CLEAR = 2  # pixels below the axes, of the frame's line
_LEAST_HEIGHT = 6  # pixels of a digit: of lower ones a minus cannot be told
_LEAST_WIDE = 0.5  # of a digit's height: ticks are narrower
_MOST_THIN = 0.3  # of a digit's height: a minus is no thicker
_LEAST_LONG = 0.3  # of a digit's height: a minus is no shorter, a point is
_BETWEEN, _LEAST_BETWEEN = 0.55, 4.5  # of a digit's height, pixels: nearer stand those of a label
_OFF = 0.02  # of the axis: how far zero may stand from the middle
_WIDER = 0.25  # of a digit's height, at least: labels with a minus than those without
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)  # times a power of ten, as matplotlib takes
_STEP_OFF = 0.04  # of a step
_WHOLE, _DECIMAL = 1.05, 0.85  # widths of "0." and of each decimal, in heights of a digit
_MOST_DECIMALS = 6
_QUARTER_OFF = 0.005  # of the axis: Gravity Spy's labels stand at its quarters


class TimeLabel(NamedTuple):
    """One label: its position, as a fraction of the axis from its left, and its size."""

    place: float
    is_negative: bool
    width: float  # in heights of a digit

    @property
    def decimals(self) -> int:
        """How many a number of this width has, without a minus and with one digit before them."""
        return max(0, round((self.width - _WHOLE) / _DECIMAL))


@dataclass(frozen=True)
class TimeAxis:
    """What the labels of a time axis with its zero in the middle tell.

    Attributes:
        step: how far they stand apart, as a fraction of the axis.
        decimals: of the longest.
    """

    step: float
    decimals: int

    def may_span(self, duration_s: float) -> bool:
        """Whether labels may stand so on an axis of this length in s, at round times that take as
        many decimals. Of formats of their own people's labels may have one more.
        """
        seconds = duration_s * self.step
        if abs(self.step - 0.25) <= _QUARTER_OFF:  # as Gravity Spy's: -0.25, -0.125, 0.0 …
            return self.decimals == max(1, _decimals(duration_s / 4))
        for one in _STEPS:
            step = one * 10.0 ** floor(log10(seconds / one) + 0.5)
            if abs(seconds - step) <= _STEP_OFF * step:
                return 0 <= self.decimals - _decimals(step) <= 1
        return False


def _decimals(step: float) -> int:
    """How many decimals multiples of a step take."""
    found = (n for n in range(_MOST_DECIMALS) if abs(step * 10**n - round(step * 10**n)) < 1e-6)
    return next(found, _MOST_DECIMALS)


def time_labels(is_text: Bool[np.ndarray, "height width"], box: Box) -> list[TimeLabel]:
    """The labels below a panel, from its left; none if they are too small."""
    reach = max(_LEAST_BELOW, round(_BELOW * len(is_text)))
    margin = round(_OVER * box.width)
    left = max(0, box.left - margin)
    below = is_text[box.bottom + _CLEAR : box.bottom + reach, left : box.right + margin]
    for start, stop in runs_of(np.any(below, axis=1)):
        line = below[start:stop]
        height = stop - start
        runs = runs_of(np.any(line, axis=0))
        if height < _LEAST_HEIGHT or max(end - first for first, end in runs) < _LEAST_WIDE * height:
            continue  # ticks
        found = runs_of(np.any(line, axis=0), max(_LEAST_BETWEEN, _BETWEEN * height))
        return [
            TimeLabel(
                place=(left + (first + end) / 2 - box.left) / box.width,
                is_negative=_is_negative(line[:, first:end]),
                width=(end - first) / height,
            )
            for first, end in found
        ]
    return []


def time_axis(labels: list[TimeLabel]) -> TimeAxis | None:
    """What labels of a time axis tell; None for axes without a minus, as of GPS seconds, which do
    not tell where the glitch is, and where a minus that was not seen, or seen in vain, shows by the
    widths: pictures that were made smaller have faint ones.

    Raises:
        ImageError: if zero is not in the middle, or the axis runs backwards.
    """
    signs = [label.is_negative for label in labels]
    changes = [at for at, (one, other) in enumerate(pairwise(signs)) if one != other]
    step = even_spacing([label.place for label in labels])
    if step is None or len(changes) > 1 or not any(signs):
        return None
    if not changes:  # all before zero
        raise _not_centred()
    before, after = labels[changes[0]], labels[changes[0] + 1]
    zeros = (after.place, (before.place + after.place) / 2)
    if after.is_negative or min(abs(zero - 0.5) for zero in zeros) > _OFF:
        if not _are_distinguished(labels):
            return None
        raise _backwards() if after.is_negative else _not_centred()
    return TimeAxis(step, max(label.decimals for label in labels if not label.is_negative))


def _are_distinguished(labels: list[TimeLabel]) -> bool:
    """Whether every label with a minus is wider than all without."""
    negative = [label.width for label in labels if label.is_negative]
    others = [label.width for label in labels if not label.is_negative]
    return not others or min(negative) >= max(others) + _WIDER


def _not_centred() -> ImageError:
    return ImageError(
        "The time axis of the picture has its zero elsewhere than in the middle: draw the window "
        "centred on the glitch, from -0.5 to 0.5 s for one of 1 s, and send that."
    )


def _backwards() -> ImageError:
    return ImageError(
        "The time axis of the picture runs from right to left: draw it from left to right and send "
        "that."
    )


def _is_negative(label: Bool[np.ndarray, "height width"]) -> bool:
    """Whether a label begins with a line across, as thin as no digit, between its top and base."""
    height = len(label)
    first, end = runs_of(np.any(label, axis=0))[0]
    rows = np.flatnonzero(label[:, first:end].any(axis=1))
    is_thin = rows[-1] + 1 - rows[0] <= max(2, _MOST_THIN * height)
    is_high = (rows[0] + rows[-1] + 1) / 2 < 0.8 * height
    return bool(is_thin and is_high and end - first >= _LEAST_LONG * height)
