"""NumPy's npy and npz formats from untrusted clients: size-limited, checked, never unpickled."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from math import prod
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Shaped

from glitch.errors import FormatError

_MAGIC = b"\x93NUMPY"
_MAX_HEADER_BYTES = 16_384  # NumPy writes 118 bytes
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_LENGTH_BYTES = {1: 2, 2: 4, 3: 4}  # size of the header's length field, by version

Values = Shaped[np.ndarray, "..."]


@runtime_checkable
class Stream(Protocol):
    """A readable binary stream: a file or a member of a zip."""

    def read(self, size: int, /) -> bytes: ...


class NpyHeader(NamedTuple):
    """The declarations at the start of an npy stream."""

    shape: tuple[int, ...]
    is_fortran: bool
    dtype: np.dtype

    @property
    def n_values(self) -> int:
        """Number of values declared."""
        return prod(self.shape)

    @property
    def n_bytes(self) -> int:
        """Size of the values in the stream, in bytes."""
        return self.n_values * self.dtype.itemsize


@contextmanager
def open_npz_archive(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open an npz as NumPy writes it: stored or deflated.

    Other compressions are refused because Python unpacks bzip2 and LZMA by the block, however
    little is read: 323 bytes of bzip2 may become 128 MiB at once.

    Raises:
        zipfile.BadZipFile: if the archive is damaged, a member is compressed in another way, or two
            members share a name. The caller, who knows the file's name, turns this into a sentence.
    """
    with zipfile.ZipFile(path) as archive:
        if any(info.compress_type not in _COMPRESSIONS for info in archive.infolist()):
            raise zipfile.BadZipFile("a member is compressed in an unusual way")
        if len(archive.NameToInfo) < len(archive.infolist()):
            raise zipfile.BadZipFile("two members have one name")
        yield archive


def read_npy_header(stream: Stream) -> NpyHeader:
    """Read the header at the beginning of an npy stream, and leave the stream at the values.

    Raises:
        ValueError: if there is no header, it is longer than any that NumPy writes, or its shape is
            impossible. The caller, who knows the file's name, turns this into a sentence.
    """
    begin = stream.read(8)
    version = begin[6] if len(begin) == 8 and begin.startswith(_MAGIC) else 0
    if version not in _LENGTH_BYTES:
        raise ValueError("this is no npy")
    length_bytes = stream.read(_LENGTH_BYTES[version])
    length = int.from_bytes(length_bytes, "little")
    if length > _MAX_HEADER_BYTES:
        raise ValueError(f"the header declares {length} bytes")
    text = length_bytes + stream.read(length)
    read = np.lib.format.read_array_header_1_0 if version == 1 else _read_header_2_0
    try:
        shape, is_fortran, dtype = read(BytesIO(text))
    except Exception as error:  # parsing it as a Python literal fails in many ways
        raise ValueError("the header cannot be parsed") from error
    if min(shape, default=0) < 0:
        raise ValueError(f"the header declares the shape {shape}")
    return NpyHeader(tuple(shape), bool(is_fortran), dtype)


def read_npy_values(stream: Stream, header: NpyHeader) -> Values:
    """Read the values that follow a header; the caller must have checked their size.

    Raises:
        FormatError: if they are Python objects.
        ValueError: if the stream ends too early.
    """
    if header.dtype.hasobject:
        raise FormatError("An array holds pickled Python objects, which are never read.")
    data = stream.read(header.n_bytes)
    if len(data) != header.n_bytes:
        raise ValueError("the values end too early")
    values = np.frombuffer(data, dtype=header.dtype)  # fails for zero-sized types such as "S0"
    return values.reshape(header.shape, order="F" if header.is_fortran else "C")


def _read_header_2_0(stream: BytesIO) -> tuple[tuple[int, ...], bool, np.dtype]:
    return np.lib.format.read_array_header_2_0(stream)
