"""Draw differences of views, and rows of views.

Differences use ColorBrewer's blue to red (matplotlib's ``RdBu_r``), which people with colour vision
deficiency can distinguish. White, in the middle, is exactly zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from io import BytesIO

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image, ImageDraw

from glitch.errors import GlitchError
from glitch.images.grid import cell_of_pixel
from glitch.images.render import ABSENT_GREY, MAX_SIDE, PLAIN_SIZE, RowMask, draw_cells
from glitch.types import ViewArray

N_STEPS = 255  # odd, so that zero has a colour of its own
DIFFERENCE_LIMIT = 0.4  # fraction of the clip: 10.2 in normalised energy at both ends of the scale
STRIP_GAP = 4  # transparent pixels between the views of a strip
_PNG_LEVEL = 1
_HATCH_GREY = (120, 120, 120)
_HATCH_STEP = 11  # pixels between the lines over an absent view


@lru_cache(maxsize=1)
def diverging() -> UInt8[np.ndarray, "255 3"]:
    """Return the colour table, from negative to positive: read-only, RGB."""
    from matplotlib import colormaps

    shares = np.linspace(0, 1, N_STEPS)
    table = np.asarray(colormaps["RdBu_r"](shares, bytes=True)[:, :3], dtype=np.uint8)
    table.setflags(write=False)
    return table


def render_difference(
    difference: Float32[np.ndarray, "freq time"],
    observed: RowMask | None = None,
    *,
    limit: float = DIFFERENCE_LIMIT,
    size: tuple[int, int] = PLAIN_SIZE,
) -> bytes:
    """Draw a difference of two views, frequency upward; values beyond the limit get its colour.

    Args:
        difference: shape (freq, time), energy as a fraction of the clip.
        observed: rows that were measured; the others are drawn grey. All, if None.
        limit: absolute value at both ends of the scale, as a fraction of the clip.
        size: width and height of the picture in pixels.

    Returns:
        The bytes of a PNG.

    Raises:
        GlitchError: if a value is not finite, the limit is not positive, or a side is not 1 to
            MAX_SIDE pixels.
    """
    if not np.isfinite(difference).all() or not limit > 0:
        raise GlitchError("Only finite differences can be drawn, on a scale above zero.")
    _check_size(size)
    middle = (N_STEPS - 1) // 2
    steps = np.rint(np.clip(difference / limit, -1, 1) * middle).astype(np.intp) + middle
    colours = diverging()[steps]
    if observed is not None:
        colours[~observed] = ABSENT_GREY
    rows = cell_of_pixel(size[1], difference.shape[0])[::-1]
    columns = cell_of_pixel(size[0], difference.shape[1])
    return _png(Image.fromarray(colours[rows[:, None], columns]))


def render_strip(
    views: Sequence[ViewArray | None],
    size: tuple[int, int],
    *,
    observed: Sequence[RowMask | None] | None = None,
) -> bytes:
    """Draw views in viridis side by side, from left to right, with transparent gaps between them.

    Args:
        views: at least one, each of shape (freq, time), float32 in [0, 1]; hatched where None.
        size: width and height of each view in pixels.
        observed: measured rows of each view; the others are grey. All, if None.

    Returns:
        The bytes of a PNG.

    Raises:
        GlitchError: if there is no view, a value lies outside [0, 1], or the strip is too wide.
    """
    width = len(views) * (size[0] + STRIP_GAP) - STRIP_GAP
    _check_size((width, size[1]))
    strip = Image.new("RGBA", (width, size[1]))
    for index, view in enumerate(views):
        rows = None if observed is None else observed[index]
        drawn = _hatched(size) if view is None else draw_cells(view, rows, size)
        strip.paste(drawn, (index * (size[0] + STRIP_GAP), 0))
    return _png(strip)


def _hatched(size: tuple[int, int]) -> Image.Image:
    """Draw the placeholder for an absent view: diagonal lines on grey, as on the pages."""
    width, height = size
    picture = Image.new("RGB", size, ABSENT_GREY)
    pen = ImageDraw.Draw(picture)
    for start in range(-height, width, _HATCH_STEP):
        pen.line([(start, height), (start + height, 0)], fill=_HATCH_GREY, width=2)
    return picture


def _check_size(size: tuple[int, int]) -> None:
    if not (min(size) >= 1 and max(size) <= MAX_SIDE):
        raise GlitchError(
            f"A picture of {size[0]} x {size[1]} pixels is not drawn: give 1 to {MAX_SIDE} each."
        )


def _png(picture: Image.Image) -> bytes:
    out = BytesIO()
    picture.save(out, "PNG", compress_level=_PNG_LEVEL)
    return out.getvalue()
