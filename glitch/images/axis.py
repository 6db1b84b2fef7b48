"""Check the range of a logarithmic frequency axis by the positions and widths of its labels.

The text of the labels is not read. Their spacing gives the number of octaves, the position of the
lowest label gives the limits, and the labels that gain a digit must be 128 and 1024.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import floor, log2, log10
from statistics import median
from typing import NamedTuple

import numpy as np

from glitch.errors import ImageError
from glitch.images.labels import Label, even_spacing
from glitch.images.panel import several_windows

_OCTAVES_APART = (1.0, 2.0, 3.0, 4.0, log2(10), 2 * log2(10))
_LOWEST_STEPS = range(-4, 16)  # possible lowest labels, in label steps above 1 Hz
_REPEAT_OFF = 0.02  # fraction of the axis
_BLURRED = 1  # labels that may be measured too narrow
_DIGIT_GAIN = 0.35  # fraction of a label's height: a larger gain is a digit, if only in an exponent


class _Bound(NamedTuple):
    """How far an axis may deviate from the given or usual range, in octaves."""

    span: float
    phase: float
    is_digit_needed: bool = True


_PIXELS_OFF = 1.5  # labels and frames are rounded to whole pixels
_EXACT = _Bound(0.016, 0.05)
_UNFRAMED = _Bound(0.08, 0.05)  # frame lines in the colour of the page hide a part of the axis
# Older pictures of Gravity Spy, with ticks inside the axes, span 10 r to 1960 / r Hz. Among 33 of
# them r is 1.0, 1.023 or 1.066.
_OLDER = _Bound(0.4, 0.2)
_OLDER_MIDDLE = log2(10 * 1960) / 2  # octaves above 1 Hz
_LOWEST_OLDER = 4  # 16 Hz, their lowest label
_OLDER_OFF, _OLDER_PIXELS = 0.75, 480  # pixels, of a panel of at most this height
_GIVEN = _Bound(0.1, 0.2, is_digit_needed=False)  # given by the caller: labels may have any format


def is_axis_known(
    labels: Sequence[Label],
    given_hz: tuple[float, float] | None,
    usual_hz: tuple[float, float],
    *,
    n_pixels: int,
    line: int,
    may_be_older: bool,
) -> bool:
    """Check that labels do not contradict the given or assumed axis.

    Args:
        labels: labels of the axis, from the bottom up.
        given_hz: the range that the caller gives.
        usual_hz: the range that is assumed if the caller gives none.
        n_pixels: height of the panel.
        line: width of the frame around it in pixels, 0 if none is visible.
        may_be_older: whether no ticks are drawn outside the axes, as in older pictures of Gravity
            Spy, which span slightly less and are read like all others.

    Returns:
        Whether the range is given by the caller, or confirmed to a pixel by labels that fit no
            other range. Labels at decades do not confirm it: they have the same positions on an
            axis of 1 to 204.8 Hz as on one of 10 to 2048 Hz.

    Raises:
        ImageError: if the labels contradict the range.
    """
    low, high = given_hz or usual_hz
    extent = n_pixels + line  # the axis ends in the middle of the frame's lines
    positions = [(label.place * n_pixels + line / 2) / extent for label in labels]
    spacing = even_spacing(positions)
    if spacing is None and _is_repeated(positions):
        raise several_windows()

    def step_on(span_hz: tuple[float, float], bound: _Bound) -> float | None:
        """Return the distance between labels in octaves if they fit this axis, else None."""
        if spacing is None:
            return None
        octaves = log2(span_hz[1] / span_hz[0])
        pixels = _PIXELS_OFF * octaves / extent / (positions[-1] - positions[0])
        for step in _OCTAVES_APART:
            # The lowest label is a whole number of steps away from 1 Hz.
            lowest = log2(span_hz[0]) / step + positions[0] / spacing
            if (
                abs(step / spacing - octaves) <= max(bound.span, pixels)
                and abs(lowest - round(lowest)) * step <= max(bound.phase, pixels)
                and _may_begin(labels, round(lowest), step, bound)
            ):
                return step
        return None

    is_older = (
        may_be_older
        and spacing is not None
        and step_on(usual_hz, _OLDER) == 1
        and abs(_LOWEST_OLDER + (0.5 - positions[0]) / spacing - _OLDER_MIDDLE)
        <= _OLDER_OFF / min(extent, _OLDER_PIXELS) / spacing
    )
    if given_hz is None:
        step = step_on(usual_hz, _EXACT if line else _UNFRAMED)
        # Gravity Spy's axes never have only one or two labels.
        if not labels or step is not None:
            return step is not None and step % 1 == 0
        if is_older:
            return False
        raise ImageError(
            f"The labels of the frequency axis do not fit a range of {low:g} to {high:g} Hz: give "
            "frequency_range, its lowest and highest frequency in Hz, such as 20,1024.",
            field="frequency_range",
        )
    # Unevenly spaced labels such as 20, 50, 100 cannot be checked; the caller is trusted.
    if spacing is None or step_on(given_hz, _GIVEN) or (is_older and given_hz == usual_hz):
        return True
    raise ImageError(
        f"The labels of the frequency axis do not fit a logarithmic range of {low:g} to {high:g} "
        "Hz: give the frequency_range that the picture shows. A linear axis is not read.",
        field="frequency_range",
    )


def _is_repeated(positions: list[float]) -> bool:
    """Return whether the axis consists of equal axes one above the other."""
    return any(
        len(positions) % n == 0
        and np.abs(np.diff(np.reshape(positions, (n, -1)), axis=0) - 1 / n).max() <= _REPEAT_OFF
        for n in (2, 3, 4)
        if len(positions) > n
    )


def _may_begin(labels: Sequence[Label], lowest: int, step: float, bound: _Bound) -> bool:
    """Return whether labels gain digits like the numbers that begin ``lowest`` steps above 1 Hz.

    The positions alone do not tell: an axis of 20 to 4096 Hz has its labels at the same positions
    as one of 10 to 2048 Hz.
    """
    wider = _DIGIT_GAIN * median(label.height for label in labels)
    gains = [after.width - before.width > wider for before, after in pairwise(labels)]
    possible = [
        one
        for one in _LOWEST_STEPS
        if any(
            sum(is_wider != has_more for is_wider, has_more in zip(gains, digits, strict=True))
            <= _BLURRED
            for digits in _gains(one, len(labels), step)
        )
    ]
    return lowest in possible or not (possible or bound.is_digit_needed)


def _gains(lowest: int, count: int, step: float) -> list[list[bool]]:
    """Return which of ``count`` labels gain digits over the one below: as numbers, as powers."""
    powers = range(lowest, lowest + count)
    numbers = [max(0, floor(power * step * log10(2) + 1e-9)) for power in powers]
    unit = log2(10) if step % 1 else 1.0
    exponents = [len(str(round(power * step / unit))) for power in powers]
    return [[after > before for before, after in pairwise(one)] for one in (numbers, exponents)]
