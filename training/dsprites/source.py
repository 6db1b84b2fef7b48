"""dSprites: the public file, or our own re-rendering of the same grid if it is missing.

Matthey et al. 2017: 3 shapes x 6 scales x 40 orientations x 32 x 32 positions, 64x64 pixels, black
and white, each combination once. Bit-packed in memory, 377 MB instead of 12 GB of float32.
"""

from __future__ import annotations

import itertools
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32, Float64, UInt8

from glitch.errors import FormatError

FACTOR_NAMES = ("shape", "scale", "orientation", "x", "y")
FACTOR_SIZES = (3, 6, 40, 32, 32)
N_IMAGES = int(np.prod(FACTOR_SIZES))
SIDE = 64
PUBLIC_FILE = "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz"

# Geometry measured on published sample images, pixels at scale 1. The heart's outline is its
# radius at evenly spaced polar angles from -90 (up) to 90 degrees (down), mirrored left to right.
_FIRST_CENTRE, _CENTRE_RANGE = 15.5, 32.0
_SQUARE_HALF_SIDE = 9.6
_ELLIPSE_SEMI_AXES = (12.75, 7.25)
# fmt: off
_HEART_RADII = np.array([
    5.7, 6.9, 8, 8.65, 9.5, 10.1, 10.2, 10.8, 11, 11.1, 11.1, 11.1, 11.1, 11.3, 11, 10.75, 10.55,
    10.15, 9.8, 9.4, 8.95, 8.55, 8.15, 7.95, 7.4, 7.1, 6.8, 6.6, 6.4, 6.05, 6.25, 5.8, 5.75, 5.75,
    5.75, 5.75, 5.75, 6.35, 6.05, 6.4, 6.65, 6.75, 7.5, 7.8, 8.75,
])
# fmt: on
_HEART_ANGLES = (np.arange(_HEART_RADII.size) + 0.5) / _HEART_RADII.size * np.pi - np.pi / 2
_PATCH = 30  # every sprite, at any rotation, fits into a patch of this many pixels

Packed = UInt8[np.ndarray, "image byte"]
Points = Float64[np.ndarray, "..."]


@dataclass(frozen=True, eq=False)
class DSprites:
    """All 737,280 images (or a part), bit-packed in the public file's order (y varies fastest).

    Attributes:
        packed: uint8 (image, 512), eight pixels per byte, row by row.
        is_rerendered: True for our own rendering; every result then states this.
    """

    packed: Packed
    is_rerendered: bool

    def images(self, indices: np.ndarray) -> Float32[np.ndarray, "batch 1 64 64"]:
        """Return images by flat index, float32 in {0, 1}."""
        pixels = np.unpackbits(self.packed[indices], axis=1)
        return pixels.reshape(-1, 1, SIDE, SIDE).astype(np.float32)


