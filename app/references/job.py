"""The job of kind ``references``: fetch an archive in pieces, then load it as a batch.

Pieces that have arrived are kept and not fetched again.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from app.batches.storage import hold_uploads, uploads_folder, work_folder
from app.core.errors import InvalidRequestError, NotReadyError
from app.core.fetching import Fetcher, Taker, is_temporary_failure
from app.core.storage import storage_of
from app.jobs.records import Chunk, ChunkPlan, ChunkResult, Work
from app.references.archives import PublishedFile, archive_named, published_files
from app.references.service import start_batches
from glitch.errors import FormatError

PIECE_BYTES = 16_000_000  # lost if a connection breaks or a worker is killed
_TIMEOUT_S = 60.0  # to connect and for each read
_PIECE_S, _WHOLE_S = 1800.0, 86400.0  # for a piece; for a file that the server sends only whole
_READ = 1 << 20


def size_of(file: PublishedFile) -> tuple[int | None, bool]:
    """Length in bytes, if known, and whether the server can send the file in pieces."""
    sizes: list[tuple[int | None, bool]] = []

    def begin(answer: httpx.Response) -> None:
        total = answer.headers.get("content-range", "").rpartition("/")[2]
        if answer.status_code == httpx.codes.PARTIAL_CONTENT and total.isdigit():
            sizes.append((int(total), True))
        else:
            length = answer.headers.get("content-length", "")
            sizes.append((int(length) if length.isdigit() else file.size, False))

    _read(file, {"Range": "bytes=0-0"}, begin, _PIECE_S)
    return sizes[0]


def fetch_piece(
    file: PublishedFile, target: Path, start: int, end: int | None, heartbeat: Callable[[], None]
) -> None:
    """Download the bytes from ``start`` to ``end`` (None: all) and write them at that offset.

    Raises:
        InvalidRequestError: if the file is gone or longer than allowed.
        NotReadyError: if the transfer breaks off or the server sends another range.
        OSError: if the disk is full.
    """
    headers = {} if end is None else {"Range": f"bytes={start}-{end - 1}"}
    limit = end or file.size or shutil.disk_usage(target.parent).free // 2
    at = start
    handle = os.open(target, os.O_CREAT | os.O_WRONLY, 0o600)

    def begin(answer: httpx.Response) -> Taker:
        content_range = answer.headers.get("content-range", "")
        if end is not None and not content_range.startswith(f"bytes {start}-{end - 1}/"):
            raise _broken(
                file, f"it sent {content_range or 'something else'} instead of the requested range"
            )
        return take

    def take(piece: bytes) -> bool:
        nonlocal at
        at += os.pwrite(handle, piece[: None if end is None else end - at], at)
        heartbeat()
        if end is None and at > limit:
            os.ftruncate(handle, 0)
            raise InvalidRequestError(
                f"{file.name} is longer than {limit:,} bytes, its stated length or half of the "
                "free space in the data directory: it is not kept."
            )
        return at != end

    try:
        _read(file, headers, begin, _WHOLE_S if end is None else _PIECE_S)
        if end is not None and at != end:
            raise _broken(file, f"{end - at:,} bytes of a piece are missing")
        os.fsync(handle)
    finally:
        os.close(handle)


def digest_of(path: Path, file: PublishedFile, heartbeat: Callable[[], None]) -> str:
    """Hex SHA-256 of the downloaded file; FormatError if it differs from the published checksum."""
    algorithm, _, expected = (file.checksum or "").partition(":")
    if expected and algorithm not in hashlib.algorithms_guaranteed:
        raise FormatError(f"The checksum {file.checksum} has an unknown algorithm: give sha256:… .")
    digest = hashlib.sha256()
    checksum = hashlib.new(algorithm, usedforsecurity=False) if expected else None
    with path.open("rb") as arrived:
        while piece := arrived.read(_READ):
            digest.update(piece)
            if checksum is not None:
                checksum.update(piece)
            heartbeat()
    length = path.stat().st_size
    if file.size is not None and length != file.size:
        raise FormatError(
            f"{file.name} arrived with {length:,} bytes, but its publisher states {file.size:,}: "
            "it is not used. Start the command again."
        )
    if checksum is not None and checksum.hexdigest() != expected.lower():
        raise FormatError(
            f"{file.name} arrived with the checksum {algorithm}:{checksum.hexdigest()}, but "
            f"{algorithm}:{expected} is stated: it is not used. Start the command again; if this "
            "happens again, the archive was changed."
        )
    return digest.hexdigest()


def _read(
    file: PublishedFile,
    headers: Mapping[str, str],
    begin: Callable[[httpx.Response], Taker | None],
    patience_s: float,
) -> None:
    """Request the file without transport compression, which would change the byte ranges."""

    def checked(answer: httpx.Response) -> Taker | None:
        _check(answer, file)
        return begin(answer)

    try:
        with Fetcher(patience_s, timeout=_TIMEOUT_S, follow_redirects=True) as fetcher:
            fetcher.read(file.url, checked, headers=headers)
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
        raise _broken(file, type(error).__name__) from error


def _check(answer: httpx.Response, file: PublishedFile) -> None:
    if is_temporary_failure(answer.status_code):
        raise _broken(file, f"it answers {answer.status_code}")
    if not answer.is_success:
        raise InvalidRequestError(
            f"{file.name} cannot be downloaded: {file.url} returned {answer.status_code}. "
            "`glitch-discovery references --list` lists the archives."
        )


def _broken(file: PublishedFile, why: str) -> NotReadyError:
    return NotReadyError(
        f"The transfer of {file.name} from {urlsplit(file.url).netloc} broke off ({why}). The "
        "parts that arrived are kept: retry the job to fetch the rest."
    )


_PLAN = "files.json"  # in the job's work folder: the files to fetch
_UNIT_BYTES = 1_000_000  # progress is counted in MB
_SPACE_FACTOR = 2.2  # free space needed, times the size: packed and unpacked files together


class ReferencesHandler:
    """The ``JobHandler`` of references. Parameters: ``app.references.service.start_references``."""

    def plan(self, work: Work) -> Iterator[ChunkPlan]:
        """List the published files and plan pieces of each."""
        folder = work_folder(work.data_dir, work.job.id)
        files = []
        for file in _files(work.job.parameters):
            length, is_cut = size_of(file)
            if length is not None and file.size is not None and length != file.size:
                raise NotReadyError(
                    f"{file.name} has {length:,} bytes at {file.url}, but its publisher states "
                    f"{file.size:,}: retry later."
                )
            files.append((replace(file, size=length), is_cut))
            work.heartbeat()
        needed = int(_SPACE_FACTOR * sum(file.size or 0 for file, _ in files))
        free = shutil.disk_usage(folder).free
        if needed > free:
            raise InvalidRequestError(
                f"The archive needs {needed / 1e9:.1f} GB in the data directory while it is read, "
                f"but {free / 1e9:.1f} GB are free: make room, then retry the job."
            )
        (folder / _PLAN).write_text(json.dumps([asdict(file) for file, _ in files]))
        for number, (file, is_cut) in enumerate(files):
            size = file.size or 0
            if not is_cut:
                yield ChunkPlan({"file": number, "start": 0, "end": None}, units=_units(size))
                continue
            for start in range(0, size, PIECE_BYTES):
                end = min(start + PIECE_BYTES, size)
                payload = {"file": number, "start": start, "end": end}
                yield ChunkPlan(payload, units=_units(end - start))

    def run_chunk(self, work: Work, chunk: Chunk) -> ChunkResult:
        """Download one piece."""
        folder = work_folder(work.data_dir, work.job.id)
        number = chunk.payload["file"]
        file = _planned(folder)[number]
        target = folder / f"fetched-{number}"
        fetch_piece(file, target, chunk.payload["start"], chunk.payload["end"], work.heartbeat)
        return ChunkResult()

    def finish(self, work: Work) -> Mapping[str, Any]:
        """Check that all files arrived as published, and start the batches that load them."""
        folder = work_folder(work.data_dir, work.job.id)
        hold_uploads(work.session)
        digests = {}
        for number, file in enumerate(_planned(folder)):
            path = folder / f"fetched-{number}"
            digest = digest_of(path, file, work.heartbeat)
            # A hard link, so that finish can run twice; the other name goes with the job's folder.
            with suppress(FileExistsError):
                os.link(path, uploads_folder(work.data_dir) / digest)
            storage_of(work.data_dir).keep(uploads_folder(work.data_dir) / digest)
            os.utime(path)
            digests[file.name] = digest
        started = start_batches(work.session, work.job.parameters, digests, work.job.author)
        return {"bytes": sum(file.size or 0 for file in _planned(folder)), "started": started}


def _files(parameters: Mapping[str, Any]) -> list[PublishedFile]:
    """Files to fetch: the file at the given address, otherwise the archive's published files."""
    if parameters["url"] is not None:
        url = str(parameters["url"])
        name = url.partition("?")[0].rpartition("/")[2] or "archive"
        return [PublishedFile(name, url, None, parameters["checksum"])]
    archive = archive_named(parameters["archive"])
    selection = parameters["wanted"]
    listed = published_files(archive, parameters["zenodo"])
    files = []
    for name in archive.selected_files(selection["ifos"], selection["runs"]):
        if name not in listed:
            raise InvalidRequestError(
                f"{archive.name} has no file {name}; it has {', '.join(sorted(listed))}."
            )
        files.append(listed[name])
    return files


def _planned(folder: Path) -> list[PublishedFile]:
    try:
        return [PublishedFile(**one) for one in json.loads((folder / _PLAN).read_text())]
    except FileNotFoundError:
        raise InvalidRequestError(
            "The downloaded files are no longer kept: start the command again."
        ) from None


def _units(size: int) -> int:
    return max(1, round(size / _UNIT_BYTES))
