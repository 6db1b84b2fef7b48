"""Read named arrays from an untrusted npy, npz or HDF5 file: size-limited, never unpickled.

Shapes are read from headers first, and decide whether anything is decoded.
"""

from __future__ import annotations

import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import IO, NoReturn

import h5py
import numpy as np
from jaxtyping import Shaped

from glitch.errors import FormatError, TooLargeError
from glitch.files.damage import damage_as
from glitch.files.hdf5 import dataset_shape, find_dataset, read_whole
from glitch.files.npy import Stream, open_npz_archive, read_npy_header, read_npy_values

MAX_VALUES = 1 << 22  # per array; it is converted to float64: 32 MiB
_NPY = b"\x93NUMPY"
_ZIP = b"PK\x03\x04"
_KINDS = "fiub"  # real numbers and booleans; objects would need a pickle
Array = Shaped[np.ndarray, "..."]


class Container(ABC):
    """A file that holds arrays by name. An npy file holds a single array, whose name is empty."""

    @abstractmethod
    def has(self, name: str) -> bool:
        """Return whether the file holds an array of this name."""

    @abstractmethod
    def n_dimensions(self, name: str) -> int:
        """Return the number of axes of an array, from its header."""

    @abstractmethod
    def read(self, name: str) -> Array:
        """Return the array, if its declared size is within the limit."""


@contextmanager
def open_container(path: Path, file_name: str) -> Iterator[Container]:
    """Open an npy, npz or HDF5 file, recognised by its content.

    Raises:
        FormatError: the file is empty, damaged or in another format; also if damage is met inside
            the block.
        TooLargeError: an array that is read declares more than MAX_VALUES values.
    """
    sentence = f"{file_name!r} is truncated or damaged and cannot be read. Send the file again."
    with damage_as(sentence):
        with path.open("rb") as file:
            magic = file.read(8)
        if magic.startswith(_NPY):
            with path.open("rb") as file:
                yield _Npy(file)
        elif magic.startswith(_ZIP):
            with open_npz_archive(path) as archive:
                yield _Npz(archive)
        elif magic and h5py.is_hdf5(path):
            with h5py.File(path, "r") as tree:
                yield _Hdf5(tree)
        else:
            _refuse(file_name, is_empty=not magic)


def _refuse(file_name: str, *, is_empty: bool) -> NoReturn:
    if is_empty:
        raise FormatError("The file is empty.")
    raise FormatError(f"{file_name!r} is not an npy, npz or HDF5 file.")


def check_array(name: str, shape: tuple[int, ...], dtype: np.dtype) -> None:
    """Refuse an array that cannot hold views or their axes.

    Raises:
        FormatError: if it does not hold plain numbers.
        TooLargeError: if it declares more than MAX_VALUES values.
    """
    if dtype.kind not in _KINDS or dtype.hasobject:
        raise FormatError(
            f"The array {name!r} does not hold plain numbers (its type is {dtype}). "
            "Pickled objects are never read."
        )
    if prod(shape) > MAX_VALUES:
        raise TooLargeError(
            f"The array {name!r} declares {prod(shape):,} values; at most {MAX_VALUES:,} are read. "
            "Save it on a coarser grid."
        )


def _npy_array(name: str, stream: Stream) -> Array:
    header = read_npy_header(stream)
    check_array(name, header.shape, header.dtype)
    return read_npy_values(stream, header)


class _Npy(Container):
    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def has(self, name: str) -> bool:
        return not name

    def n_dimensions(self, name: str) -> int:  # noqa: ARG002 -- an npy has one array, unnamed
        self._file.seek(0)
        return len(read_npy_header(self._file).shape)

    def read(self, name: str) -> Array:
        self._file.seek(0)
        return _npy_array(name, self._file)


class _Npz(Container):
    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive

    def has(self, name: str) -> bool:
        return f"{name}.npy" in self._archive.NameToInfo

    def n_dimensions(self, name: str) -> int:
        with self._archive.open(f"{name}.npy") as stream:
            return len(read_npy_header(stream).shape)

    def read(self, name: str) -> Array:
        with self._archive.open(f"{name}.npy") as stream:
            return _npy_array(name, stream)


class _Hdf5(Container):
    def __init__(self, tree: h5py.File) -> None:
        self._tree = tree

    def has(self, name: str) -> bool:
        return bool(name) and find_dataset(self._tree, name) is not None

    def n_dimensions(self, name: str) -> int:
        return len(dataset_shape(self._dataset(name)))

    def read(self, name: str) -> Array:
        dataset = self._dataset(name)
        check_array(name, dataset_shape(dataset), dataset.dtype)
        return read_whole(dataset, max_bytes=MAX_VALUES * dataset.dtype.itemsize)

    def _dataset(self, name: str) -> h5py.Dataset:
        dataset = find_dataset(self._tree, name)
        if dataset is None:
            raise FormatError(f"The file holds no array {name!r}.")
        return dataset
