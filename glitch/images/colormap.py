"""Viridis and its inverse: from a colour to a fraction of the colour scale, and its distance.

Viridis is matplotlib's own table (CC0) of 256 colours. matplotlib draws fraction ``v`` in colour
``min(floor(256 v), 255)``, so colour ``i`` represents ``(i + 0.5) / 256``; the last colour also
represents all clipped values and is read as 1.
"""

from __future__ import annotations

from base64 import b64decode
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Int, UInt8, UInt16

from glitch.images.decode import Words

N_COLORS = 256
_BITS = 6  # bits per channel in the look-up table; first-order refinement recovers the rest
_SHIFT = 8 - _BITS
_REACH = 2.5  # colours: how far refinement may move from the table's index
_BRIGHT = 0x808080  # the top bit of each channel in a word
_COLORED = 40  # largest minus smallest channel: viridis has 83 or more, page and text about 0
_FAINT = 60.0  # least difference of text from its page, in the mean of the channels (0 to 255)

_AT_ONCE = 25_600  # pixels per block
_STEP = 4  # each fourth row and column is enough for the mean distance to the colour map


class _Tables(NamedTuple):
    known: UInt16[np.ndarray, " code"]  # nearest colour of each coarse RGB cell, + 256 if coloured
    offset: Float32[np.ndarray, " color"]  # refined index = offset + slope . rgb
    slope: Float32[np.ndarray, "3 color"]
    color: Float32[np.ndarray, "3 color"]


_STRIPS = 20  # strips of rows or of columns whose colours may be shifted
# Pixels sampled to measure a shift of the colours. Multiples of _STRIPS, so that strips are equal.
_SHIFT_ROWS, _SHIFT_COLUMNS = 60, 80


# Red, green and blue of each colour in base64: importing matplotlib takes 0.2 s and 14 MB.
_VIRIDIS = (
    "RAFURAJVRANXRQVYRQZaRQhbRglcRgteRgxfRg5hRw9iRxFjRxJlRxRmRxVnRxZpRxhqSBlrSBpsSBxuSB1vSB5wSCBx"
    "SCFySCJzSCN0RyV1RyZ2Ryd3Ryh4Ryp5Ryt6Ryx7Ri18Ri98RjB9RjF+RTJ/RTR/RTWARTaBRDeBRDmCQzqDQzuDQzyE"
    "Qj2EQj6FQkCFQUGGQUKGQEOHQESHP0WHP0eIPkiIPkmJPUqJPUuJPUyJPE2KPE6KO1CKO1GKOlKLOlOLOVSLOVWLOFaL"
    "OFeMN1iMN1mMNlqMNluMNVyMNV2MNF6NNF+NM2CNM2GNMmKNMmONMWSNMWWNMWaNMGeNMGiNL2mNL2qNLmuOLmyOLm2O"
    "LW6OLW+OLHCOLHGOLHKOK3OOK3SOKnWOKnaOKneOKXiOKXmOKHqOKHqOKHuOJ3yOJ32OJ36OJn+OJoCOJoGOJYKOJYON"
    "JISNJIWNJIaNI4eNI4iNI4mNIomNIoqNIouNIYyNIY2MIY6MII+MIJCMIJGMH5KMH5OLH5SLH5WLH5aLHpeKHpiKHpmK"
    "HpmKHpqJHpuJHpyJHp2IHp6IHp+IHqCHH6GHH6KGH6OGIKSFIKWFIaaFIaeEIqeEI6iDI6mCJKqCJauBJqyBJ62AKK5/"
    "Ka9/KrB+K7F9LLF9LrJ8L7N7MLR6MrV6M7Z5Nbd4Nrh3OLl2Obl2O7p1Pbt0PrxzQL1yQr5xRL5wRb9vR8BuScFtS8Js"
    "TcJrT8NpUcRoU8VnVcZmV8ZlWcdkW8hiXslhYMlgYspfZMtdZ8xcacxba81Zbc5YcM5Wcs9VdNBUd9BSedFRfNJPftJO"
    "gdNMg9NLhtRJiNVHi9VGjdZEkNZDktdBldc/l9g+mtg8ndk6n9k4oto3pdo1p9szqtsyrdwwr9wust0std0rt90put4n"
    "vd4mv98kwt8ixd8hx+AfyuAezeAdz+Ec0uEb1OEa1+IZ2uIY3OIY3+MY4eMY5OMY5+QZ6eQZ7OQa7uUb8eUc8+Ue9uYf"
    "+OYh+uYi/eck"
)


