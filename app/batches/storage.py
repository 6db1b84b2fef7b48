"""Where batches lie in the data directory, each upload once under its digest, and their bounds."""

import bz2
import enum
import gzip
import hashlib
import io
import lzma
import os
import re
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from operator import itemgetter
from pathlib import Path
from typing import IO, BinaryIO, cast
from uuid import UUID

import zstandard

from app.core.errors import BusyError, InvalidRequestError
from app.core.storage import storage_of
from app.glitches.upload import clean_name
from glitch.errors import FormatError, TooLargeError

MOST_MEMBERS = 4_000_000  # of a tar: Gravity Spy's whole catalogue has 2.5 million pictures
MOST_ZIP_MEMBERS = 300_000  # a zip's table of contents is held in memory while it is read
MOST_ZIP_CONTENTS_BYTES = 100_000_000
MOST_MEMBER_BYTES = 1_000_000_000  # strain of 4096 s at 16 kHz has half of that
MOST_RATIO = 200  # pictures and strain compress 1 to 10 times
RATIO_FROM_BYTES = 10_000_000  # below, a high ratio does no harm
MOST_PICTURES = 16  # of one glitch, repeated ones included
MOST_FILES = 20_000  # strain files and tables in one archive
LONGEST_NAME = 1000


FOLDER = "batches"
_DIGEST = re.compile(r"[0-9a-f]{64}")
_PIECE = 1 << 20
_ZSTD, _ZSTD_HEAD = b"\x28\xb5\x2f\xfd", 18  # bytes of the longest header of a frame


def keep_upload(data_dir: Path, stream: BinaryIO) -> tuple[str, int, bool]:
    """Keep a stream under its digest; the same bytes twice are one file.

    Returns:
        The hex SHA-256, the length in bytes, and whether it was there already.

    Raises:
        FormatError: if it is empty.
    """
    folder = uploads_folder(data_dir)
    digest, length = hashlib.sha256(), 0
    handle, name = tempfile.mkstemp(prefix=".arriving-", dir=folder)
    path = Path(name)
    try:
        with os.fdopen(handle, "wb") as target:
            while piece := stream.read(_PIECE):
                digest.update(piece)
                length += len(piece)
                target.write(piece)
            target.flush()
            os.fsync(target.fileno())  # the job that names it must not outlive it
        if not length:
            raise FormatError("The file is empty: send the batch again.")
        kept, storage = folder / digest.hexdigest(), storage_of(data_dir)
        is_known = storage.holds(kept)
        path.replace(kept)
        storage.keep(kept)
    finally:
        path.unlink(missing_ok=True)
    return digest.hexdigest(), length, is_known


def uploads_folder(data_dir: Path) -> Path:
    """Where kept uploads lie, each under its digest; made at need."""
    folder = data_dir / FOLDER / "uploads"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def upload_path(data_dir: Path, digest: str) -> Path:
    """The kept upload of that digest.

    Raises:
        FormatError: if it is not there any more.
    """
    path = data_dir / FOLDER / "uploads" / digest
    if not _DIGEST.fullmatch(digest) or not storage_of(data_dir).fetch(path):
        raise FormatError("The uploaded file is no longer kept: send the batch again.")
    return path


def check_kept(data_dir: Path, *digests: str | None) -> None:
    """See that uploads just kept were not removed in the same moment.

    Raises:
        BusyError: if one was.
    """
    folder = data_dir / FOLDER / "uploads"
    storage = storage_of(data_dir)
    if not all(storage.holds(folder / digest) for digest in digests if digest is not None):
        raise BusyError("The file was removed as it came: send the batch again.")


def work_folder(data_dir: Path, job_id: UUID) -> Path:
    """Where a job puts what it had to unpack; made at need."""
    folder = data_dir / FOLDER / "work" / str(job_id)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def clear_work(data_dir: Path, job_id: UUID) -> None:
    """Remove what a job unpacked; nothing happens where there is nothing."""
    storage_of(data_dir).remove(data_dir / FOLDER / "work" / str(job_id))


class Unpacked(enum.Enum):
    """What came of unpacking a file."""

    NOTHING = enum.auto()  # it is not compressed
    WHOLE = enum.auto()
    CUT = enum.auto()  # it ends too soon: what comes before is there


CUT_SHORT = "The compressed file is cut short: send it again."


