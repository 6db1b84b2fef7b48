"""Strain from NumPy's npy and npz files, never unpickled, sized from headers before decoding."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedIOBase
from pathlib import Path
from typing import IO

import numpy as np

from glitch.detectors import detector_of_text
from glitch.errors import FormatError, TooLargeError
from glitch.strain.source import (
    Request,
    Samples,
    Source,
    check_kind,
    decimal_seconds,
)

_MAX_BYTES = 1 << 28  # of one array, decoded
_MAX_SCALAR_BYTES = 4096
_BLOCK = 1 << 20
_DAMAGE = (OSError, ValueError, EOFError, KeyError, SyntaxError, zipfile.BadZipFile, zlib.error)
_STRAIN_NAMES = ("strain", "values", "data")


@contextmanager
def open_npy(path: Path, request: Request) -> Iterator[Source]:
    """Open an npy file of one row of strain; it is mapped, not loaded.

    Raises:
        FormatError: if it is damaged or holds no real numbers.
    """
    with path.open("rb") as file:
        dtype, shape = _header(file, request)
        check_kind(dtype, shape, request)
        try:
            values = np.load(path, mmap_mode="r", allow_pickle=False)
        except _DAMAGE as error:
            raise _damaged(request) from error
    yield Source(
        n_samples=values.shape[0],
        sample_rate_hz=None,
        gps_start=None,
        ifo=None,
        channel=None,
        read=lambda first, last: np.array(values[first:last], dtype=np.float64),
    )


@contextmanager
def open_npz(path: Path, request: Request) -> Iterator[Source]:
    """Open an npz file with ``strain`` and, if it knows them, ``sample_rate_hz``, ``gps_start``.

    Raises:
        FormatError: if it is damaged, has no strain, or holds pickled objects.
        TooLargeError: if its strain would decode to more than 256 MiB.
    """
    try:
        archive = zipfile.ZipFile(path)
    except _DAMAGE as error:
        raise _damaged(request) from error
    with archive:
        name = npz_strain_name(archive)
        if name is None:
            raise FormatError(
                f"{request.shown_name} has no array called strain. Save it with "
                "np.savez(path, strain=..., sample_rate_hz=..., gps_start=...)."
            )
        member = archive.getinfo(name + ".npy")
        if member.file_size > _MAX_BYTES:
            raise TooLargeError(
                f"{request.shown_name} would decode to {member.file_size:,} bytes; at most "
                f"{_MAX_BYTES:,} are read. Cut the strain to the 64 s around the GPS time."
            )
        dtype, shape = _member_header(archive, name, request)
        check_kind(dtype, shape, request)
        rate = _scalar(archive, "sample_rate_hz", request)
        yield Source(
            n_samples=shape[0],
            sample_rate_hz=float(rate) if isinstance(rate, int | float) else None,
            gps_start=decimal_seconds(_scalar(archive, "gps_start", request)),
            ifo=detector_of_text(
                _text(archive, "ifo", request), _text(archive, "channel", request)
            ),
            channel=_text(archive, "channel", request),
            read=lambda first, last: _read_member(archive, name, first, last, request),
        )


def npz_strain_name(archive: zipfile.ZipFile) -> str | None:
    """Name of the array that holds strain, None if there is none."""
    names = {entry.removesuffix(".npy") for entry in archive.namelist()}
    return next((name for name in _STRAIN_NAMES if name in names), None)


def npy_header(file: IO[bytes] | BufferedIOBase) -> tuple[np.dtype, tuple[int, ...]]:
    """Type and shape that an npy stream declares; only its header is read.

    Raises:
        ValueError: if it has no valid header.
    """
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    else:
        shape, _, dtype = np.lib.format.read_array_header_2_0(file)
    return dtype, shape


def _header(file: IO[bytes] | BufferedIOBase, request: Request) -> tuple[np.dtype, tuple[int, ...]]:
    try:
        return npy_header(file)
    except _DAMAGE as error:
        raise _damaged(request) from error


def _member_header(
    archive: zipfile.ZipFile, name: str, request: Request
) -> tuple[np.dtype, tuple[int, ...]]:
    try:
        with archive.open(name + ".npy") as stream:
            return npy_header(stream)
    except (*_DAMAGE, RuntimeError, NotImplementedError) as error:
        raise _damaged(request) from error


def _read_member(
    archive: zipfile.ZipFile, name: str, first: int, last: int, request: Request
) -> Samples:
    """Decode up to the last sample asked for, keeping only what was asked for."""
    try:
        with archive.open(name + ".npy") as stream:
            dtype, _ = npy_header(stream)
            left = first * dtype.itemsize
            while left:
                skipped = len(stream.read(min(left, _BLOCK)))
                if not skipped:
                    raise _damaged(request)
                left -= skipped
            data = stream.read((last - first) * dtype.itemsize)
    except (*_DAMAGE, RuntimeError, NotImplementedError) as error:
        raise _damaged(request) from error
    if len(data) < (last - first) * dtype.itemsize:
        raise _damaged(request)
    return np.frombuffer(data, dtype=dtype).astype(np.float64)


def _scalar(archive: zipfile.ZipFile, name: str, request: Request) -> object:
    """A number or text beside the strain, None if it is absent."""
    entry = name + ".npy"
    if entry not in archive.namelist():
        return None
    if archive.getinfo(entry).file_size > _MAX_SCALAR_BYTES:
        raise FormatError(f"{request.shown_name}: {name} must be a single value.")
    try:
        with archive.open(entry) as stream:
            value = np.lib.format.read_array(stream, allow_pickle=False)
    except _DAMAGE as error:
        raise FormatError(f"{request.shown_name}: {name} must be a number or a text.") from error
    if value.size != 1:
        raise FormatError(f"{request.shown_name}: {name} must be a single value.")
    return value.reshape(()).item()


def _text(archive: zipfile.ZipFile, name: str, request: Request) -> str | None:
    value = _scalar(archive, name, request)
    return value if isinstance(value, str) else None


def _damaged(request: Request) -> FormatError:
    return FormatError(f"{request.shown_name} is truncated or damaged. Save and send it again.")
