"""Unpack files that are compressed as a whole (gzip, bzip2, xz, zstd), within limits."""

import bz2
import enum
import gzip
import lzma
import os
import zlib
from collections.abc import Callable
from contextlib import closing
from io import BufferedIOBase
from pathlib import Path
from typing import Protocol, runtime_checkable

import zstandard

from glitch.errors import FormatError, TooLargeError

MAX_RATIO = 200  # pictures and strain compress by a factor of 1 to 10
RATIO_FROM_BYTES = 10_000_000  # a high ratio is harmless in smaller files
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


def unpack_whole(
    path: Path, target: Path, most_bytes: int, heartbeat: Callable[[], None]
) -> Unpacked:
    """Unpack a gzip, bzip2, xz or zstd file to ``target``.

    ``target`` appears only once everything that can be unpacked has been written. ``heartbeat`` is
    called for every piece and may stop the unpacking by raising an exception.

    Raises:
        FormatError: if the file is damaged or empty.
        TooLargeError: if it unpacks to over ``most_bytes``, or to far more than its own size.
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
                _copy(source, unpacked, path.stat().st_size, most_bytes, heartbeat)
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
    most_bytes: int,
    heartbeat: Callable[[], None],
) -> None:
    length = 0
    # Not read(): in a truncated file that would lose up to a piece of the last data.
    while piece := source.read1(_PIECE):
        heartbeat()
        length += len(piece)
        if length > most_bytes:
            raise TooLargeError(
                f"The file unpacks to over {most_bytes / 1e9:g} GB: send it in several parts."
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
