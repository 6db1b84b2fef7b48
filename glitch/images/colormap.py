"""Viridis and its inverse: colour -> fraction of the colour scale, and how far off the map it is.

Viridis is matplotlib's own table (CC0), 256 colours. matplotlib draws fraction ``v`` in colour
``min(floor(256 v), 255)``, so colour ``i`` stands for ``(i + 0.5) / 256`` and the last one,
which also holds all that is clipped, for 1.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Int32, UInt8

N_COLORS = 256
_BITS = 6  # of each channel in the look-up table; first-order refinement gives back the rest
_SHIFT = 8 - _BITS
_REACH = 2.5  # colours: how far refinement may move from the table's answer
_BRIGHT = sum(1 << (_BITS * place - 1) for place in (1, 2, 3))  # the top bit of any channel
_COLORED = 40  # largest less smallest channel: viridis has 83 or more, page and text about 0

Codes = Int32[np.ndarray, "height width"]


class _Tables(NamedTuple):
    nearest: UInt8[np.ndarray, " code"]  # colour of each coarse RGB cell
    is_colored: Bool[np.ndarray, " code"]
    offset: Float32[np.ndarray, " color"]  # refined index = offset + slope . rgb
    slope: Float32[np.ndarray, "3 color"]
    color: Float32[np.ndarray, "3 color"]


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
    nearest = np.empty((len(levels),) * 3, dtype=np.uint8)
    is_colored = np.empty_like(nearest, dtype=np.bool_)
    grid = np.stack(np.meshgrid(levels, levels, indexing="ij"), axis=-1).reshape(-1, 2)
    for i, red in enumerate(levels):  # one slab of red at a time keeps the temporaries small
        points = np.concatenate([np.full((len(grid), 1), red, np.float32), grid], axis=1)
        score = points @ colors.T - (colors**2).sum(1) / 2  # highest at the nearest colour
        nearest[i] = score.argmax(1).reshape(nearest[i].shape)
        spread = points.max(1) - points.min(1)
        is_colored[i] = (spread >= _COLORED).reshape(is_colored[i].shape)
    tangent = np.gradient(colors, axis=0)
    slope = tangent / (tangent**2).sum(1, keepdims=True)
    offset = np.arange(N_COLORS, dtype=np.float32) - (slope * colors).sum(1)
    return _Tables(
        nearest.ravel(),
        is_colored.ravel(),
        offset.astype(np.float32),
        np.ascontiguousarray(slope.T, dtype=np.float32),
        np.ascontiguousarray(colors.T),
    )


def color_codes(pixels: UInt8[np.ndarray, "height width 3"]) -> Codes:
    """Coarse RGB cell of every pixel, the key of the look-up tables."""
    codes = (pixels[..., 0] >> _SHIFT).astype(np.int32)
    for channel in (1, 2):  # in place: every pass over a picture costs as much as its arithmetic
        codes <<= _BITS
        codes |= pixels[..., channel] >> _SHIFT
    return codes


def is_colored(codes: Codes) -> Bool[np.ndarray, "height width"]:
    """Which pixels have a colour: viridis and its mixtures do; page, frame and text do not.

    Nearness to viridis would not do here: a resampled edge between purple and yellow is far off.
    """
    return np.asarray(_tables().is_colored.take(codes), dtype=np.bool_)


def is_dark(codes: Codes) -> Bool[np.ndarray, "height width"]:
    """Which pixels text, ticks and frames are drawn with: all channels below 128 of 255."""
    return np.asarray((codes & _BRIGHT) == 0, dtype=np.bool_)


def invert(
    pixels: UInt8[np.ndarray, "height width 3"],
    codes: Codes,
    is_drawn: Bool[np.ndarray, " height"],
) -> tuple[Float32[np.ndarray, "height width"], float]:
    """Invert viridis by nearest colour.

    Args:
        pixels: RGB.
        codes: the pixels' `color_codes`.
        is_drawn: rows that count for the distance.

    Returns:
        The fraction of the colour scale at each pixel, float32 in [0, 1]; and the mean Euclidean
        RGB distance (0 to 441) of the drawn rows to the colour map: higher is less an omega scan.
    """
    tables = _tables()
    coarse = tables.nearest.take(codes)  # take: twice as fast as indexing here
    position = tables.offset.take(coarse)
    for channel in range(3):
        along = tables.slope[channel].take(coarse)
        along *= pixels[..., channel]
        position += along
    center = coarse.astype(np.float32)
    np.clip(position, center - _REACH, center + _REACH, out=position)
    np.clip(position, 0, N_COLORS - 1, out=position)
    by_row = _row_distances(pixels[::2, ::2], position[::2, ::2])  # a quarter tells the mean
    fraction = (position + np.float32(0.5)) / np.float32(N_COLORS)
    fraction[position >= N_COLORS - 1.5] = 1
    counted = by_row[is_drawn[::2]]
    return fraction, float(counted.mean() if counted.size else by_row.mean())


def _row_distances(
    pixels: UInt8[np.ndarray, "height width 3"], position: Float32[np.ndarray, "height width"]
) -> Float32[np.ndarray, " height"]:
    index = np.rint(position).astype(np.intp)
    squared = np.zeros(position.shape, dtype=np.float32)
    for channel in range(3):
        squared += (pixels[..., channel] - _tables().color[channel][index]) ** 2
    return np.asarray(np.sqrt(squared).mean(axis=1), dtype=np.float32)
