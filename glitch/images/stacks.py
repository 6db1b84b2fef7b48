"""Read views of many glitches from one HDF5 or npz file, one glitch at a time.

The file holds ``views`` (fractions of the clip) or ``energy`` with the axes (glitch, view, freq,
time), optionally ``observed`` (glitch, view, freq), the shared axes ``durations_s``,
``frequency_hz`` and ``time_s`` as for one glitch, and columns with one value per glitch such as
``gps_time``, ``ifo``, ``gravityspy_id``, ``label``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path

import h5py
import numpy as np

from glitch.errors import FormatError, GlitchError, TooLargeError
from glitch.files.damage import DAMAGE, damage_as
from glitch.files.hdf5 import (
    dataset_names,
    dataset_shape,
    find_dataset,
    read_cell,
    read_rows,
    read_whole,
)
from glitch.files.npy import Stream, open_npz_archive, read_npy_header
from glitch.images.arrays import views_in
from glitch.images.containers import MAX_VALUES, Array, Container, check_array
from glitch.tables.columns import has_times
from glitch.tables.times import is_coarse, why_coarse
from glitch.views import Preprocessing, Views

_N_AXES = 4  # glitch, view, freq, time
_VALUES = ("views", "energy")
_PER_GLITCH = frozenset({*_VALUES, "observed"})
_MAX_TEXT = 1000
_MAX_CELL_BYTES = 4 * _MAX_TEXT  # bytes of one value: up to four per character of text
_PIECE = 1 << 20
_HDF5 = b"\x89HDF\r\n\x1a\n"


class ViewStack:
    """An open file with the views of many glitches."""

    def __init__(self, tree: h5py.File) -> None:
        self._tree = tree
        shapes = [
            dataset_shape(dataset)
            for dataset in (find_dataset(tree, name) for name in _VALUES)
            if dataset is not None
        ]
        if not shapes or len(shapes[0]) != _N_AXES:
            raise FormatError(
                "The file holds no array 'views' or 'energy' with the axes glitch, view, freq, "
                "time."
            )
        self._count = shapes[0][0]

    def __len__(self) -> int:
        return self._count

    def columns(self) -> list[str]:
        """Return the names of datasets with one value per glitch.

        Raises:
            FormatError: if times are stored only as 32-bit floats.
        """
        names = [name for name in dataset_names(self._tree) if self._is_column(name)]
        coarse = [name for name in names if is_coarse(name, _dataset(self._tree, name).dtype)]
        fine = [name for name in names if name not in coarse]
        if coarse and not has_times(fine):
            raise FormatError(why_coarse(coarse[0]))
        return fine

    def _is_column(self, name: str) -> bool:
        dataset = _dataset(self._tree, name)
        is_plain = (
            dataset.dtype.kind in "fiuS" or h5py.check_string_dtype(dataset.dtype) is not None
        )
        return is_plain and dataset_shape(dataset) == (self._count,)

    def cell(self, column: str, index: int) -> str | float | int:
        """Return one glitch's value in a column."""
        value = read_cell(_dataset(self._tree, column), index)
        if isinstance(value, bytes):
            value = value.decode("utf-8", "replace")
        if isinstance(value, str):
            return value[:_MAX_TEXT]
        if not isinstance(value, np.generic):
            raise FormatError(f"The column {column!r} holds neither numbers nor text.")
        plain: float | int = value.item()
        return plain

    def views(self, index: int, preprocessing: Preprocessing) -> Views:
        """Read the views of one glitch, averaged onto the grid.

        Raises:
            FormatError: as in ``glitch.images.read_views``, about this glitch only.
            TooLargeError: an array declares more values than are ever read.
        """
        with damage_as(f"The views of glitch {index} in the file are damaged."):
            return views_in(_OneOf(self._tree, index), preprocessing)


class _OneOf(Container):
    """One glitch of a stack, presented like a file of that glitch alone."""

    def __init__(self, tree: h5py.File, index: int) -> None:
        self._tree = tree
        self._index = index

    def has(self, name: str) -> bool:
        return bool(name) and find_dataset(self._tree, name) is not None

    def n_dimensions(self, name: str) -> int:
        return len(dataset_shape(_dataset(self._tree, name))) - (name in _PER_GLITCH)

    def read(self, name: str) -> Array:
        dataset = _dataset(self._tree, name)
        shape = dataset_shape(dataset)
        is_shared = name not in _PER_GLITCH
        check_array(name, shape if is_shared else shape[1:], dataset.dtype)
        max_bytes = MAX_VALUES * dataset.dtype.itemsize
        if is_shared:
            return read_whole(dataset, max_bytes=max_bytes)
        return np.asarray(read_rows(dataset, self._index, self._index + 1, max_bytes=max_bytes)[0])


