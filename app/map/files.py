"""The map's columns on disk: built once for each state of the catalogue, then only read.

A million points take seconds to gather and a fraction of one to read back. A file is named after
the version that it shows; a label, a clustering, a newcomer or a new layout makes another version.
"""

import hashlib
import os
import threading
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal

import zstandard
from sqlalchemy import text
from sqlalchemy.orm import Session

from app.core.errors import NotFoundError, NotReadyError
from app.map.columns import build_columns
from app.map.records import MapFiles, Projection
from app.map.service import current_projection

Coding = Literal["zstd", "gzip", "identity"]
FOLDER = "map"  # in the data directory
_KEPT = 4  # versions; whoever is half through an old one still has its ids
_LEVEL = 3
_CHUNK = 1 << 18
# Labels are added and revoked, never changed otherwise. They are counted because the latest id does
# not tell of one that was given earlier and committed later.
_STATE = """
WITH runs AS (
  SELECT DISTINCT ON (is_simulated) id FROM clustering_run
  ORDER BY is_simulated, created_at DESC, id DESC)
SELECT (SELECT count(*) FROM label),
  (SELECT count(*) FROM label WHERE revoked_at IS NOT NULL),
  (SELECT string_agg(c.id || c.state, ',' ORDER BY c.id)
    FROM cluster c JOIN runs ON runs.id = c.run_id),
  (SELECT string_agg(id || name || state, ',' ORDER BY id) FROM glitch_class)
"""
_building = threading.Lock()  # a second reader waits for the first one's file


def map_files(session: Session, data_dir: Path) -> MapFiles:
    """The columns of the map as it is now, built if nobody asked for them before.

    Novelty is shown as it was when the version was built: judging again makes no version of its own
    unless a clustering follows.

    Raises:
        NotReadyError: if no checkpoint is active, or the data directory cannot be written.
        NotFoundError: if the map was not drawn yet.
    """
    projection = current_projection(session)
    version = map_version(session, projection)
    files = _files(data_dir / FOLDER, version)
    if files.points.exists() and files.ids.exists():
        return files
    with _building:
        if not (files.points.exists() and files.ids.exists()):
            _build(session, projection, files)
    return files


def map_version(session: Session, projection: Projection) -> str:
    """What the columns show, in 20 hexadecimal digits: another one where anything has changed."""
    state = session.execute(text(_STATE)).one()
    # The time too: in a database made again the numbers begin again.
    about = (projection.id, projection.created_at, projection.n_points, *state)
    return hashlib.sha256(repr(about).encode()).hexdigest()[:20]


def files_of_version(data_dir: Path, version: str) -> MapFiles:
    """The files of a version.

    Raises:
        NotFoundError: if the version is none that is kept; loading the map again gives the latest.
    """
    files = _files(data_dir / FOLDER, version)
    is_name = version.isalnum() and version.isascii()
    if not (is_name and files.ids.exists() and files.points.exists()):
        raise NotFoundError("The map has changed since: load it again.")
    return files


def coding_for(accept_encoding: str) -> Coding:
    """How to compress for whoever accepts these codings."""
    names = {
        part.split(";")[0].strip()
        for part in accept_encoding.lower().split(",")
        if part.replace(" ", "").rpartition(";q=")[2] not in ("0", "0.0", "0.00", "0.000")
    }
    if "zstd" in names:
        return "zstd"
    return "gzip" if "gzip" in names else "identity"


def headers_for(files: MapFiles, coding: Coding) -> dict[str, str]:
    """What goes with the points: kept by the client, and asked after before each use."""
    headers = {
        "ETag": f'"{files.version}-{coding}"',
        "Cache-Control": "private, no-cache",
        "Vary": "Accept-Encoding",
    }
    return headers if coding == "identity" else {**headers, "Content-Encoding": coding}


def is_known(if_none_match: str, files: MapFiles, coding: Coding) -> bool:
    """Whether the client has these very bytes already."""
    known = {part.strip().removeprefix("W/") for part in if_none_match.split(",")}
    return headers_for(files, coding)["ETag"] in known or "*" in known


def stream(path: Path, coding: Coding) -> Iterator[bytes]:
    """A zstd-compressed file as it is, compressed otherwise, or plain; in chunks."""
    with path.open("rb") as file:
        if coding == "zstd":
            while chunk := file.read(_CHUNK):
                yield chunk
            return
        plain = zstandard.ZstdDecompressor().read_to_iter(file, write_size=_CHUNK)
        if coding == "identity":
            yield from plain
            return
        packer = zlib.compressobj(1, wbits=31)  # 31: with the header of gzip
        for chunk in plain:
            if packed := packer.compress(chunk):
                yield packed
        yield packer.flush()


def _files(folder: Path, version: str) -> MapFiles:
    return MapFiles(version, folder / f"{version}.points.zst", folder / f"{version}.ids")


def _build(session: Session, projection: Projection, files: MapFiles) -> None:
    columns = build_columns(session, projection, files.version)
    packed = zstandard.ZstdCompressor(level=_LEVEL).compress(columns.points)
    try:
        files.points.parent.mkdir(parents=True, exist_ok=True)
        for path, content in ((files.ids, columns.ids), (files.points, packed)):
            # Another process may do the same: each writes aside, and both write the same.
            aside = path.with_suffix(f".{os.getpid()}")
            aside.write_bytes(content)
            aside.replace(path)
    except OSError as error:
        raise NotReadyError(
            f"The map cannot be kept in the data directory ({error.strerror}): free some space, "
            "or give the service the right to write there."
        ) from error
    _forget_old(files.points.parent)


def _forget_old(folder: Path) -> None:
    kept = sorted(folder.glob("*.points.zst"), key=lambda path: path.stat().st_mtime)
    for path in kept[:-_KEPT]:
        version = path.name.partition(".")[0]
        for one in (path, folder / f"{version}.ids"):
            with suppress(OSError):
                one.unlink()