@lru_cache(maxsize=1)
def viridis() -> UInt8[np.ndarray, "256 3"]:
    """Return the colour table: read-only, RGB."""
    return np.frombuffer(b64decode(_VIRIDIS), dtype=np.uint8).reshape(N_COLORS, 3)


@lru_cache(maxsize=1)
def _tables() -> _Tables:
    colors = viridis().astype(np.float32)
    levels = (np.arange(1 << _BITS, dtype=np.float32) + 0.5) * (1 << _SHIFT) - 0.5
    known = np.empty((len(levels),) * 3, dtype=np.uint16)  # by blue, green, red
    grid = np.stack(np.meshgrid(levels, levels, indexing="ij"), axis=-1).reshape(-1, 2)
    for i, red in enumerate(levels):  # one value of red at a time keeps the temporaries small
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


Strips = tuple[tuple[slice, slice], ...]  # (rows, columns) of parts of a picture


class Colors(NamedTuple):
    """The classification of each pixel by its colour."""

    # index of the nearest viridis colour, from coarse cells
    nearest: UInt8[np.ndarray, "height width"]
    # Viridis and its mixtures are coloured; page, frame and text are grey. Distance to viridis
    # would not work here: a resampled edge between purple and yellow is far from it.
    is_colored: Bool[np.ndarray, "height width"]
    is_dark: Bool[np.ndarray, "height width"]  # all channels below 128, as in text and frames


def read_colors(words: Words) -> Colors:
    """Classify the pixels of an image by their colours."""
    known = _tables().known
    shape = words.shape
    colors = Colors(np.empty(shape, np.uint8), np.empty(shape, np.bool_), np.empty(shape, np.bool_))
    keep = (1 << _BITS) - 1
    for rows in _blocks(shape):
        block = words[rows]
        codes = (block >> _SHIFT) & keep
        for channel in (1, 2):  # append the upper bits of this channel to the code
            codes |= (block >> (_SHIFT * (channel + 1))) & (keep << (_BITS * channel))
        indices = known.take(codes.astype(np.intp), mode="clip")  # faster than indexing
        colors.nearest[rows] = indices  # keeps the lower byte
        np.greater_equal(indices, N_COLORS, out=colors.is_colored[rows])
        np.equal(block & _BRIGHT, 0, out=colors.is_dark[rows])
    return colors


def is_text(colors: Colors, page_strips: Strips) -> Bool[np.ndarray, "height width"]:
    """Return the pixels of text, ticks and frames: dark, or bright on a dark page.

    Args:
        colors: classification of the whole picture.
        page_strips: parts of the picture that are mostly page or coloured.
    """
    _, is_colored, is_dark = colors
    page = np.concatenate([is_dark[strip][~is_colored[strip]] for strip in page_strips])
    is_dark_page = page.size > 0 and bool(page.mean() > 0.5)
    return ~is_dark & ~is_colored if is_dark_page else is_dark


