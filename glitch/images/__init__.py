"""Pictures in and out: Gravity Spy's spectrograms, arrays of views, and our own renders."""

from glitch.images.decode import is_image
from glitch.images.names import SpectrogramName, parse_file_name
from glitch.images.reader import MAX_COLORMAP_DISTANCE, SpectrogramImage, read_spectrogram

__all__ = [
    "MAX_COLORMAP_DISTANCE",
    "SpectrogramImage",
    "SpectrogramName",
    "is_image",
    "parse_file_name",
    "read_spectrogram",
]
