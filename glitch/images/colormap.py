"""Viridis and its inverse: colour -> fraction of the colour scale, and how far off the map it is.

Viridis is matplotlib's own table (CC0), 256 colours. matplotlib draws fraction ``v`` in colour
``min(floor(256 v), 255)``, so colour ``i`` stands for ``(i + 0.5) / 256`` and the last one,
which also holds all that is clipped, for 1.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Int, UInt8, UInt16

from glitch.images.decode import Words

N_COLORS = 256
_BITS = 6  # of each channel in the look-up table; first-order refinement gives back the rest
_SHIFT = 8 - _BITS
_REACH = 2.5  # colours: how far refinement may move from the table's answer
_BRIGHT = 0x808080  # of a word: the top bit of any channel
_COLORED = 40  # largest less smallest channel: viridis has 83 or more, page and text about 0
_FAINT = 60.0  # of 255 in the mean of the channels: text differs so far from its page

_AT_ONCE = 25_600  # pixels


class _Tables(NamedTuple):
    known: UInt16[np.ndarray, " code"]  # nearest colour of each coarse RGB cell, + 256 if coloured
    offset: Float32[np.ndarray, " color"]  # refined index = offset + slope . rgb
    slope: Float32[np.ndarray, "3 color"]
    color: Float32[np.ndarray, "3 color"]


_SHIFT_PIXELS = 20_000  # that tell how far colours are shifted


@lru_cache(maxsize=1)
def viridis() -> UInt8[np.ndarray, "256 3"]:
    """The colour table, read-only, RGB."""
    from matplotlib import colormaps

    table = np.asarray(colormaps["viridis"](np.arange(N_COLORS), bytes=True)[:, :3], dtype=np.uint8)
    table.setflags(write=False)
    return table


@lru_cache(maxsize=1)
def _tables() -> _Tables:
    colors = viridis().astype(np.float32)
    levels = (np.arange(1 << _BITS, dtype=np.float32) + 0.5) * (1 << _SHIFT) - 0.5
    known = np.empty((len(levels),) * 3, dtype=np.uint16)  # by blue, green, red
    grid = np.stack(np.meshgrid(levels, levels, indexing="ij"), axis=-1).reshape(-1, 2)
    for i, red in enumerate(levels):  # one slab of red at a time keeps the temporaries small
        points = np.concatenate([np.full((len(grid), 1), red, np.float32), grid], axis=1)
        score = points @ colors.T - (colors**2).sum(1) / 2  # highest at the nearest colour
        is_colored = points.max(1) - points.min(1) >= _COLORED
        slab = score.argmax(1) + N_COLORS * is_colored
        known[:, :, i] = slab.reshape(len(levels), len(levels)).T
    tangent = np.gradient(colors, axis=0)
    slope = tangent / (tangent**2).sum(1, keepdims=True)
    offset = np.arange(N_COLORS, dtype=np.float32) - (slope * colors).sum(1)
    return _Tables(
        known.ravel(),
        offset.astype(np.float32),
        np.ascontiguousarray(slope.T, dtype=np.float32),
        np.ascontiguousarray(colors.T),
    )


Strips = tuple[tuple[slice, slice], ...]  # rows and columns of parts of a picture


class Colors(NamedTuple):
    """The meaning of each pixel's colour."""

    nearest: UInt8[np.ndarray, "height width"]  # index of the nearest colour of viridis, coarsely
    # Viridis and its mixtures have a colour; page, frame and text do not. Nearness to viridis would
    # not do here: a resampled edge between purple and yellow is far off.
    is_colored: Bool[np.ndarray, "height width"]
    is_dark: Bool[np.ndarray, "height width"]  # as text and frames are: all channels below 128


def read_colors(words: Words) -> Colors:
    """The meaning of the colours of an image's pixels."""
    known = _tables().known
    shape = words.shape
    colors = Colors(np.empty(shape, np.uint8), np.empty(shape, np.bool_), np.empty(shape, np.bool_))
    keep = (1 << _BITS) - 1
    for rows in _blocks(shape):
        held = words[rows]
        codes = (held >> _SHIFT) & keep
        for channel in (1, 2):  # each one's upper bits, next to those of the channel before
            codes |= (held >> (_SHIFT * (channel + 1))) & (keep << (_BITS * channel))
        found = known.take(codes.astype(np.intp), mode="clip")  # faster than indexing
        colors.nearest[rows] = found  # the lower byte
        np.greater_equal(found, N_COLORS, out=colors.is_colored[rows])
        np.equal(held & _BRIGHT, 0, out=colors.is_dark[rows])
    return colors