def is_faint_text(
    pixels: UInt8[np.ndarray, "height width 3"], colors: Colors, page_strips: Strips
) -> Bool[np.ndarray, "height width"]:
    """Like ``is_text``, for text neither dark nor bright: pixels that differ from the page."""
    # five times as fast as mean
    brightness = np.add(pixels[..., 0], pixels[..., 1], dtype=np.float32)
    brightness += pixels[..., 2]
    brightness /= 3
    page = np.concatenate([brightness[strip][~colors.is_colored[strip]] for strip in page_strips])
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
        nearest: `Colors.nearest` of these pixels.
        is_drawn: rows that count for the distance.

    Returns:
        The fraction of the colour scale at each pixel, float32 in [0, 1]; and the mean Euclidean
        RGB distance (0 to 441) of the drawn rows to the colour map: higher is less like an omega
        scan.
    """
    fraction = np.empty(nearest.shape, dtype=np.float32)
    by_row = np.empty(-(-len(nearest) // _STEP), dtype=np.float32)
    for rows in _blocks(nearest.shape):
        position = _positions(pixels[rows], nearest[rows].astype(np.intp))
        sampled = slice(rows.start // _STEP, rows.stop // _STEP)
        every = np.s_[::_STEP, ::_STEP]
        by_row[sampled] = _row_distances(pixels[rows][every], position[every])
        is_top = position >= N_COLORS - 1.5
        position += np.float32(0.5)
        np.divide(position, np.float32(N_COLORS), out=fraction[rows])
        fraction[rows][is_top] = 1
    counted = by_row[is_drawn[::_STEP]]
    return fraction, float(counted.mean() if counted.size else by_row.mean())


def shifts(
    pixels: UInt8[np.ndarray, "height width 3"],
    nearest: UInt8[np.ndarray, "height width"],
    is_drawn: Bool[np.ndarray, " height"],
) -> tuple[float, float, float]:
    """Return how far drawn rows are shifted from viridis, 0 to 441, by each channel's median.

    Noise and the mixed colours of reduced pictures scatter to all sides of the colour map, so this
    is near zero for them; a change of brightness or colour moves the whole picture to one side.

    Returns:
        The shift of all pixels, and the greatest of a twentieth of the rows and of the columns.
    """
    drawn, n_columns = np.flatnonzero(is_drawn), nearest.shape[1]
    rows = drawn[np.arange(_SHIFT_ROWS) * len(drawn) // _SHIFT_ROWS, None]
    columns = np.arange(_SHIFT_COLUMNS) * n_columns // _SHIFT_COLUMNS
    sample, nearest_sample = pixels[rows, columns], nearest[rows, columns].astype(np.intp)
    index = np.rint(_positions(sample, nearest_sample)).astype(np.intp)
    of_rows = sample.transpose(2, 0, 1) - _tables().color[:, index]  # (3, row, column)
    of_columns = np.ascontiguousarray(of_rows.transpose(0, 2, 1))
    whole, by_row, by_column = (
        np.linalg.norm(np.median(part.reshape(3, count, -1), axis=2), axis=0).max()
        for part, count in ((of_rows, 1), (of_rows, _STRIPS), (of_columns, _STRIPS))
    )
    return float(whole), float(by_row), float(by_column)


def _blocks(shape: tuple[int, ...]) -> list[slice]:
    """Split a picture into blocks of rows that fit the processor's cache, which halves the time."""
    n_rows, width = shape
    step = _STEP * max(1, _AT_ONCE // (_STEP * width))
    return [slice(start, start + step) for start in range(0, n_rows, step)]


def _positions(
    pixels: UInt8[np.ndarray, "height width 3"], nearest: Int[np.ndarray, "height width"]
) -> Float32[np.ndarray, "height width"]:
    """Return the position of each pixel between the colours of viridis: 0 to 255."""
    tables = _tables()
    position = tables.offset.take(nearest, mode="clip")
    for channel in range(3):
        along = tables.slope[channel].take(nearest, mode="clip")
        along *= pixels[..., channel]
        position += along
    center = nearest.astype(np.float32)
    np.maximum(position, center - _REACH, out=position)  # np.clip with arrays takes twice as long
    np.minimum(position, center + _REACH, out=position)
    return np.clip(position, 0, N_COLORS - 1, out=position)


def _row_distances(
    pixels: UInt8[np.ndarray, "height width 3"], position: Float32[np.ndarray, "height width"]
) -> Float32[np.ndarray, " height"]:
    index = np.rint(position).astype(np.intp)
    squared = np.zeros(position.shape, dtype=np.float32)
    for channel in range(3):
        difference = _tables().color[channel].take(index, mode="clip")
        difference -= pixels[..., channel]
        difference *= difference
        squared += difference
    return np.asarray(np.sqrt(squared, out=squared).mean(axis=1), dtype=np.float32)