def _dataset(tree: h5py.File, name: str) -> h5py.Dataset:
    dataset = find_dataset(tree, name)
    if dataset is None:
        raise FormatError(f"The file holds no array {name!r}.")
    return dataset


@contextmanager
def open_stack(path: Path) -> Iterator[ViewStack]:
    """Open an HDF5 file of many glitches.

    Raises:
        FormatError: if the file is something else, or damaged.
    """
    sentence = "The HDF5 file is truncated or damaged: send it again."
    with damage_as(sentence), h5py.File(path, "r") as tree:
        yield ViewStack(tree)


def holds_stack(path: Path) -> bool:
    """Return whether a file is HDF5 with the views of many glitches."""
    # Only at the start of the file: HDF5's own search would also find a file that comes first in a
    # tar.
    with path.open("rb") as file:
        if file.read(len(_HDF5)) != _HDF5:
            return False
    try:
        with open_stack(path):
            return True
    except FormatError:
        return False


def is_npz_stack(path: Path) -> bool:
    """Return whether a file is an npz with the views of many glitches."""
    try:
        with open_npz_archive(path) as archive:
            names = archive.namelist()
            if not names or not all(name.endswith(".npy") for name in names):
                return False
            for name in _VALUES:
                if f"{name}.npy" in names:
                    with archive.open(f"{name}.npy") as stream:
                        return len(read_npy_header(stream).shape) == _N_AXES
    except DAMAGE:
        return False
    return False


def npz_to_hdf5(
    path: Path, target: Path, max_bytes: int, heartbeat: Callable[[], None] | None = None
) -> None:
    """Copy an npz, whose compressed arrays can be read only from the start, to HDF5.

    A piece at a time, so that memory does not grow with the file. ``heartbeat`` is called for every
    piece and may stop the copying by raising an exception.

    Raises:
        FormatError: if the npz is damaged, or holds pickled objects.
        TooLargeError: if its arrays declare more than ``max_bytes``.
    """
    total = 0
    part = target.with_name(target.name + ".part")
    try:
        with open_npz_archive(path) as archive, h5py.File(part, "w") as tree:
            for name in archive.namelist():
                with archive.open(name) as stream:
                    total += _copy(
                        name.removesuffix(".npy"), stream, tree, max_bytes - total, heartbeat
                    )
    except GlitchError:
        raise
    except DAMAGE as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # an error of the disk, not of the file
        raise FormatError("The npz is truncated or damaged: send it again.") from error
    part.replace(target)


def _copy(
    name: str, stream: Stream, tree: h5py.File, room: int, heartbeat: Callable[[], None] | None
) -> int:
    header = read_npy_header(stream)
    shape, is_fortran, dtype = header
    n_bytes = header.n_bytes
    if dtype.hasobject or dtype.kind not in "fiubSU":
        raise FormatError(
            f"The array {name!r} does not hold plain numbers or text (its type: {dtype})."
        )
    if n_bytes > room:
        raise TooLargeError(
            f"The arrays of the npz declare {n_bytes:,} bytes: send fewer glitches."
        )
    if dtype.itemsize > _MAX_CELL_BYTES or prod(shape[1:]) > MAX_VALUES:
        raise TooLargeError(
            f"The array {name!r} declares too much for one glitch: at most {MAX_VALUES:,} values "
            f"of {_MAX_CELL_BYTES:,} bytes are read."
        )
    if not n_bytes or not shape or len(shape) > _N_AXES or (is_fortran and len(shape) > 1):
        raise FormatError(f"The array {name!r} must be in C order and have 1 to 4 axes.")
    kept = np.dtype(f"S{max(dtype.itemsize, 1)}") if dtype.kind == "U" else dtype
    dataset = tree.create_dataset(name, shape, kept, chunks=(1, *shape[1:]) if shape[1:] else None)
    row_bytes = prod(shape[1:]) * dtype.itemsize
    rows = max(1, _PIECE // row_bytes)
    for start in range(0, shape[0], rows):
        if heartbeat is not None:
            heartbeat()
        count = min(rows, shape[0] - start)
        data = stream.read(count * row_bytes)
        if len(data) != count * row_bytes:
            raise FormatError(f"The array {name!r} is truncated. Send the file again.")
        block = np.frombuffer(data, dtype=dtype).reshape(count, *shape[1:])
        dataset[start : start + count] = np.char.encode(block, "utf-8") if kept != dtype else block
    return n_bytes
