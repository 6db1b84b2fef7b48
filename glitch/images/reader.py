"""Gravity Spy's pictures -> normalised energy on our grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from glitch.errors import ImageError
from glitch.images.colormap import color_codes, invert, is_colored
from glitch.images.decode import decode_picture, state_cells
from glitch.images.grid import average_to_grid
from glitch.images.names import SpectrogramName, parse_file_name
from glitch.images.panel import SMALLEST_SIDE, find_panel
from glitch.types import ViewArray
from glitch.views import Preprocessing

MAX_COLORMAP_DISTANCE = 20.0  # mean RGB distance; docs/science/images.md has the distribution


@dataclass(frozen=True, eq=False)
class SpectrogramImage:
    """A picture as one view, with what its name says and how well it fits the colour map."""

    values: ViewArray  # (freq, time), float32 in [0, 1], frequency upward
    name: SpectrogramName
    colormap_distance: float  # mean RGB distance to viridis, 0 to 441; higher is a worse fit


def read_spectrogram(
    data: bytes, file_name: str, preprocessing: Preprocessing | None = None
) -> SpectrogramImage:
    """Read a Gravity Spy PNG or JPEG, with axes or without.

    The panel is found by its colours, viridis is inverted by nearest colour, and the energy is
    averaged over the cells of the grid.

    Raises:
        FormatError: the bytes are empty, damaged, or no PNG or JPEG.
        TooLargeError: more pixels or bytes than are ever read.
        ImageError: the picture is no omega scan in viridis, or too small.
    """
    recipe = preprocessing or Preprocessing()
    _require_gravity_spy_scales(recipe)
    pixels, stated_cells = decode_picture(data)
    codes = color_codes(pixels)
    box = find_panel(is_colored(codes))
    if min(box.width, box.height) < SMALLEST_SIDE:
        raise ImageError(
            f"The spectrogram is only {box.width} x {box.height} pixels; at least "
            f"{SMALLEST_SIDE} x {SMALLEST_SIDE} are needed. Send a larger picture."
        )
    inside = np.s_[box.top : box.bottom, box.left : box.right]
    energy, distance = invert(pixels[inside], codes[inside])
    if distance > MAX_COLORMAP_DISTANCE:
        raise ImageError(
            f"The picture is no omega scan in the viridis colour map: its pixels lie "
            f"{distance:.0f} from the map on average (RGB distance, limit "
            f"{MAX_COLORMAP_DISTANCE:.0f}). Send Gravity Spy's original PNG or JPEG."
        )
    upward = energy[::-1]
    shape = (recipe.n_frequency, recipe.n_time)
    is_ours = stated_cells == state_cells(shape)
    values = average_to_grid(upward, shape, are_pixels_whole=is_ours)
    return SpectrogramImage(np.clip(values, 0, 1), parse_file_name(file_name), distance)


def _require_gravity_spy_scales(recipe: Preprocessing) -> None:
    scales = (recipe.lowest_frequency_hz, recipe.highest_frequency_hz, recipe.energy_clip)
    if scales != (10.0, 2048.0, 25.5):
        raise ImageError(
            "Gravity Spy's pictures span 10 to 2048 Hz and 0 to 25.5 in normalised energy; "
            "this checkpoint uses other scales, so it needs strain instead."
        )
