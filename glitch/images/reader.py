"""Read Gravity Spy's images as normalised energy on the common grid."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Bool, Float32, Float64, UInt8

from glitch.errors import ImageError
from glitch.images.colormap import (
    Colors,
    Strips,
    invert,
    is_faint_text,
    is_text,
    read_colors,
    shifts,
)
from glitch.images.decode import GREY, decode_picture
from glitch.images.grid import MIN_COVER, cell_means, even_edges, shares
from glitch.images.grid_lines import without_grid
from glitch.images.labels import Label, are_legible, labels_left, labels_right
from glitch.images.names import SpectrogramName, parse_file_name
from glitch.images.overlays import has_overlay, holds_windows, is_turned, without_marks
from glitch.images.panel import (
    KNOWN_PANELS,
    SMALLEST_SIDE,
    Box,
    DrawnCells,
    FoundPanel,
    find_panel,
    several_windows,
)
from glitch.images.scales import (
    MARGIN,
    Scales,
    check_scales,
    find_bar,
    refuse_bar_elsewhere,
    row_edges,
)
from glitch.images.time_axis import TimeAxis, time_axis, time_labels
from glitch.types import ViewArray
from glitch.views import Preprocessing, Views, views_from_images

MAX_COLORMAP_DISTANCE = 16.0  # mean RGB distance; distribution: docs/science/images.md
# Median colour shift. 785 pictures of Gravity Spy: at most 1.4; as JPEG of quality 20: at most 1.7;
# darkened by 7 %: 5.6 and more.
_MAX_SHIFT = 4.0
_MAX_GREY = 8  # difference of the channels of a grey pixel; JPEG changes them
# The same of a twentieth of the rows or columns. 2,008 pictures: at most 28 and 7.5, where lines or
# glitches were mixed with their surroundings; a span marked with 10 % of white: 17.
_MAX_ROW_SHIFT, _MAX_COLUMN_SHIFT = 40.0, 12.0
# Pictures of Gravity Spy have 18 colours or more, except blank ones: at most four, next to another.
_MIN_COLORS = 16
_BAR_END = 0.08  # fraction of the colour scale that a twentieth of a bar at its end may miss
_SAME_PLACE = 0.02  # fraction of the axis
_MISSED = 0.7  # fraction of a label's height: width of a missed digit
_MIN_DRAWN = 0.1  # least share of the panel's rows that are coloured
# Width over height of a picture without axes: Gravity Spy's have 1.2; two windows 2.4 or 0.6.
_MIN_ASPECT, _MAX_ASPECT = 0.65, 2.2
_BLANK = 0.02  # fraction of the panel: least height that a faint frame must add to it
# Shares of pixels near the top and bottom of the scale. Among 1,713 pictures of Gravity Spy, the
# largest share above _HIGH is 0.51, and no picture has a share below _LOW of less than 0.26.
_HIGH, _MAX_HIGH_SHARE = 0.9, 0.4
_LOW, _MIN_LOW_SHARE = 0.1, 0.15


@dataclass(frozen=True, eq=False)
class SpectrogramImage:
    """An image as one view, with the metadata of its name and its distance from the colour map."""

    values: ViewArray  # (freq, time), float32 in [0, 1], frequency upward, 0 if not observed
    observed: Bool[np.ndarray, " freq"]  # rows that are measured in the picture
    name: SpectrogramName
    colormap_distance: float  # mean RGB distance to viridis, 0 to 441; higher is a worse fit
    assumed: tuple[str, ...] = ()  # scales that neither the caller nor the labels give
    time_axis: TimeAxis | None = None  # from the labels below the panel


def read_spectrogram(
    data: bytes,
    file_name: str,
    preprocessing: Preprocessing | None = None,
    scales: Scales | None = None,
) -> SpectrogramImage:
    """Read a Gravity Spy PNG or JPEG, with or without axes.

    The panel is found by its colours, viridis is inverted by nearest colour, and the energy is
    averaged over the cells of the grid. The axes are assumed to be Gravity Spy's, 10 to 2048 Hz and
    0 to 25.5, unless the caller gives others. Labels that contradict them are an error.

    Args:
        data: content of the file.
        file_name: its original name, which may state detector, id, time and window.
        preprocessing: the recipe that defines the grid.
        scales: ranges of the picture's axes, if they are not Gravity Spy's.

    Raises:
        FormatError: the bytes are empty, damaged, or neither PNG nor JPEG.
        TooLargeError: more pixels or bytes than are ever read.
        ImageError: the picture is not an omega scan in viridis, is too small, or has labels that
            contradict the given or assumed scales.
    """
    recipe = preprocessing or Preprocessing()
    _require_gravity_spy_scales(recipe)
    picture = decode_picture(data)
    pixels = picture.pixels
    colors = read_colors(picture.words)
    nearest, colored, _ = colors
    drawn = DrawnCells.parse(picture.stated_cells, pixels.shape[1], pixels.shape[0])
    page_strips = _page_strips(drawn.box if drawn else find_panel(colored).box)
    text = is_text(colors, page_strips)
    panel = FoundPanel(drawn.box) if drawn else find_panel(colored, text)
    if drawn is None and panel.box.left > 0 and panel.box not in KNOWN_PANELS.values():
        # gwpy draws frames in grey, which JPEG may turn into a colour.
        faint = is_faint_text(pixels, colors, page_strips)
        framed = find_panel(colored, faint | colored)
        is_taller = framed.box.height > (1 + _BLANK) * panel.box.height
        if framed.is_framed and (is_taller or not panel.is_framed):
            panel, text = framed, faint
    box = panel.box
    if min(box.width, box.height) < SMALLEST_SIDE:
        raise ImageError(
            f"The spectrogram is only {box.width} x {box.height} pixels; at least "
            f"{SMALLEST_SIDE} x {SMALLEST_SIDE} are needed. Send a larger picture."
        )
    inside = np.s_[box.top : box.bottom, box.left : box.right]
    is_drawn = _drawn_rows(colored[inside])
    fractions, distance = invert(pixels[inside], nearest[inside], is_drawn)
    _refuse_other_colors(pixels[inside], nearest[inside], is_drawn, distance)
    if panel.has_rival:
        raise several_windows()
    stated = scales or Scales()
    own_range = (recipe.lowest_frequency_hz, recipe.highest_frequency_hz)
    assumed: tuple[str, ...] = ()
    of_time: TimeAxis | None = None
    if drawn is None:
        _refuse_cut_or_joined(box, pixels.shape[:2], fractions)
        words = picture.words[inside]
        if has_overlay(words, colored[inside], is_drawn, fractions):
            raise ImageError(
                "A frame or a block covers part of the spectrogram, such as an inset, a legend or "
                "a text box: leave it out, or draw it beside the panel."
            )
        fractions = without_marks(words, fractions, is_drawn)
        fractions, is_filled = without_grid(pixels[inside], fractions)
        is_drawn |= is_filled
        _refuse_turned(fractions[is_drawn])
        assumed = _assumed(pixels, colors, text, box, given=stated, recipe=recipe)
        of_time = time_axis(time_labels(text, box))
        _refuse_mostly_high(fractions[is_drawn])
    shape = (recipe.n_frequency, recipe.n_time)
    is_ours = drawn is not None and drawn.shape == shape
    energies = fractions[::-1]
    if stated.energy_max is not None:
        energies = np.clip(energies * np.float32(stated.energy_max / recipe.energy_clip), 0, 1)
    spanned = stated.frequency_range_hz or own_range
    edges = row_edges(spanned, own_range, box.height, recipe.n_frequency, is_ours)
    values, observed = _average_to_grid(energies, is_drawn[::-1], shape, is_ours, edges)
    return SpectrogramImage(
        values, observed, parse_file_name(file_name), distance, assumed, of_time
    )


def _refuse_other_colors(
    pixels: UInt8[np.ndarray, "height width 3"],
    nearest: UInt8[np.ndarray, "height width"],
    is_drawn: Bool[np.ndarray, " height"],
    distance: float,
) -> None:
    """Refuse a panel that is not in viridis, or whose colours were changed afterwards."""
    if distance > MAX_COLORMAP_DISTANCE:
        if (
            np.ptp(pixels) and np.ptp(pixels, axis=2).max() <= _MAX_GREY
        ):  # also grey pictures stored in colour
            raise ImageError(GREY)
        raise ImageError(
            "The picture is not an omega scan in the viridis colour map: on average, its pixels "
            f"are {distance:.0f} away from the map (RGB distance, limit "
            f"{MAX_COLORMAP_DISTANCE:.0f}). Draw it in viridis, or send Gravity Spy's original PNG "
            "or JPEG."
        )
    whole, by_row, by_column = shifts(pixels, nearest, is_drawn)
    if whole <= _MAX_SHIFT and (by_row > _MAX_ROW_SHIFT or by_column > _MAX_COLUMN_SHIFT):
        raise ImageError(
            "A band of other colours than viridis covers part of the spectrogram, such as a marked "
            "span, so its energies cannot be read: draw the picture without it."
        )
    if whole > _MAX_SHIFT:
        raise ImageError(
            "The colours of the picture are all shifted from viridis in one direction, as after a "
            "change of brightness, contrast or colours, so its energies cannot be read: send the "
            "picture as it was drawn."
        )
    used = np.unique(nearest[::4, ::4][is_drawn[::4]])
    if len(used) < _MIN_COLORS:  # of a sample, which nearly always has enough
        used = np.flatnonzero(np.bincount(nearest[is_drawn].ravel()))
    if len(used) < _MIN_COLORS < np.ptp(used):
        raise ImageError(
            f"The spectrogram has only {len(used)} colours, so most of its energies are lost: save "
            "the picture with all its colours, not as a contour plot or with a small palette, and "
            "send that."
        )


def _assumed(
    pixels: UInt8[np.ndarray, "height width 3"],
    colors: Colors,
    text: Bool[np.ndarray, "height width"],
    box: Box,
    *,
    given: Scales,
    recipe: Preprocessing,
) -> tuple[str, ...]:
    """Return the scales that neither the caller nor labels give.

    Raises:
        ImageError: if labels contradict a given or assumed scale.
    """
    bar = find_bar(colors.is_colored, box)
    own_range = (recipe.lowest_frequency_hz, recipe.highest_frequency_hz)
    check = partial(
        check_scales, given=given, frequency_range_hz=own_range, energy_max=recipe.energy_clip
    )
    if bar is None:
        if given.energy_max is None:
            refuse_bar_elsewhere(colors.is_colored, box)
        return check(text, None, box)
    _refuse_other_bar(pixels, colors.nearest, bar)
    faint = partial(is_faint_text, pixels, colors, _page_strips(box))
    labels = labels_right(text, bar)
    if not labels:
        text = faint()
    try:
        return check(text, bar, box)
    except ImageError:
        # Text in reduced pictures and small palettes is fainter: parts of it may have been missed.
        wider = faint()
        if labels and not are_legible(labels):
            is_missed = given == Scales()
        else:
            is_missed = _is_missed(labels, labels_right(wider, bar)) or _is_missed(
                labels_left(text, box), labels_left(wider, box)
            )
        if not is_missed:
            raise
        return check(wider, bar, box)


def _is_missed(found: list[Label], wider: list[Label]) -> bool:
    """Return whether fainter text shows at the same places that digits of labels were missed."""
    return len(found) == len(wider) and any(
        abs(one.place - other.place) < _SAME_PLACE
        and other.width - one.width > _MISSED * one.height
        for one, other in zip(found, wider, strict=True)
    )


def _page_strips(box: Box) -> Strips:
    """Return the strips left and right of the panel: the page around the axes."""
    reach = max(1, box.width // 20)
    rows = slice(box.top, box.bottom)
    return (
        (rows, slice(max(0, box.left - reach), box.left)),
        (rows, slice(box.right, box.right + reach)),
    )


def _refuse_cut_or_joined(
    box: Box, shape: tuple[int, ...], fractions: Float32[np.ndarray, "height width"]
) -> None:
    """Refuse a panel that was cut, or a picture that joins several windows.

    A panel was cut if it touches one edge or a corner of the picture and has page at the other
    edges. Without axes it touches all edges.
    """
    height, width = shape
    gaps = ((box.left, width - box.right), (box.top, height - box.bottom))
    across, along = (sum(gap <= 0 for gap in pair) for pair in gaps)
    has_page = all(gap <= 0 or gap > MARGIN for pair in gaps for gap in pair)
    if has_page and (across + along == 1 or across == along == 1):
        raise ImageError(
            "The spectrogram ends at an edge of the picture, where it may have been cut: send the "
            "whole picture with its axes, or the whole panel and nothing else."
        )
    if max(box.left, box.top, width - box.right, height - box.bottom) > 1:
        return  # with axes
    if not _MIN_ASPECT < box.width / box.height < _MAX_ASPECT:
        raise ImageError(
            "The picture has the shape of several windows side by side, and no axes: send each "
            "window as a file of its own, or draw it with axes."
        )
    if holds_windows(fractions):
        raise several_windows()


def _refuse_turned(fractions: Float32[np.ndarray, "height width"]) -> None:
    if is_turned(fractions):
        raise ImageError(
            "The picture seems to be turned or upside down: at its bottom, energy does not vary "
            "more slowly in time than at its top. Turn it so that time runs to the right and "
            "frequency upward."
        )


def _refuse_mostly_high(fractions: Float32[np.ndarray, "height width"]) -> None:
    """Refuse an image that is mostly at the top of its scale: the background of a scan never is."""
    sampled = fractions[::2, ::2]
    if (sampled > _HIGH).mean() > _MAX_HIGH_SHARE and (sampled < _LOW).mean() < _MIN_LOW_SHARE:
        raise ImageError(
            "Most of the picture is at the top of its colour scale, and hardly any of it at the "
            "bottom. Either viridis is reversed, which is not read, or the scale ends too low: "
            "draw it in viridis from 0 to 25.5 and send that."
        )


def _refuse_other_bar(
    pixels: UInt8[np.ndarray, "height width 3"],
    nearest: UInt8[np.ndarray, "height width"],
    bar: Box,
) -> None:
    """Refuse other maps of the same colours: reversed viridis, or a part of it."""
    inside = np.s_[bar.top : bar.bottom, bar.left : bar.right]
    fractions, _ = invert(pixels[inside], nearest[inside], np.ones(bar.height, dtype=np.bool_))
    quarter, end = max(1, bar.height // 4), max(1, bar.height // 20)
    if fractions[:quarter].mean() < fractions[-quarter:].mean():
        raise ImageError(
            "The colour bar is yellow at its bottom: reversed viridis is not read. Draw the "
            "picture in viridis and send that."
        )
    # The median, because reduced pictures mix the edges of a bar with its frame.
    is_part = np.median(fractions[-end:]) > _BAR_END or np.median(fractions[:end]) < 1 - _BAR_END
    # A small palette may lack the colours at the ends.
    if is_part and len(np.unique(nearest[inside])) > bar.height // 4:
        raise ImageError(
            "The colour bar does not run through all colours of viridis, so energies cannot be "
            "read from the colours: draw the picture in the whole of viridis and send that."
        )


def _drawn_rows(colored: Bool[np.ndarray, "height width"]) -> Bool[np.ndarray, " height"]:
    """Return which rows of the panel are coloured; grey ones were not measured.

    If hardly any row is coloured, all rows count, so that the distance to the colour map is
    measured on the white page and refuses it.
    """
    is_drawn = np.asarray(shares(colored, 1) >= MIN_COVER, dtype=np.bool_)
    return is_drawn if is_drawn.mean() >= _MIN_DRAWN else np.ones_like(is_drawn)


def _average_to_grid(
    fractions: Float32[np.ndarray, "height width"],
    is_drawn: Bool[np.ndarray, " height"],
    shape: tuple[int, int],
    are_pixels_whole: bool,
    row_edges_px: Float64[np.ndarray, " edge"],
) -> tuple[ViewArray, Bool[np.ndarray, " freq"]]:
    all_columns = np.ones(fractions.shape[1], dtype=np.bool_)
    by_row, observed = _means(fractions, is_drawn, row_edges_px)
    column_edges = even_edges(fractions.shape[1], shape[1], are_pixels_whole)
    by_column, _ = _means(by_row.T, all_columns, column_edges)
    return np.ascontiguousarray(np.clip(by_column.T, 0, 1), dtype=np.float32), observed


def _means(
    values: Float32[np.ndarray, "pixel other"],
    is_measured: Bool[np.ndarray, " pixel"],
    edges: Float64[np.ndarray, " edge"],
) -> tuple[Float32[np.ndarray, "cell other"], Bool[np.ndarray, " cell"]]:
    pixels = np.arange(len(values) + 1, dtype=np.float64)
    return cell_means(values, pixels, edges, is_measured)


def views_from_spectrograms(
    images: dict[float, SpectrogramImage], preprocessing: Preprocessing | None = None
) -> Views:
    """Combine pictures, keyed by window length in seconds, into views with their measured rows.

    Raises:
        GlitchError: if the recipe does not have a window length, or the labels of a picture's time
            axis contradict it.
    """
    for duration_s, image in images.items():
        if image.time_axis is not None and not image.time_axis.may_span(duration_s):
            raise ImageError(
                f"The labels of the time axis do not fit a window of {duration_s:g} s: correct "
                "the name of the picture, or view_duration_s, or send only its panel.",
                field="view_duration_s",
            )
    return views_from_images(
        {duration_s: image.values for duration_s, image in images.items()},
        preprocessing,
        observed_rows={duration_s: image.observed for duration_s, image in images.items()},
    )


def _require_gravity_spy_scales(recipe: Preprocessing) -> None:
    scales = (recipe.lowest_frequency_hz, recipe.highest_frequency_hz, recipe.energy_clip)
    if scales != (10.0, 2048.0, 25.5):
        raise ImageError(
            "Gravity Spy's pictures span 10 to 2048 Hz and 0 to 25.5 in normalised energy; "
            "this checkpoint uses other scales, so it needs strain instead."
        )
