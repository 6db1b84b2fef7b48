"""Compression of views: zstd-compressed uint8, as stored in the database.

The clip range has 255 steps, so a round trip is within 0.5/255 of the value (0.05 of normalised
energy).
"""

from __future__ import annotations

from math import prod

import numpy as np
import zstandard

from glitch.errors import FormatError
from glitch.types import ViewArray

STEPS = 255
MAX_CELLS = 1 << 22  # larger than any valid view; bounds what unpacking allocates
_LEVEL = 3


def pack_view(view: ViewArray) -> bytes:
    """Compress one view.

    Args:
        view: shape (freq, time), float32 in [0, 1].

    Returns:
        A zstd frame with its content size and a checksum. The same view always gives the same bytes
        for one version of zstd.

    Raises:
        FormatError: if a value is not finite or lies outside [0, 1].
    """
    if view.size == 0 or not np.isfinite(view).all() or view.min() < 0 or view.max() > 1:
        raise FormatError("Only a view with finite values in [0, 1] can be packed.")
    steps = np.rint(view * STEPS).astype(np.uint8)
    compressor = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True)
    return compressor.compress(steps.tobytes())


def unpack_view(packed: bytes, shape: tuple[int, int]) -> ViewArray:
    """Decompress one view of ``shape`` (freq, time), float32 in [0, 1].

    Never allocates more than the shape requires, regardless of the size that the data declare.

    Raises:
        FormatError: if the bytes are damaged, or hold a view of another shape.
    """
    n_cells = prod(shape)
    if min(shape) < 1 or n_cells > MAX_CELLS:
        raise FormatError(f"No stored view has the shape {shape}.")
    try:
        declared = zstandard.get_frame_parameters(packed).content_size
        if declared != n_cells:  # checked first: the decoder allocates what the header declares
            raise FormatError(
                f"The stored view does not have the {n_cells} cells of shape {shape}: "
                "it is damaged or was packed on another grid."
            )
        steps = zstandard.ZstdDecompressor().decompress(
            packed, max_output_size=n_cells, allow_extra_data=False
        )
    except zstandard.ZstdError as error:
        raise FormatError("The stored view is damaged and cannot be unpacked.") from error
    if len(steps) != n_cells:
        raise FormatError("The stored view is damaged: it ends too early.")
    grid = np.frombuffer(steps, dtype=np.uint8).reshape(shape)
    return np.asarray(grid / np.float32(STEPS), dtype=np.float32)
