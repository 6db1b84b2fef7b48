"""Sets of pictures in memory: bits for black and white, bytes for grey."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Float32, UInt8
from PIL import Image, UnidentifiedImageError

from glitch.errors import FormatError
from training.dsprites.architecture import PicturesTensor

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp"})


class PictureSet(Protocol):
    """Pictures by flat index."""

    @property
    def name(self) -> str:
        """Name of the data in results, which states if it is re-rendered."""

    @property
    def side(self) -> int:
        """Pixels per side."""

    def __len__(self) -> int:
        """Return the number of pictures."""

    def pictures(self, indices: np.ndarray) -> Float32[np.ndarray, "batch 1 side side"]:
        """Return pictures by index, in [0, 1]."""


@dataclass(frozen=True, eq=False)
class PackedPictures:
    """Black and white pictures, eight pixels per byte, row by row; an array or a mapped file."""

    packed: UInt8[np.ndarray, "picture byte"]
    side: int
    name: str

    def __len__(self) -> int:
        return len(self.packed)

    def pictures(self, indices: np.ndarray) -> Float32[np.ndarray, "batch 1 side side"]:
        """Return pictures by index, each pixel 0 or 1."""
        pixels = np.unpackbits(self.packed[indices], axis=1)
        return pixels.reshape(-1, 1, self.side, self.side).astype(np.float32)


@dataclass(frozen=True, eq=False)
class GreyPictures:
    """Grey pictures of one size."""

    values: UInt8[np.ndarray, "picture row column"]
    name: str

    @property
    def side(self) -> int:
        """Pixels per side."""
        return int(self.values.shape[1])

    def __len__(self) -> int:
        return len(self.values)

    def pictures(self, indices: np.ndarray) -> Float32[np.ndarray, "batch 1 side side"]:
        """Return pictures by index, in [0, 1]."""
        grey: np.ndarray = self.values[indices][:, None].astype(np.float32)
        return grey / np.float32(255)


def read_picture_folder(folder: Path, side: int, *, limit: int | None = None) -> GreyPictures:
    """Read every picture in a folder and its sub-folders, in grey, scaled to ``side`` pixels per
    side.

    Args:
        folder: for example the unpacked 3D Chairs ``rendered_chairs``.
        side: pixels.
        limit: largest number of pictures, in the order of their paths.

    Raises:
        FormatError: if there is no such folder, no picture in it, or one cannot be read.
    """
    if not folder.is_dir():
        raise FormatError(f"There is no folder of pictures {folder}.")
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)[:limit]
    if not paths:
        raise FormatError(
            f"{folder} contains no picture: files must end in {', '.join(sorted(SUFFIXES))}."
        )
    values = np.empty((len(paths), side, side), dtype=np.uint8)
    for index, path in enumerate(paths):
        try:
            with Image.open(path) as picture:
                grey = picture.convert("L").resize((side, side), Image.Resampling.BOX)
        except (UnidentifiedImageError, OSError) as error:
            raise FormatError(f"{path} is not a readable picture: remove or replace it.") from error
        values[index] = np.asarray(grey)
    return GreyPictures(values, f"pictures of {folder.name}")


class PictureSource:
    """Batches drawn uniformly, with replacement: a pure function of (set, seed, step)."""

    def __init__(self, pictures: PictureSet, *, batch_size: int, seed: int) -> None:
        self._pictures, self._batch_size, self._seed = pictures, batch_size, seed

    def batch(self, step: int) -> PicturesTensor:
        """Return the batch of a step, always the same for the same step."""
        rng = np.random.default_rng([self._seed, step])
        indices = rng.integers(len(self._pictures), size=self._batch_size)
        batch = torch.from_numpy(self._pictures.pictures(indices))
        return batch.contiguous(memory_format=torch.channels_last)