def load_dsprites(path: Path, progress: Callable[[int], None] = lambda _: None) -> DSprites:
    """Read the public ``.npz`` in slices, without unpickling its metadata.

    Raises:
        FormatError: if the file is absent, damaged, or its images are not the dSprites grid.
    """
    if not path.is_file():
        raise FormatError(
            f"There is no dSprites file at {path}: download {PUBLIC_FILE} from the repository "
            "deepmind/dsprites-dataset, or leave the path out to use our re-rendering."
        )
    packed = np.empty((N_IMAGES, SIDE * SIDE // 8), dtype=np.uint8)
    try:
        with zipfile.ZipFile(path) as archive, archive.open("imgs.npy") as member:
            version = np.lib.format.read_magic(member)
            read_header = {
                (1, 0): np.lib.format.read_array_header_1_0,
                (2, 0): np.lib.format.read_array_header_2_0,
            }[version]
            shape, is_fortran, dtype = read_header(member)
            if shape != (N_IMAGES, SIDE, SIDE) or dtype != np.uint8 or is_fortran:
                raise FormatError(
                    f"{path.name} holds images of shape {shape} and type {dtype}, "
                    f"not the dSprites grid {(N_IMAGES, SIDE, SIDE)} of uint8: download it again."
                )
            step = N_IMAGES // 720
            for start in range(0, N_IMAGES, step):
                raw = member.read(step * SIDE * SIDE)
                pixels = np.frombuffer(raw, dtype=np.uint8).reshape(step, -1)
                packed[start : start + step] = np.packbits(pixels > 0, axis=1)
                progress(step)
    except (zipfile.BadZipFile, KeyError, EOFError, ValueError) as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(
            f"{path.name} is not a whole dSprites archive ({error}): download it again."
        ) from error
    return DSprites(packed, is_rerendered=False)


def render_dsprites(
    progress: Callable[[int], None] = lambda _: None, *, orientation_stride: int = 1
) -> DSprites:
    """Render the whole grid, or every n-th orientation of it.

    Args:
        progress: called with the number of images added.
        orientation_stride: keep only every n-th orientation, in the same order.
    """
    n_shapes, n_scales, n_orientations = FACTOR_SIZES[:3]
    per_pose = FACTOR_SIZES[3] * FACTOR_SIZES[4]
    chosen = range(0, n_orientations, orientation_stride)
    poses = list(itertools.product(range(n_shapes), range(n_scales), chosen))
    packed = np.empty((len(poses) * per_pose, SIDE * SIDE // 8), dtype=np.uint8)
    for index, (shape, scale, orientation) in enumerate(poses):
        pixels = render_pose(shape, scale, orientation).reshape(per_pose, -1)
        packed[index * per_pose : (index + 1) * per_pose] = np.packbits(pixels, axis=1)
        progress(per_pose)
    return DSprites(packed, is_rerendered=True)


def render_pose(shape: int, scale: int, orientation: int) -> Bool[np.ndarray, "x y row column"]:
    """Render one shape, scale and orientation at all 32 x 32 positions.

    A pixel is white if its centre is inside the outline.
    """
    n_x, n_y = FACTOR_SIZES[3:]
    size = np.linspace(0.5, 1, FACTOR_SIZES[1])[scale]
    angle = np.linspace(0, 2 * np.pi, FACTOR_SIZES[2])[orientation]
    centres = _FIRST_CENTRE + _CENTRE_RANGE * np.linspace(0, 1, n_x)
    first_pixels = np.floor(centres).astype(int) - _PATCH // 2 + 1
    offsets = first_pixels[:, None] + np.arange(_PATCH) - centres[:, None]  # (position, pixel)
    across = offsets[:, None, None, :]  # (x, 1, 1, column)
    down = offsets[None, :, :, None]  # (1, y, row, 1)
    right = (np.cos(angle) * across - np.sin(angle) * down) / size
    below = (np.sin(angle) * across + np.cos(angle) * down) / size
    patches = _OUTLINES[shape](right, below)
    images = np.zeros((n_x, n_y, SIDE, SIDE), dtype=np.bool_)
    for x, column in enumerate(first_pixels):
        for y, row in enumerate(first_pixels):
            images[x, y, row : row + _PATCH, column : column + _PATCH] = patches[x, y]
    return images


def _is_in_square(right: Points, below: Points) -> Bool[np.ndarray, ...]:
    return np.asarray(np.maximum(np.abs(right), np.abs(below)) <= _SQUARE_HALF_SIDE)


def _is_in_ellipse(right: Points, below: Points) -> Bool[np.ndarray, ...]:
    wide, high = _ELLIPSE_SEMI_AXES
    return (right / wide) ** 2 + (below / high) ** 2 <= 1


def _is_in_heart(right: Points, below: Points) -> Bool[np.ndarray, ...]:
    angles = np.arctan2(below, np.abs(right))
    return np.asarray(np.hypot(right, below) <= np.interp(angles, _HEART_ANGLES, _HEART_RADII))


_OUTLINES = (_is_in_square, _is_in_ellipse, _is_in_heart)
