"""Files of batches in the data directory: uploads by digest, unpacked files by job."""

import hashlib
import os
import re
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from operator import itemgetter
from pathlib import Path
from typing import BinaryIO, cast
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from app.core.errors import BusyError, InvalidRequestError, StorageAwayError
from app.core.storage import arriving_file, storage_of
from app.glitches.upload import clean_name
from glitch.errors import FormatError

FOLDER = "batches"
UPLOADS_LOCK = 6_720_341_908  # any constant; keeping and removing must use the same one
_DIGEST = re.compile(r"[0-9a-f]{64}")
_PIECE = 1 << 20


def keep_upload(data_dir: Path, stream: BinaryIO) -> tuple[str, int, bool]:
    """Store a stream under its digest, unless it is stored already; FormatError if it is empty.

    Returns:
        The hex SHA-256, the length in bytes, and whether it was stored already.
    """
    folder = uploads_folder(data_dir)
    digest, length = hashlib.sha256(), 0
    with arriving_file(folder) as (target, path):
        while piece := stream.read(_PIECE):
            digest.update(piece)
            length += len(piece)
            target.write(piece)
        target.flush()
        os.fsync(target.fileno())  # the file must be durable before the job that names it
        if not length:
            raise FormatError("The file is empty: send the batch again.")
        stored, storage = folder / digest.hexdigest(), storage_of(data_dir)
        is_known = storage.holds(stored)
        path.replace(stored)
        storage.keep(stored)
    return digest.hexdigest(), length, is_known


def uploads_folder(data_dir: Path) -> Path:
    """The folder of stored uploads, each under its digest; created if needed."""
    folder = data_dir / FOLDER / "uploads"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def upload_path(data_dir: Path, digest: str) -> Path:
    """The stored upload with this digest; FormatError if it is no longer stored.

    StorageAwayError if even the folder of all uploads is missing.
    """
    path = data_dir / FOLDER / "uploads" / digest
    if not _DIGEST.fullmatch(digest) or not storage_of(data_dir).fetch(path):
        if not path.parent.is_dir():
            raise StorageAwayError(
                "The folder of uploaded batches is missing: mount it, and the job continues by "
                "itself. If it is lost, cancel the job and send the batch again."
            )
        raise FormatError("The uploaded file is no longer kept: send the batch again.")
    return path


def hold_uploads(session: Session) -> None:
    """Prevent the removal of uploads until the end of the transaction that stores their use."""
    session.execute(text("SELECT pg_advisory_xact_lock_shared(:key)"), {"key": UPLOADS_LOCK})


def check_kept(data_dir: Path, *digests: str | None) -> None:
    """Raise ``BusyError`` if an upload just stored was removed by the cleanup."""
    folder, storage = data_dir / FOLDER / "uploads", storage_of(data_dir)
    if not all(storage.holds(folder / digest) for digest in digests if digest is not None):
        raise BusyError("The file was removed by a cleanup: send the batch again.")


def work_folder(data_dir: Path, job_id: UUID) -> Path:
    """Folder for the unpacked files of a job; created if needed."""
    folder = data_dir / FOLDER / "work" / str(job_id)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def clear_work(data_dir: Path, job_id: UUID) -> None:
    """Remove the unpacked files of a job, if any."""
    storage_of(data_dir).remove(data_dir / FOLDER / "work" / str(job_id))


MAX_LOOSE_FILES = 12


@contextmanager
def packed(files: Sequence[tuple[str | None, BinaryIO]]) -> Iterator[tuple[str, BinaryIO]]:
    """Name and content of a batch sent as one file, or as several that are packed into a tar.

    Several are packed in the order of their names, without times and owners, so that the same batch
    is recognised when it is sent again. InvalidRequestError for bad numbers or names of files.
    """
    members = sorted(((clean_name(name), stream) for name, stream in files), key=itemgetter(0))
    if not members:
        raise InvalidRequestError(
            "Choose a file first: a tar or zip, views of many glitches, or a table of triggers."
        )
    if len(members) > MAX_LOOSE_FILES:
        raise InvalidRequestError(
            f"These are {len(members)} files: pack more than {MAX_LOOSE_FILES} into a tar or zip."
        )
    names = [name for name, _ in members]
    if duplicate := next((name for name in names if names.count(name) > 1), None):
        raise InvalidRequestError(f"Two files are called {duplicate}: rename one of them.")
    if len(members) == 1:
        yield members[0]
        return
    with tempfile.TemporaryFile(prefix="glitch-batch-") as file:
        with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for name, stream in members:
                entry = tarfile.TarInfo(name)
                entry.size = stream.seek(0, os.SEEK_END)
                stream.seek(0)
                tar.addfile(entry, stream)
        file.seek(0)
        yield f"{len(members)} files", cast("BinaryIO", file)
