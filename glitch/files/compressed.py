"""Unpack files that are compressed as a whole (gzip, bzip2, xz, zstd), within limits.

Readers of text unpack gzip themselves, line by line; files of binary formats are unpacked first.
"""

import bz2
import enum
import gzip
import lzma
import os
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from io import BufferedIOBase
from pathlib import Path
from typing import Protocol, runtime_checkable

import zstandard

from glitch.errors import FormatError, TooLargeError

MAX_RATIO = 200  # pictures and strain compress by a factor of 1 to 10
RATIO_FROM_BYTES = 10_000_000  # a high ratio is harmless in smaller files
# Binary formats that are read in place, and unpacked first where they are gzipped.
FORMATS = (
    (b"\x89HDF\r\n\x1a\n", "hdf5"),
    (b"MATLAB 7.3 MAT-", "hdf5"),  # its HDF5 follows after 512 bytes
    (b"IGWD\0", "gwf"),
    (b"\x93NUMPY", "npy"),
    (b"PK\x03\x04", "npz"),
)
MAX_GUNZIPPED_BYTES = 1 << 29  # a frame of 4096 s at 16 kHz
_MAX_GZIP_MEMBERS = 10_000  # bgzip packs 64 KiB per member
_GZIP = b"\x1f\x8b\x08"
_HEAD_BYTES = 1 << 16
_PIECE = 1 << 20
_ZSTD, _ZSTD_HEAD = b"\x28\xb5\x2f\xfd", 18  # bytes of the longest frame header


@runtime_checkable
class _Source(Protocol):
    """A file that returns unpacked bytes."""

    def read1(self, size: int, /) -> bytes:
        """Return at most ``size`` bytes, as soon as some are available."""

    def close(self) -> None:
        """Close the file."""


class Unpacked(enum.Enum):
    """The result of unpacking a file."""

    NOTHING = enum.auto()  # not a compressed file
    WHOLE = enum.auto()
    CUT = enum.auto()  # truncated: everything before the end was unpacked


CUT_SHORT = "The compressed file is truncated: send it again."


