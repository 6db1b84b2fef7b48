"""Check the scales of an image: those given by the caller, or the assumed ones, against its labels.

The text of the labels is not read; only their positions and widths are used. On a colour bar their
spacing gives the number of steps of the scale, and the width of the highest label its number of
digits. ``axis`` does the same for the frequency axis.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import floor, log2, log10

import numpy as np
from jaxtyping import Bool, Float64

from glitch.errors import ImageError
from glitch.images.axis import is_axis_known
from glitch.images.grid import even_edges, shares
from glitch.images.labels import (
    MIN_LABELS,
    Label,
    are_legible,
    even_spacing,
    labels_left,
    labels_right,
)
from glitch.images.panel import Box

MARGIN = 12  # pixels left of the panel: a picture with more was not cropped to its axes
_PHASE_OFF = 0.2  # largest offset of a label from its step on a colour bar, in steps
_MAX_LINE_WIDTH = 16  # widest frame line, pixels
_TICK = 240  # height of the panel, divided by this: distance from the frame at which ticks are seen
_MIN_TICKED = 300  # pixels: in smaller panels ticks are faint and labels as near as they are
_MOSTLY = 0.9
_SHORT_BAR = 0.1  # fraction of the panel: least height of a colour bar
_NARROWEST_BAR = 4  # pixels
_END_OFF = 0.03  # fraction of the bar's height
_DIGIT = 0.83  # fraction of a digit's height: width that each further digit adds to a label
_DIGITS_OFF = 0.5
_STEPS_OFF = 0.01  # fraction of the number of steps on the bar: 25.5 has 5.1 steps of 5, 25 has 5.0
_STEPS = (1.0, 2.5, 5.0, 10.0)
_ROUND = (1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 7.5, 8.0, 10.0)  # steps that matplotlib uses


@dataclass(frozen=True)
class Scales:
    """The ranges of a picture's axes. ``None``: as Gravity Spy draws them.

    Attributes:
        frequency_range_hz: lowest and highest frequency of the logarithmic axis.
        energy_max: normalised energy at the top of the colour scale, which begins at 0.
    """

    frequency_range_hz: tuple[float, float] | None = None
    energy_max: float | None = None

    def __post_init__(self) -> None:
        if self.frequency_range_hz is not None:
            low, high = self.frequency_range_hz
            if not 0.1 <= low < high <= 1e5:
                raise ImageError(
                    "frequency_range must be two frequencies in Hz, the lower first: 10,4096.",
                    field="frequency_range",
                )
        if self.energy_max is not None and not 0.1 <= self.energy_max <= 1e4:
            raise ImageError(
                "energy_max must be the normalised energy at the top of the colour scale: 15.",
                field="energy_max",
            )


def check_scales(
    is_text: Bool[np.ndarray, "height width"],
    bar: Box | None,
    box: Box,
    given: Scales,
    *,
    frequency_range_hz: tuple[float, float],
    energy_max: float,
) -> tuple[str, ...]:
    """Check that labels beside the panel do not contradict the given or assumed scales.

    Args:
        is_text: pixels of the whole picture that belong to text and ticks.
        bar: the colour bar, if there is one.
        box: the panel.
        given: the scales that the caller gives.
        frequency_range_hz: the range that is assumed if the caller gives none.
        energy_max: the maximum that is assumed if the caller gives none.

    Returns:
        The fields that the caller did not give and no labels confirm, as in a cropped picture or in
        older ones of Gravity Spy, whose axes are a little shorter.

    Raises:
        ImageError: says which scale to give.
    """
    of_axis = labels_left(is_text, box)
    if not of_axis:
        is_clear = is_text if bar is None else is_text[:, : bar.left - 1]
        of_axis = labels_right(is_clear, box)
    of_bar = [] if bar is None else labels_right(is_text, bar)
    line = _line_width(is_text, box)
    is_axis_sure = is_axis_known(
        of_axis,
        given.frequency_range_hz,
        frequency_range_hz,
        n_pixels=box.height,
        line=line,
        may_be_older=not _has_ticks(is_text, box, line, of_axis),
    )
    _check_bar(of_bar, given.energy_max, energy_max)
    if bar is not None:
        _ask_for_unseen(
            is_axis_unseen=not of_axis and given.frequency_range_hz is None and box.left > MARGIN,
            is_bar_unseen=not of_bar and given.energy_max is None,
        )
    is_sure = {
        "frequency_range": is_axis_sure,
        "energy_max": given.energy_max is not None or bool(of_bar),
    }
    return tuple(field for field, is_one_sure in is_sure.items() if not is_one_sure)


def _line_width(is_text: Bool[np.ndarray, "height width"], box: Box) -> int:
    """Return the width of the frame line left of the panel; 0 if none is visible."""
    strip = is_text[box.top : box.bottom, max(0, box.left - _MAX_LINE_WIDTH) : box.left]
    is_line = strip.mean(axis=0)[::-1] > _MOSTLY
    # Mixed colours may separate the panel from its frame by a pixel.
    first = int(np.argmax(is_line[:2])) if is_line[:2].any() else 0
    return int(np.argmin(np.append(is_line[first:], False)))


def _has_ticks(
    is_text: Bool[np.ndarray, "height width"], box: Box, line: int, labels: list[Label]
) -> bool:
    """Return whether most labels left of the panel have a tick outside its frame."""
    column = box.left - line - max(1, box.height // _TICK)
    if column < 0 or box.height < _MIN_TICKED:
        return False
    rows = [round(box.bottom - label.place * box.height) for label in labels]
    near = [is_text[max(0, row - 2) : row + 3, column].any() for row in rows]
    return bool(2 * sum(near) > len(near))


def _ask_for_unseen(*, is_axis_unseen: bool, is_bar_unseen: bool) -> None:
    """Ask for the scales of an image with axes whose labels cannot be recognised."""
    if is_bar_unseen:
        raise ImageError(
            "The labels of the colour bar cannot be recognised: give energy_max, the normalised "
            "energy at its top, such as 25.5.",
            field="energy_max",
        )
    if is_axis_unseen:
        raise ImageError(
            "The labels of the frequency axis cannot be recognised: give frequency_range, its "
            "lowest and highest frequency in Hz, such as 10,2048.",
            field="frequency_range",
        )


def _check_bar(labels: list[Label], top: float | None, usual: float) -> None:
    if not labels or _may_be_bar(labels, top, usual):
        return
    if top is None:
        raise ImageError(
            f"The labels of the colour bar do not fit a scale of 0 to {usual:g}: give energy_max, "
            "the normalised energy at its top, such as 15. Only linear scales are read.",
            field="energy_max",
        )
    raise ImageError(
        f"The labels of the colour bar do not fit a linear scale of 0 to {top:g}: give the "
        "energy_max that the picture shows. Only linear scales that begin at 0 are read, not "
        "logarithms or other powers.",
        field="energy_max",
    )


def _may_be_bar(labels: list[Label], top: float | None, usual: float) -> bool:
    """Return whether labels fit a linear bar from 0 to the given or usual maximum."""
    if top is not None and not are_legible(labels):
        return True
    places = [label.place for label in labels]
    if len(labels) < MIN_LABELS:
        # One or two labels give no spacing. With a given maximum they must begin at 0, or be one
        # label at either end.
        is_at_end = abs(places[0]) <= _END_OFF or abs(places[0] - 1) <= _END_OFF
        is_one = len(labels) == 1
        return top is not None and is_at_end and (is_one or _has_digits(labels, top * places[-1]))
    spacing = even_spacing(places)
    if spacing is None:
        return False
    phase = places[0] / spacing % 1
    if min(phase, 1 - phase) > _PHASE_OFF:
        return False
    n_steps = round(places[-1] / spacing)
    if top is not None:
        lowest = round(places[0] / spacing) * spacing * top
        highest = n_steps * spacing * top
        return _is_round(spacing * top) and _has_digits(labels, highest, lowest)
    # 5 and 25 differ in digits just as 50 and 250 do: the label 0 must be visible.
    return not round(places[0] / spacing) and any(
        abs(1 / spacing - usual / step) <= _STEPS_OFF * usual / step
        and _has_digits(labels, n_steps * step)
        and _has_digits(labels[:2], step)  # 0, 10, …, 50 have the same positions as 0, 5, …, 25
        for step in _STEPS
    )


def _has_digits(labels: list[Label], highest: float, lowest: float = 0) -> bool:
    """Return whether the highest label is wider than the lowest by its additional digits.

    Labels of 0 to 25 have the same positions as those of 0 to 250; labels of a logarithmic scale
    all have the same width.
    """
    low, high = labels[0], labels[-1]
    gained = (high.width - low.width) / (_DIGIT * min(low.height, high.height))
    of_high, of_low = (floor(log10(max(value, 1) * 1.001)) for value in (highest, lowest))
    expected = of_high - of_low
    return abs(gained - expected) <= _DIGITS_OFF


def _is_round(step: float) -> bool:
    """Return whether this is a possible distance between labels, in units of the scale."""
    digits = step / 10 ** floor(log10(step))
    return any(abs(digits - one) <= 0.02 * one for one in _ROUND)


def find_bar(is_colored: Bool[np.ndarray, "height width"], box: Box) -> Box | None:
    """Find the colour bar: a narrow coloured block right of the panel, often as high as it is."""
    right_of = is_colored[box.top : box.bottom, box.right + 2 :]
    if not right_of.size:
        return None
    beside = shares(right_of, 0)
    for least in (_MOSTLY, _SHORT_BAR):
        is_bar = beside > least
        left = int(np.argmax(is_bar))
        length = int(np.argmin(np.append(is_bar[left:], False)))
        if length < _NARROWEST_BAR:
            continue
        left += box.right + 2
        # The ends of a bar may be pointed and are no part of its scale.
        rows = np.flatnonzero(shares(is_colored[:, left : left + length], 1) > _MOSTLY)
        if not rows.size:
            continue
        bar = Box(left, int(rows[0]), left + length, int(rows[-1]) + 1)
        if rows.size > _MOSTLY * bar.height and (least == _MOSTLY or bar.height > 3 * length):
            return bar
    return None


def refuse_bar_elsewhere(is_colored: Bool[np.ndarray, "height width"], box: Box) -> None:
    """Ask for the scale of a picture whose colour bar is above, below or left of its panel.

    Raises:
        ImageError: if there is such a bar; its labels are not examined.
    """
    height, width = is_colored.shape
    across = Box(box.top, box.left, box.bottom, box.right)
    turned = (
        (is_colored[:, ::-1], Box(width - box.right, box.top, width - box.left, box.bottom)),
        (is_colored.T, across),
        (is_colored.T[:, ::-1], across._replace(left=height - box.bottom, right=height - box.top)),
    )
    if any(find_bar(one, panel) is not None for one, panel in turned):
        raise ImageError(
            "The colour bar is not to the right of the panel, where its labels would be checked: "
            "give energy_max, the normalised energy at its top, such as 25.5.",
            field="energy_max",
        )


def row_edges(
    spanned_hz: tuple[float, float],
    wanted_hz: tuple[float, float],
    n_pixels: int,
    n_cells: int,
    are_pixels_whole: bool,
) -> Float64[np.ndarray, " edge"]:
    """Return the edges of a grid's rows, in pixels from the bottom of the panel.

    Rows beyond the range of the picture lie outside its pixels, where nothing was measured.

    Args:
        spanned_hz: range of the panel, on a logarithmic axis.
        wanted_hz: range of the grid.
        n_pixels: height of the panel.
        n_cells: rows of the grid.
        are_pixels_whole: as for ``even_edges``, which gives the edges if both ranges are equal.
    """
    if spanned_hz == wanted_hz:
        return even_edges(n_pixels, n_cells, are_pixels_whole)
    cells = np.linspace(log2(wanted_hz[0]), log2(wanted_hz[1]), n_cells + 1)
    low, high = log2(spanned_hz[0]), log2(spanned_hz[1])
    return np.asarray((cells - low) / (high - low) * n_pixels, dtype=np.float64)
