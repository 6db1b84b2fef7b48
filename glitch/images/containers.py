"""Named arrays out of a stranger's npy, npz or HDF5 file, within a stated size, never unpickled.

Shapes are read from headers first, and what they declare decides whether a byte is decoded.
"""

from __future__ import annotations

import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import IO, NoReturn

import h5py
import numpy as np
from jaxtyping import Shaped

from glitch.errors import FormatError, GlitchError, TooLargeError
from glitch.hdf5 import dataset_names, dataset_shape, find_dataset, read_whole

MAX_ARRAY_BYTES = 128 * 2**20
_NPY = b"\x93NUMPY"
_ZIP = b"PK\x03\x04"
_KINDS = "fiub"  # real numbers and booleans; objects would need a pickle
_READ_ERRORS = (
    OSError,
    ValueError,
    TypeError,
    KeyError,
    EOFError,
    RuntimeError,
    NotImplementedError,
    zipfile.BadZipFile,
    zlib.error,
)

Array = Shaped[np.ndarray, "..."]


class Container(ABC):
    """A file that holds arrays by name. An npy file holds one, whose name is empty."""

    @abstractmethod
    def names(self) -> frozenset[str]:
        """The arrays that the file holds."""

    @abstractmethod
    def n_dimensions(self, name: str) -> int:
        """Number of axes of an array, from its header."""

    @abstractmethod
    def read(self, name: str) -> Array:
        """The array, if its declared size is within bounds."""


@contextmanager
def open_container(path: Path, file_name: str) -> Iterator[Container]:
    """Open an npy, npz or HDF5 file, told by its content.

    Raises:
        FormatError: the file is empty, damaged, or of another kind; also for damage met inside
            the block.
        TooLargeError: an array that is asked for declares more than MAX_ARRAY_BYTES.
    """
    try:
        with path.open("rb") as file:
            magic = file.read(8)
        if magic.startswith(_NPY):
            with path.open("rb") as file:
                yield _Npy(file)
        elif magic.startswith(_ZIP):
            with zipfile.ZipFile(path) as archive:
                yield _Npz(archive)
        elif magic and h5py.is_hdf5(path):
            with h5py.File(path, "r") as tree:
                yield _Hdf5(tree)
        else:
            _refuse(file_name, is_empty=not magic)
    except GlitchError:
        raise
    except _READ_ERRORS as error:
        raise FormatError(
            f"{file_name!r} is truncated or damaged and cannot be read. Send the file again."
        ) from error


def _refuse(file_name: str, *, is_empty: bool) -> NoReturn:
    if is_empty:
        raise FormatError("The file is empty.")
    raise FormatError(f"{file_name!r} is no npy, npz or HDF5 file.")


def _check(name: str, shape: tuple[int, ...], dtype: np.dtype) -> int:
    """Bytes of an array that is fit to be read."""
    if dtype.kind not in _KINDS or dtype.hasobject:
        raise FormatError(
            f"The array {name!r} does not hold plain numbers (its type is {dtype}). "
            "Pickled objects are never read."
        )
    n_bytes = prod(shape) * dtype.itemsize
    if n_bytes > MAX_ARRAY_BYTES:
        raise TooLargeError(
            f"The array {name!r} declares {n_bytes:,} bytes; at most {MAX_ARRAY_BYTES:,} are read."
        )
    return n_bytes


Stream = IO[bytes] | zipfile.ZipExtFile  # what ZipFile.open gives is no typing.IO at run time
Header = tuple[tuple[int, ...], bool, np.dtype]


def _npy_header(stream: Stream) -> Header:
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    else:
        shape, is_fortran, dtype = np.lib.format.read_array_header_2_0(stream)
    return shape, is_fortran, dtype


def _npy_array(name: str, stream: Stream) -> Array:
    shape, is_fortran, dtype = _npy_header(stream)
    n_bytes = _check(name, shape, dtype)
    data = stream.read(n_bytes)
    if len(data) != n_bytes:
        raise FormatError(f"The array {name!r} is truncated. Send the file again.")
    return np.frombuffer(data, dtype=dtype).reshape(shape, order="F" if is_fortran else "C")


class _Npy(Container):
    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def names(self) -> frozenset[str]:
        return frozenset({""})

    def n_dimensions(self, name: str) -> int:  # noqa: ARG002 -- an npy has one array, unnamed
        self._file.seek(0)
        return len(_npy_header(self._file)[0])

    def read(self, name: str) -> Array:
        self._file.seek(0)
        return _npy_array(name, self._file)


class _Npz(Container):
    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive

    def names(self) -> frozenset[str]:
        members = self._archive.namelist()
        return frozenset(member[:-4] for member in members if member.endswith(".npy"))

    def n_dimensions(self, name: str) -> int:
        with self._archive.open(f"{name}.npy") as stream:
            return len(_npy_header(stream)[0])

    def read(self, name: str) -> Array:
        with self._archive.open(f"{name}.npy") as stream:
            return _npy_array(name, stream)


class _Hdf5(Container):
    def __init__(self, tree: h5py.File) -> None:
        self._tree = tree

    def names(self) -> frozenset[str]:
        return frozenset(dataset_names(self._tree))

    def n_dimensions(self, name: str) -> int:
        return len(dataset_shape(self._dataset(name)))

    def read(self, name: str) -> Array:
        dataset = self._dataset(name)
        _check(name, dataset_shape(dataset), dataset.dtype)
        return read_whole(dataset, most_bytes=MAX_ARRAY_BYTES)

    def _dataset(self, name: str) -> h5py.Dataset:
        dataset = find_dataset(self._tree, name)
        if dataset is None:
            raise FormatError(f"The file holds no array {name!r}.")
        return dataset