def content_head(path: Path) -> bytes:
    """Return the beginning of a file, unpacked if it is gzipped; empty if that is damaged."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError:
        return b""
    if not head.startswith(_GZIP):
        return head
    try:  # only the first member: there may be a million empty ones
        return zlib.decompressobj(31).decompress(head, _HEAD_BYTES)
    except zlib.error:
        return b""


def format_of(head: bytes) -> str | None:
    """Return which of ``FORMATS`` a file is in, judged by its ``content_head``."""
    return next((name for magic, name in FORMATS if head.startswith(magic)), None)


def check_gzip_members(packed: bytes, shown_name: str) -> None:
    """Refuse gzipped data of too many members: each takes time, even an empty one.

    Raises:
        TooLargeError: if there are too many.
    """
    # The magic bytes rarely occur by chance.
    if packed.count(_GZIP) > _MAX_GZIP_MEMBERS:
        raise TooLargeError(
            f"{shown_name} is gzipped in over {_MAX_GZIP_MEMBERS:,} pieces: gzip it as one."
        )


@contextmanager
def gunzipped(path: Path, shown_name: str) -> Iterator[Path]:
    """Unpack a gzipped file of one of ``FORMATS`` to a temporary one; others are left as they are.

    Raises:
        FormatError: if the gzipped data are truncated or damaged.
        TooLargeError: if they unpack to over 512 MiB.
    """
    with path.open("rb") as packed:
        if packed.read(len(_GZIP)) != _GZIP or format_of(content_head(path)) is None:
            yield path
            return
        packed.seek(0)
        while block := packed.read(_PIECE << 5):
            check_gzip_members(block, shown_name)
    with tempfile.NamedTemporaryFile(prefix="glitch-upload-") as target:
        try:
            with gzip.open(path) as source:
                while block := source.read(_PIECE):
                    target.write(block)
                    if target.tell() > MAX_GUNZIPPED_BYTES:
                        raise TooLargeError(
                            f"{shown_name} holds over {MAX_GUNZIPPED_BYTES >> 20} MiB once "
                            "unpacked: cut it to the minutes around the glitch."
                        )
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise FormatError(
                f"{shown_name} is gzipped, and truncated or damaged: send it again."
            ) from error
        target.flush()
        yield Path(target.name)


def unpack_whole(
    path: Path, target: Path, max_bytes: int, heartbeat: Callable[[], None]
) -> Unpacked:
    """Unpack a gzip, bzip2, xz or zstd file to ``target``.

    ``target`` appears only once everything that can be unpacked has been written. ``heartbeat`` is
    called for every piece and may stop the unpacking by raising an exception.

    Raises:
        FormatError: if the file is damaged or empty.
        TooLargeError: if it unpacks to over ``max_bytes``, or to far more than its own size.
    """
    with path.open("rb") as file:
        head = file.read(6)
    opened = _opened(path, head)
    if opened is None:
        return Unpacked.NOTHING
    extent = Unpacked.WHOLE
    part = target.with_name(target.name + ".part")
    try:
        with closing(opened) as source, part.open("wb") as unpacked:
            try:
                _copy(source, unpacked, path.stat().st_size, max_bytes, heartbeat)
            except EOFError:
                if not unpacked.tell():
                    raise FormatError(CUT_SHORT) from None
                extent = Unpacked.CUT
        part.replace(target)
    except (zlib.error, lzma.LZMAError, zstandard.ZstdError, gzip.BadGzipFile) as error:
        raise FormatError("The compressed file is damaged: send it again.") from error
    except OSError as error:
        if error.errno is None:  # bz2 raises a plain OSError for damage
            raise FormatError("The compressed file is damaged: send it again.") from error
        raise
    finally:
        part.unlink(missing_ok=True)
    if head.startswith(_ZSTD) and not _is_whole_zstd(path):
        return Unpacked.CUT
    return extent


def _copy(
    source: _Source,
    target: BufferedIOBase,
    packed: int,
    max_bytes: int,
    heartbeat: Callable[[], None],
) -> None:
    length = 0
    # Not read(): in a truncated file that would lose up to a piece of the last data.
    while piece := source.read1(_PIECE):
        heartbeat()
        length += len(piece)
        if length > max_bytes:
            raise TooLargeError(
                f"The file unpacks to over {max_bytes / 1e9:g} GB: send it in several parts."
            )
        if length > RATIO_FROM_BYTES and length > MAX_RATIO * packed:
            raise TooLargeError(
                f"The file unpacks to over {MAX_RATIO} times its size, far more than pictures or "
                "strain do, so it is not read. If this is correct, send it uncompressed."
            )
        target.write(piece)
    if not length:
        raise FormatError("The compressed file holds nothing: send the batch again.")


def _opened(path: Path, head: bytes) -> _Source | None:
    if head.startswith(b"\x1f\x8b"):
        return gzip.open(path)
    if head.startswith(b"BZh"):
        return bz2.open(path)
    if head.startswith(b"\xfd7zXZ\0"):
        return lzma.open(path)
    if head.startswith(_ZSTD):
        source: _Source = zstandard.open(path, "rb")
        return source
    return None


def _is_whole_zstd(path: Path) -> bool:
    """Return whether the last frame is complete: zstandard reads a truncated one without error."""
    with path.open("rb") as file:
        while head := file.read(_ZSTD_HEAD):
            if len(head) < 8:
                return False
            if head.startswith(_ZSTD):
                try:
                    frame = zstandard.get_frame_parameters(head)
                except zstandard.ZstdError:
                    return False
                file.seek(zstandard.frame_header_size(head) - len(head), os.SEEK_CUR)
                is_last = 0
                while not is_last:
                    if len(block := file.read(3)) < 3:
                        return False
                    is_last, length = block[0] & 1, int.from_bytes(block, "little") >> 3
                    is_repeated = block[0] & 6 == 2  # a run of one repeated byte, stored once
                    file.seek(1 if is_repeated else length, os.SEEK_CUR)
                file.seek(4 * frame.has_checksum, os.SEEK_CUR)
            else:  # a skippable frame
                file.seek(8 + int.from_bytes(head[4:8], "little") - len(head), os.SEEK_CUR)
        return file.tell() <= path.stat().st_size