def unpack_whole(
    path: Path, target: Path, most_bytes: int, heartbeat: Callable[[], None]
) -> Unpacked:
    """Unpack a gzip, bzip2, xz or zstd file to ``target``.

    ``target`` is there only once all that can be unpacked is in it. ``heartbeat`` comes with every
    piece, and may end the unpacking by an exception.

    Raises:
        FormatError: if it is damaged.
        TooLargeError: if it holds more than ``most_bytes``, or is a bomb.
    """
    with path.open("rb") as file:
        head = file.read(6)
    opened = _opened(path, head)
    if opened is None:
        return Unpacked.NOTHING
    found = Unpacked.WHOLE
    part = target.with_name(target.name + ".part")
    try:
        with opened as source, part.open("wb") as unpacked:
            try:
                _copy(source, unpacked, path.stat().st_size, most_bytes, heartbeat)
            except EOFError:
                if not unpacked.tell():
                    raise FormatError(CUT_SHORT) from None
                found = Unpacked.CUT
        part.replace(target)
    except (zlib.error, lzma.LZMAError, zstandard.ZstdError, gzip.BadGzipFile) as error:
        raise FormatError("The compressed file is damaged: send it again.") from error
    except OSError as error:
        if error.errno is None:  # bz2 has no error of its own
            raise FormatError("The compressed file is damaged: send it again.") from error
        raise
    finally:
        part.unlink(missing_ok=True)
    if head.startswith(_ZSTD) and not _is_whole_zstd(path):
        return Unpacked.CUT
    return found


def _copy(
    source: IO[bytes], target: BinaryIO, packed: int, most_bytes: int, heartbeat: Callable[[], None]
) -> None:
    length = 0
    # Not read(): where the file is cut, that would lose up to a piece of what comes before.
    while piece := cast("io.BufferedReader", source).read1(_PIECE):
        heartbeat()
        length += len(piece)
        if length > most_bytes:
            raise TooLargeError(
                f"The file unpacks to over {most_bytes / 1e9:g} GB: send it in several parts."
            )
        if length > RATIO_FROM_BYTES and length > MOST_RATIO * packed:
            raise TooLargeError(
                f"The file unpacks to over {MOST_RATIO} times its size, as no pictures or strain "
                "do: it is not read. If it is right, send it uncompressed."
            )
        target.write(piece)
    if not length:
        raise FormatError("The compressed file holds nothing: send the batch again.")


def _opened(path: Path, head: bytes) -> IO[bytes] | None:
    if head.startswith(b"\x1f\x8b"):
        return cast("IO[bytes]", gzip.open(path))
    if head.startswith(b"BZh"):
        return cast("IO[bytes]", bz2.open(path))
    if head.startswith(b"\xfd7zXZ\0"):
        return cast("IO[bytes]", lzma.open(path))
    if head.startswith(_ZSTD):
        return cast("IO[bytes]", zstandard.open(path, "rb"))
    return None


def _is_whole_zstd(path: Path) -> bool:
    """Whether the last frame ends before the file does; zstandard reads a cut one as if whole."""
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
                    is_repeated = block[0] & 6 == 2  # one byte stands for all
                    file.seek(1 if is_repeated else length, os.SEEK_CUR)
                file.seek(4 * frame.has_checksum, os.SEEK_CUR)
            else:  # a frame of no data
                file.seek(8 + int.from_bytes(head[4:8], "little") - len(head), os.SEEK_CUR)
        return file.tell() <= path.stat().st_size


MOST_LOOSE_FILES = 12


@contextmanager
def packed(files: Sequence[tuple[str | None, BinaryIO]]) -> Iterator[tuple[str, BinaryIO]]:
    """The name and the bytes of a batch that was sent as one file or as several.

    Several are packed in the order of their names, without times and owners, so that the batch is
    known again when it is sent again.

    Raises:
        InvalidRequestError: if there are none, too many, or two of one name.
    """
    named = sorted(((clean_name(name), stream) for name, stream in files), key=itemgetter(0))
    if not named:
        raise InvalidRequestError(
            "Choose a file first: a tar or zip, views of many glitches, or a table of triggers."
        )
    if len(named) > MOST_LOOSE_FILES:
        raise InvalidRequestError(
            f"These are {len(named)} files: pack more than {MOST_LOOSE_FILES} into a tar or zip."
        )
    names = [name for name, _ in named]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise InvalidRequestError(f"Two files are called {twice}: rename one of them.")
    if len(named) == 1:
        yield named[0]
        return
    with tempfile.TemporaryFile(prefix="glitch-batch-") as file:
        with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for name, stream in named:
                entry = tarfile.TarInfo(name)
                entry.size = stream.seek(0, os.SEEK_END)
                stream.seek(0)
                tar.addfile(entry, stream)
        file.seek(0)
        yield f"{len(named)} files", cast("BinaryIO", file)
