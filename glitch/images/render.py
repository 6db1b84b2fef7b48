"""Draw a view as PNG without axes, with the colours that the version with axes also uses.

A cell is drawn in whole pixels, so an image made here is read back to the nearest of viridis' 256
colours. Rows that were not measured are neutral grey, which viridis does not contain, so that
missing data do not look like low energy.
"""

from __future__ import annotations

from io import BytesIO

import numpy as np
from jaxtyping import Bool
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from glitch.errors import GlitchError
from glitch.images.colormap import N_COLORS, viridis
from glitch.images.decode import CELLS_KEY
from glitch.images.grid import cell_of_pixel
from glitch.images.panel import Box, DrawnCells
from glitch.types import ViewArray

ABSENT_GREY = (158, 158, 158)
PLAIN_SIZE = (570, 466)  # width, height: about the panel size of Gravity Spy's pictures
MAX_SIDE = 2048
_PNG_LEVEL = 1  # fast; the pictures are small in any case

RowMask = Bool[np.ndarray, " freq"]


def render_view(
    view: ViewArray, observed: RowMask | None = None, *, size: tuple[int, int] = PLAIN_SIZE
) -> bytes:
    """Draw one view in viridis without axes, frequency upward.

    Args:
        view: shape (freq, time), float32 in [0, 1].
        observed: rows that were measured, shape (freq,); the others are drawn grey. All, if None.
        size: width and height of the picture in pixels.

    Returns:
        The bytes of a PNG.

    Raises:
        GlitchError: if the values are not finite in [0, 1], or the size is not 1 to MAX_SIDE.
    """
    if not (min(size) >= 1 and max(size) <= MAX_SIDE):
        raise GlitchError(
            f"A picture of {size[0]} x {size[1]} pixels is not drawn: give 1 to {MAX_SIDE} each."
        )
    return png_of_cells(draw_cells(view, observed, size), view, Box(0, 0, *size))


def png_of_cells(picture: Image.Image, view: ViewArray, box: Box) -> bytes:
    """Encode a PNG that declares the grid of its cells and the position of its panel."""
    rows, columns = view.shape
    text = PngInfo()
    text.add_text(CELLS_KEY, DrawnCells((rows, columns), box).text())
    out = BytesIO()
    picture.save(out, "PNG", compress_level=_PNG_LEVEL, pnginfo=text)
    return out.getvalue()


def draw_cells(view: ViewArray, observed: RowMask | None, size: tuple[int, int]) -> Image.Image:
    """Draw the cells of a view, with the highest frequency in the top row.

    The picture has a palette of viridis' 256 colours, which a PNG can hold and which takes a
    quarter of the time of RGB to write. It is RGB if rows are absent, because their grey would be
    the 257th colour.

    Args:
        view: shape (freq, time), float32 in [0, 1].
        observed: rows that were measured, shape (freq,); the others are grey. All, if None.
        size: width and height in pixels.

    Raises:
        GlitchError: if the values are not finite in [0, 1].
    """
    if not np.isfinite(view).all() or view.min() < 0 or view.max() > 1:
        raise GlitchError("Only a view with finite values in [0, 1] can be drawn.")
    index = np.minimum(view * N_COLORS, N_COLORS - 1).astype(np.uint8)
    # The reader flips the picture before it assigns pixels to cells: the same order here, or ties
    # would go to other cells.
    rows = cell_of_pixel(size[1], view.shape[0])[::-1, None]
    columns = cell_of_pixel(size[0], view.shape[1])
    if observed is None or observed.all():
        picture = Image.fromarray(index[rows, columns])
        picture.putpalette(viridis().tobytes())
        return picture
    colors = viridis()[index]
    colors[~observed] = ABSENT_GREY
    return Image.fromarray(colors[rows, columns])
