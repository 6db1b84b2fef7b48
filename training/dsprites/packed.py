"""dSprites as a set of pictures of 64 or 32 pixels per side, read or rendered once, then mapped."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from glitch.errors import FormatError
from training.dsprites.sets import PackedPictures
from training.dsprites.source import FACTOR_SIZES, SIDE, load_dsprites, render_dsprites

PUBLIC_NAME, RERENDERED_NAME = "dSprites (public file)", "dSprites (re-rendered)"
_CHUNK = 8192


@dataclass(frozen=True, eq=False)
class DSpritesPictures(PackedPictures):
    """dSprites in the order of its factors: shape, scale, orientation, x, y (fastest)."""

    factor_sizes: tuple[int, ...] = FACTOR_SIZES


def dsprites_name(*, npz: Path | None = None, orientation_stride: int = 1) -> str:
    """Return the data's name in results, which states if it is re-rendered or a part."""
    name = RERENDERED_NAME if npz is None else PUBLIC_NAME
    n_orientations = len(range(0, FACTOR_SIZES[2], orientation_stride))
    return name if orientation_stride == 1 else f"{name}, {n_orientations} orientations"


def open_dsprites(
    cache: Path,
    *,
    side: int = SIDE,
    npz: Path | None = None,
    orientation_stride: int = 1,
    on_progress: Callable[[int], None] = lambda _images: None,
) -> DSpritesPictures:
    """Open all 737,280 pictures, bit-packed (377 MB at 64 pixels, 94 MB at 32), mapped from
    ``cache``.

    Several parallel runs then share one copy in memory.

    Args:
        cache: folder of the packed file, written by the first call.
        side: 64, or 32, where a pixel is white if at least two of its four are.
        npz: the public file; our own rendering of the same grid if None.
        orientation_stride: keep only every n-th orientation.
        on_progress: called with the number of pictures just read or rendered.

    Raises:
        FormatError: if the public file is missing, damaged or not dSprites, or the packed file is
            damaged.
    """
    kind = "rerendered" if npz is None else "public"
    name = dsprites_name(npz=npz, orientation_stride=orientation_stride)
    n_orientations = len(range(0, FACTOR_SIZES[2], orientation_stride))
    sizes = (*FACTOR_SIZES[:2], n_orientations, *FACTOR_SIZES[3:])
    if orientation_stride > 1:
        kind = f"{kind}-orientation{orientation_stride}"
    path = cache / f"dsprites-{kind}-{side}.npy"
    if not path.exists():
        packed = _packed(npz, orientation_stride, on_progress)
        packed = packed if side == SIDE else halve(packed)
        cache.mkdir(parents=True, exist_ok=True)
        # Named by process, so that two processes do not write to the same file.
        partial = path.with_suffix(f".{os.getpid()}.partial")
        with partial.open("wb") as file:
            np.save(file, packed, allow_pickle=False)
        partial.replace(path)  # never leaves a half-written file
    try:
        packed = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise FormatError(f"{path} is damaged: delete it, and it will be made again.") from error
    if packed.shape != (np.prod(sizes), side * side // 8) or packed.dtype != np.uint8:
        raise FormatError(
            f"{path} is not the packed dSprites grid: delete it, and it will be made again."
        )
    return DSpritesPictures(packed, side, name, sizes)


def _packed(
    npz: Path | None, orientation_stride: int, on_progress: Callable[[int], None]
) -> np.ndarray:
    if npz is None:
        return render_dsprites(on_progress, orientation_stride=orientation_stride).packed
    packed = load_dsprites(npz, on_progress).packed
    grid = packed.reshape(*FACTOR_SIZES, packed.shape[1])[:, :, ::orientation_stride]
    return grid.reshape(-1, packed.shape[1])


def halve(packed: np.ndarray) -> np.ndarray:
    """Halve the side of packed pictures: a pixel is white if at least two of its four are.

    Pixels stay black or white, so that the Bernoulli likelihood is valid.
    """
    n_bytes = packed.shape[1] // 4
    halved = np.empty((len(packed), n_bytes), dtype=np.uint8)
    side = int(np.sqrt(packed.shape[1] * 8))
    for start in range(0, len(packed), _CHUNK):
        pixels = np.unpackbits(packed[start : start + _CHUNK], axis=1)
        cells = pixels.reshape(-1, side // 2, 2, side // 2, 2).sum(axis=(2, 4), dtype=np.uint8)
        halved[start : start + _CHUNK] = np.packbits((cells >= 2).reshape(len(cells), -1), axis=1)
    return halved
