"""Fetching a large file piece by piece: each piece stays, and is never fetched again."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from app.batches.fetched import is_to_be_asked_again
from app.core.errors import InvalidRequestError, NotReadyError
from app.references.archives import PublishedFile
from glitch.errors import FormatError

PIECE_BYTES = 16_000_000  # what a broken connection or a killed worker costs
_TIMEOUT_S = 60.0
_READ = 1 << 20


def size_of(file: PublishedFile) -> tuple[int | None, bool]:
    """Its length in bytes, if the server says, and whether it can be fetched in pieces.

    Raises:
        InvalidRequestError: if there is no such file.
        NotReadyError: if the server cannot be reached or has trouble.
    """
    try:
        with _asked(file.url, {"Range": "bytes=0-0"}) as answer:
            _check(answer, file)
            total = answer.headers.get("content-range", "").rpartition("/")[2]
            if answer.status_code == httpx.codes.PARTIAL_CONTENT and total.isdigit():
                return int(total), True
            length = answer.headers.get("content-length", "")
            return (int(length) if length.isdigit() else file.size), False
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise _broken(file, type(error).__name__) from error


def fetch_piece(
    file: PublishedFile, target: Path, start: int, end: int | None, heartbeat: Callable[[], None]
) -> None:
    """Write the bytes from ``start`` up to ``end`` (None: all there are) at their place.

    Raises:
        InvalidRequestError: if the file is gone.
        NotReadyError: if the transfer breaks off, or another piece comes than was asked for.
        OSError: if the disk is full.
    """
    headers = {} if end is None else {"Range": f"bytes={start}-{end - 1}"}
    handle = os.open(target, os.O_CREAT | os.O_WRONLY, 0o600)
    try:
        with _asked(file.url, headers) as answer:
            _check(answer, file)
            said = answer.headers.get("content-range", "")
            if end is not None and not said.startswith(f"bytes {start}-{end - 1}/"):
                raise _broken(file, f"asked for a piece, it sends {said or 'something else'}")
            at = start
            for piece in answer.iter_raw(_READ):
                at += os.pwrite(handle, piece[: None if end is None else end - at], at)
                heartbeat()
            if end is not None and at != end:
                raise _broken(file, f"{end - at:,} bytes of a piece are missing")
        os.fsync(handle)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise _broken(file, type(error).__name__) from error
    finally:
        os.close(handle)


def digest_of(path: Path, file: PublishedFile, heartbeat: Callable[[], None]) -> str:
    """The hex SHA-256 of what arrived, once its length and checksum are as published.

    Raises:
        FormatError: if they are not.
    """
    kind, _, wanted = (file.checksum or "").partition(":")
    if wanted and kind not in hashlib.algorithms_guaranteed:
        raise FormatError(f"The checksum {file.checksum} is of no known kind: give sha256:… .")
    digest = hashlib.sha256()
    other = hashlib.new(kind, usedforsecurity=False) if wanted else None
    with path.open("rb") as arrived:
        while piece := arrived.read(_READ):
            digest.update(piece)
            if other is not None:
                other.update(piece)
            heartbeat()
    length = path.stat().st_size
    if file.size is not None and length != file.size:
        raise FormatError(
            f"{file.name} arrived with {length:,} bytes, and its publisher states {file.size:,}: "
            "nothing of it is used. Start the command again."
        )
    if other is not None and other.hexdigest() != wanted.lower():
        raise FormatError(
            f"{file.name} arrived with the checksum {kind}:{other.hexdigest()}, and {kind}:{wanted}"
            " is stated: nothing of it is used. Start the command again; if it stays so, the "
            "archive was changed."
        )
    return digest.hexdigest()


def _asked(url: str, headers: dict[str, str]) -> AbstractContextManager[httpx.Response]:
    return httpx.stream(
        "GET",
        url,
        # Compressed on its way, a piece would not be the piece.
        headers={"Accept-Encoding": "identity", **headers},
        timeout=_TIMEOUT_S,
        follow_redirects=True,
    )


def _check(answer: httpx.Response, file: PublishedFile) -> None:
    if is_to_be_asked_again(answer):
        raise _broken(file, f"it answers {answer.status_code}")
    if not answer.is_success:
        raise InvalidRequestError(
            f"{file.name} is not to be had: {file.url} answers {answer.status_code}. "
            "`glitch-discovery references --list` names what there is."
        )


def _broken(file: PublishedFile, why: str) -> NotReadyError:
    return NotReadyError(
        f"The transfer of {file.name} from {urlsplit(file.url).netloc} broke off ({why}). What has "
        "arrived stays: retry the job to fetch the rest."
    )
