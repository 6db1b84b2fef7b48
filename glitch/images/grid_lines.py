"""Detect grid lines across a spectrogram by colour and replace them with neighbouring values.

On the purple background of viridis, a white or grey line raises red, green and blue together, and a
black one lowers red and blue. Neither viridis nor mixtures of its colours do so: from purple to any
such mixture, the smaller rise of red and blue is at most 0.29 of the rise of green.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float32, UInt8

from glitch.errors import ImageError
from glitch.images.runs import runs_of

_MIN_RISE = 12.0  # least rise of green (0 to 255), in the mean over the line
_MIN_SHARE = 0.33  # least rise of both red and blue, as a fraction of the rise of green
_WINDOW = 21  # neighbouring pixel lines whose median is the local background
_MAX_THICKNESS = 0.012  # fraction of the side; anything thicker is a blank band
_MIN_LINES = 3  # in one direction; one or two may be part of a glitch whose colours were blended
_MARGIN = 3  # pixels at the edges, where ticks and the frame intrude
_MAX_SHARE = 0.5  # share of the pixel lines; beyond it, too few are left to interpolate from

Pixels = UInt8[np.ndarray, "line other 3"]
Fractions = Float32[np.ndarray, "line other"]
Lines = Bool[np.ndarray, " line"]


def without_grid(pixels: Pixels, fractions: Fractions) -> tuple[Fractions, Lines]:
    """Replace the rows and columns of a grid by interpolating between their neighbours.

    Args:
        pixels: RGB values of the panel.
        fractions: fraction of the colour scale at each pixel.

    Returns:
        The fractions, and which rows were replaced.

    Raises:
        ImageError: if the lines cover half of the panel.
    """
    filled, rows = _without_rows(pixels, fractions)
    turned, _ = _without_rows(pixels.transpose(1, 0, 2), filled.T)
    return turned.T, rows


def _without_rows(pixels: Pixels, fractions: Fractions) -> tuple[Fractions, Lines]:
    is_line = _lines(pixels)
    if not is_line.any():
        return fractions, is_line
    is_line[1:-1] |= is_line[:-2] | is_line[2:]  # the blurred edges of a line
    if is_line.mean() > _MAX_SHARE:
        raise ImageError(
            "The lines of a grid cover half of the spectrogram: draw it without them and send that."
        )
    intact, covered = np.flatnonzero(~is_line), np.flatnonzero(is_line)
    after = np.searchsorted(intact, covered)
    above, below = intact[after - 1], intact[after]
    share = ((covered - above) / (below - above)).astype(np.float32)[:, None]
    restored = fractions.copy()
    restored[covered] = fractions[above] * (1 - share) + fractions[below] * share
    return restored, is_line


def _lines(pixels: Pixels) -> Lines:
    # Every fourth pixel is enough; by channel, because sums over an inner axis of length three take
    # ten times as long.
    channels = np.ascontiguousarray(pixels[:, ::4].transpose(2, 0, 1))
    means = channels.mean(axis=2, dtype=np.float32).T  # (line, 3)
    padded = np.pad(means, ((_WINDOW // 2, _WINDOW // 2), (0, 0)), mode="edge")
    nearby = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW, axis=0)
    median = np.partition(nearby, _WINDOW // 2, axis=-1)[..., _WINDOW // 2]  # faster than median
    red, green, blue = (means - median).T
    lesser = np.minimum(red, blue)
    is_light = (green > _MIN_RISE) & (lesser > _MIN_SHARE * green)
    fall = -np.maximum(red, blue)
    is_dark = (fall > _MIN_RISE) & (np.abs(green) < fall)
    is_line = np.asarray(is_light | is_dark, dtype=np.bool_)
    is_line[:_MARGIN] = is_line[-_MARGIN:] = False
    thickest = max(3, round(_MAX_THICKNESS * len(is_line)))
    thin = [(start, stop) for start, stop in runs_of(is_line) if stop - start <= thickest]
    is_line[:] = False
    for start, stop in thin if len(thin) >= _MIN_LINES else ():
        is_line[start:stop] = True
    return is_line