def is_text(colors: Colors, beside: Strips) -> Bool[np.ndarray, "height width"]:
    """Which pixels text, ticks and frames are drawn with: dark ones, or bright on a dark page.

    Args:
        colors: of the picture.
        beside: parts of it of which most is the page, or coloured.
    """
    _, is_colored, is_dark = colors
    page = np.concatenate([is_dark[strip][~is_colored[strip]] for strip in beside])
    is_dark_page = page.size > 0 and bool(page.mean() > 0.5)
    return ~is_dark & ~is_colored if is_dark_page else is_dark


def is_faint_text(
    pixels: UInt8[np.ndarray, "height width 3"], colors: Colors, beside: Strips
) -> Bool[np.ndarray, "height width"]:
    """As ``is_text``, for text that is neither dark nor bright: what differs from the page."""
    brightness = np.add(pixels[..., 0], pixels[..., 1], dtype=np.float32)  # a fifth of mean's time
    brightness += pixels[..., 2]
    brightness /= 3
    page = np.concatenate([brightness[strip][~colors.is_colored[strip]] for strip in beside])
    shade = np.median(page) if page.size else np.float32(255)
    return np.asarray(~colors.is_colored & (np.abs(brightness - shade) > _FAINT), dtype=np.bool_)


def invert(
    pixels: UInt8[np.ndarray, "height width 3"],
    nearest: UInt8[np.ndarray, "height width"],
    is_drawn: Bool[np.ndarray, " height"],
) -> tuple[Float32[np.ndarray, "height width"], float]:
    """Invert viridis by nearest colour.

    Args:
        pixels: RGB.
        nearest: the pixels' `Colors.nearest`.
        is_drawn: rows that count for the distance.

    Returns:
        The fraction of the colour scale at each pixel, float32 in [0, 1]; and the mean Euclidean
        RGB distance (0 to 441) of the drawn rows to the colour map: higher is less an omega scan.
    """
    fraction = np.empty(nearest.shape, dtype=np.float32)
    by_row = np.empty((len(nearest) + 1) // 2, dtype=np.float32)
    for rows in _blocks(nearest.shape):
        position = _positions(pixels[rows], nearest[rows].astype(np.intp))
        # a quarter of the pixels tells the mean
        halved = slice(rows.start // 2, rows.stop // 2)
        by_row[halved] = _row_distances(pixels[rows][::2, ::2], position[::2, ::2])
        is_top = position >= N_COLORS - 1.5
        position += np.float32(0.5)
        np.divide(position, np.float32(N_COLORS), out=fraction[rows])
        fraction[rows][is_top] = 1
    counted = by_row[is_drawn[::2]]
    return fraction, float(counted.mean() if counted.size else by_row.mean())


def shift(
    pixels: UInt8[np.ndarray, "height width 3"], nearest: UInt8[np.ndarray, "height width"]
) -> float:
    """How far the middle pixel lies from viridis, 0 to 441, each channel by itself.

    Noise and the mixtures of smaller pictures lie to all sides of the map, so that this is near
    zero; a change of brightness or colours moves all of a picture to one.
    """
    step = max(1, round((nearest.size / _SHIFT_PIXELS) ** 0.5))
    some, near = pixels[::step, ::step], nearest[::step, ::step].astype(np.intp)
    index = np.rint(_positions(some, near)).astype(np.intp)
    off = some - _tables().color.T[index]
    return float(np.linalg.norm(np.median(off.reshape(-1, 3), axis=0)))


def _blocks(shape: tuple[int, ...]) -> list[slice]:
    """A picture by parts whose temporaries stay in the processor's cache: half the time."""
    n_rows, width = shape
    step = 2 * max(1, _AT_ONCE // (2 * width))  # even
    return [slice(start, start + step) for start in range(0, n_rows, step)]


def _positions(
    pixels: UInt8[np.ndarray, "height width 3"], nearest: Int[np.ndarray, "height width"]
) -> Float32[np.ndarray, "height width"]:
    """The position of each pixel between the colours of viridis: 0 to 255."""
    tables = _tables()
    position = tables.offset.take(nearest, mode="clip")
    for channel in range(3):
        along = tables.slope[channel].take(nearest, mode="clip")
        along *= pixels[..., channel]
        position += along
    center = nearest.astype(np.float32)
    np.maximum(position, center - _REACH, out=position)  # np.clip's arrays take twice as long
    np.minimum(position, center + _REACH, out=position)
    return np.clip(position, 0, N_COLORS - 1, out=position)


def _row_distances(
    pixels: UInt8[np.ndarray, "height width 3"], position: Float32[np.ndarray, "height width"]
) -> Float32[np.ndarray, " height"]:
    index = np.rint(position).astype(np.intp)
    squared = np.zeros(position.shape, dtype=np.float32)
    for channel in range(3):
        off = _tables().color[channel].take(index, mode="clip")
        off -= pixels[..., channel]
        off *= off
        squared += off
    return np.asarray(np.sqrt(squared, out=squared).mean(axis=1), dtype=np.float32)
