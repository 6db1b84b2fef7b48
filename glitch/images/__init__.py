"""Read Gravity Spy spectrograms and arrays of views, and draw views as pictures."""

from glitch.images.arrays import holds_views, read_views
from glitch.images.decode import is_image
from glitch.images.differences import DIFFERENCE_LIMIT, render_difference, render_strip
from glitch.images.names import SpectrogramName, parse_file_name
from glitch.images.omega_scan import render_omega_scan
from glitch.images.reader import (
    MAX_COLORMAP_DISTANCE,
    SpectrogramImage,
    read_spectrogram,
    views_from_spectrograms,
)
from glitch.images.render import render_view
from glitch.images.scales import Scales
from glitch.images.stacks import ViewStack, holds_stack, is_npz_stack, npz_to_hdf5, open_stack

__all__ = [
    "DIFFERENCE_LIMIT",
    "MAX_COLORMAP_DISTANCE",
    "Scales",
    "SpectrogramImage",
    "SpectrogramName",
    "ViewStack",
    "holds_stack",
    "holds_views",
    "is_image",
    "is_npz_stack",
    "npz_to_hdf5",
    "open_stack",
    "parse_file_name",
    "read_spectrogram",
    "read_views",
    "render_difference",
    "render_omega_scan",
    "render_strip",
    "render_view",
    "views_from_spectrograms",
]
