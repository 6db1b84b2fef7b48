"""The map as columns for drawing: one buffer, 36 bytes per glitch, little-endian, kept on disk.

The buffer starts with the eight bytes ``GLMAP001``, the length of the header as an unsigned 32-bit
integer, and the header, a JSON object padded with spaces so that it ends at a multiple of eight
bytes from the start. The columns follow. The header names each column with its type, its offset
from the end of the header, and its length; it also holds the lists that columns index.

Gathering a million points takes seconds, and reading them back a fraction of one. So they are built
once for each state of the catalogue. A file is named after its version; a label, a clustering, a
new glitch or a new layout makes another version.
"""

import hashlib
import json
import threading
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import zstandard
from psycopg import sql
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from app.classes.tables import GlitchClass
from app.core.errors import NotFoundError, NotReadyError
from app.core.postgres.binary_copy import read_rows
from app.core.storage import arriving_file
from app.glitches.tables import ORIGINS
from app.map.records import MapFiles, Projection
from app.map.service import current_projection
from glitch.observing_runs import ERA_ENDS_S, ERAS

MAGIC = b"GLMAP001"
_ALIGNED = 8
_UNKNOWN_IFO = b"??"
# Name -> (type sent by the database, type in the buffer).
_COLUMNS: dict[str, tuple[str, str]] = {
    "x": (">f4", "<f4"),
    "y": (">f4", "<f4"),
    "gps_time": (">f8", "<f8"),  # s; NaN if unknown
    "p_value": (">f4", "<f4"),  # lower is more novel; NaN if it could not be judged
    "class": (">i4", "<u2"),  # index into ``classes``; 0: no label
    "cluster": (">i4", "<u2"),  # index into ``clusters``; 0: in no cluster
    "ifo": ("S2", "<u1"),  # index into ``ifos``; 0: unknown
    "is_simulated": ("?", "<u1"),
    "snr": (">f4", "<f4"),  # NaN if unknown
    "peak_frequency": (">f4", "<f4"),  # Hz; NaN if unknown
    "origin": (">i4", "<u1"),  # index into ``origins``; never 0
}
_COMPUTED = {"run": "<u1"}  # index into ``runs``, computed from the time; 0: unknown
# Column of categories -> list in the header that it indexes.
CATEGORIES = {
    "class": "classes",
    "ifo": "ifos",
    "origin": "origins",
    "run": "runs",
    "cluster": "clusters",
}
# The clusters of the latest run of simulated glitches and of the latest run of measured ones,
# largest first. Split clusters are left out, because their parts are included.
_SHOWN_CLUSTERS = """
SELECT c.id, c.state, row_number() OVER (ORDER BY c.size DESC, c.id)::int4 AS number
FROM cluster c WHERE c.state <> 'split' AND c.run_id IN (
  SELECT DISTINCT ON (is_simulated) id FROM clustering_run
  ORDER BY is_simulated, created_at DESC, id DESC)
"""
_POINTS = """
WITH shown AS ({shown}), member AS (
  SELECT m.glitch_id, min(s.number) AS number
  FROM cluster_member m JOIN shown s ON s.id = m.cluster_id GROUP BY m.glitch_id)
SELECT p.glitch_id, p.x, p.y, coalesce(g.gps_time::float8, 'NaN'),
  coalesce(e.p_value::real, 'NaN'), coalesce(g.class_id, 0), coalesce(m.number, 0),
  coalesce(g.ifo, '??'), g.is_simulated, coalesce(g.snr::real, 'NaN'),
  coalesce(g.peak_frequency::real, 'NaN'), array_position({origins}, g.origin)
FROM map_point p
JOIN glitch g ON g.id = p.glitch_id
JOIN embedding e ON e.glitch_id = p.glitch_id AND e.checkpoint_id = {checkpoint}
LEFT JOIN member m ON m.glitch_id = p.glitch_id
WHERE p.projection_id = {projection} ORDER BY p.glitch_id
"""


@dataclass(frozen=True, eq=False)
class Columns:
    """A map, ready to be sent."""

    points: bytes
    ids: bytes  # 16 bytes a glitch, in the order of the points


def build_columns(session: Session, projection: Projection, version: str) -> Columns:
    """Build the columns of every point of a projection, ordered by id."""
    query = sql.SQL(_POINTS).format(
        shown=sql.SQL(_SHOWN_CLUSTERS),
        checkpoint=sql.Literal(projection.checkpoint_id),
        projection=sql.Literal(projection.id),
        origins=sql.Literal(list(ORIGINS)),
    )
    sent = [(name, kind) for name, (kind, _) in _COLUMNS.items()]
    rows = read_rows(session, query, np.dtype([("id", "V16"), *sent]))
    columns = {name: rows[name] for name in _COLUMNS}
    classes, columns["class"] = _classes(session, rows["class"])
    ifos, columns["ifo"] = _ifos(rows["ifo"])
    times = rows["gps_time"]
    run = np.searchsorted(ERA_ENDS_S, times, side="right") + 1
    columns["run"] = np.where(np.isnan(times), 0, run)
    clusters: list[dict[str, Any]] = [{"id": None, "state": None}]
    for row in session.execute(text(f"{_SHOWN_CLUSTERS} ORDER BY number")):
        clusters.append({"id": str(row.id), "state": row.state})
    header = {
        "version": version,
        "n_points": len(rows),
        "n_laid_out": projection.n_laid_out,
        "drawn_at": projection.created_at.isoformat(),
        "classes": _counted(classes, columns["class"]),
        "ifos": _counted(ifos, columns["ifo"]),
        "origins": _counted(_named(ORIGINS), columns["origin"]),
        "runs": _counted(_named(ERAS), columns["run"]),
        "clusters": _counted(clusters, columns["cluster"]),
    }
    return Columns(pack(header, columns), np.ascontiguousarray(rows["id"]).tobytes())


def pack(header: Mapping[str, Any], columns: Mapping[str, np.ndarray]) -> bytes:
    """Pack a header and its columns into a buffer; each column is aligned for its type."""
    described, parts, offset = [], [], 0
    kinds = {name: kind for name, (_, kind) in _COLUMNS.items()} | _COMPUTED
    for name, kind in kinds.items():
        part = columns[name].astype(kind).tobytes()
        described.append({"name": name, "type": kind[1:], "offset": offset, "length": len(part)})
        padding = -len(part) % _ALIGNED
        parts += [part, bytes(padding)]
        offset += len(part) + padding
    words = json.dumps({**header, "columns": described}, separators=(",", ":")).encode()
    words += b" " * (-(len(MAGIC) + 4 + len(words)) % _ALIGNED)
    return b"".join([MAGIC, len(words).to_bytes(4, "little"), words, *parts])


def unpack(buffer: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return the header and the columns of a buffer; the columns are views of it."""
    if not buffer.startswith(MAGIC):
        raise ValueError("This is no map of ours.")
    start = len(MAGIC) + 4
    end = start + int.from_bytes(buffer[len(MAGIC) : start], "little")
    header = json.loads(buffer[start:end])
    columns = {
        one["name"]: np.frombuffer(
            buffer,
            dtype=f"<{one['type']}",
            offset=end + one["offset"],
            count=one["length"] // np.dtype(one["type"]).itemsize,
        )
        for one in header["columns"]
    }
    return header, columns


def _classes(session: Session, ids: np.ndarray) -> tuple[list[dict[str, Any]], np.ndarray]:
    """Return the classes, with "no label" first, and the index of each glitch's class."""
    rows = session.execute(
        select(GlitchClass.id, GlitchClass.name)
        .where(GlitchClass.state != "withdrawn")
        .order_by(GlitchClass.name)
    ).all()
    index = np.zeros(max([row.id for row in rows], default=0) + 1, dtype=np.uint16)
    for number, row in enumerate(rows, start=1):
        index[row.id] = number
    # A class may have been withdrawn between the two queries; its glitches have no label then.
    known = np.where(ids < len(index), ids, 0)
    return _named([row.name for row in rows]), index[known]


def _ifos(names: np.ndarray) -> tuple[list[dict[str, Any]], np.ndarray]:
    distinct, index = np.unique(names, return_inverse=True)
    detectors = [one.decode() for one in distinct if one != _UNKNOWN_IFO]
    # "?" sorts before letters. If no detector is unknown, 0 is not used: shift all indices by one.
    shifted = index + (len(detectors) == len(distinct))
    return _named(detectors), shifted


def _named(names: Sequence[str]) -> list[dict[str, Any]]:
    return [{"name": None}, *({"name": name} for name in names)]


def _counted(entries: Sequence[dict[str, Any]], index: np.ndarray) -> list[dict[str, Any]]:
    counts = np.bincount(index.astype(np.int64), minlength=len(entries))
    return [{**one, "count": int(count)} for one, count in zip(entries, counts, strict=True)]


Coding = Literal["zstd", "gzip", "identity"]
FOLDER = "map"  # in the data directory
_INCOMPLETE_AFTER_S = 3600.0
_KEPT = 4  # versions; a client that still shows an old one needs its ids
_LEVEL = 3
_CHUNK = 1 << 18
# Labels are only added and revoked. They are counted, because the latest id does not change when a
# label with an earlier id is committed later.
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
_building = threading.Lock()  # a second request waits for the file of the first


def map_files(session: Session, data_dir: Path) -> MapFiles:
    """Return the columns of the current map; build them if they are not on disk.

    Novelty is shown as it was when the version was built: judging the catalogue again makes a new
    version only if a clustering follows.
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
    """Return 20 hexadecimal digits that identify the content of the columns."""
    state = session.execute(text(_STATE)).one()
    # The time too, because the ids of a new database start again at 1.
    content = (projection.id, projection.created_at, projection.n_points, *state)
    return hashlib.sha256(repr(content).encode()).hexdigest()[:20]


def files_of_version(data_dir: Path, version: str) -> MapFiles:
    """Return the files of a version."""
    files = _files(data_dir / FOLDER, version)
    is_name = version.isalnum() and version.isascii()
    if not (is_name and files.ids.exists() and files.points.exists()):
        raise NotFoundError("The map has changed since: load it again.")
    return files


def coding_for(accept_encoding: str) -> Coding:
    """Choose a compression that the client accepts, given its Accept-Encoding header."""
    names = {
        part.split(";")[0].strip()
        for part in accept_encoding.lower().split(",")
        if part.replace(" ", "").rpartition(";q=")[2] not in ("0", "0.0", "0.00", "0.000")
    }
    if "zstd" in names:
        return "zstd"
    return "gzip" if "gzip" in names else "identity"


def headers_for(files: MapFiles, coding: Coding) -> dict[str, str]:
    """Return headers of the points: the client caches them and revalidates before each use."""
    headers = {
        "ETag": f'"{files.version}-{coding}"',
        "Cache-Control": "private, no-cache",
        "Vary": "Accept-Encoding",
    }
    return headers if coding == "identity" else {**headers, "Content-Encoding": coding}


def is_known(if_none_match: str, files: MapFiles, coding: Coding) -> bool:
    """Whether the client already has this version in this coding."""
    tags = {part.strip().removeprefix("W/") for part in if_none_match.split(",")}
    return headers_for(files, coding)["ETag"] in tags or "*" in tags


def stream(path: Path, coding: Coding) -> Iterator[bytes]:
    """Yield a zstd-compressed file in chunks: unchanged, as gzip, or uncompressed."""
    with path.open("rb") as file:
        if coding == "zstd":
            while chunk := file.read(_CHUNK):
                yield chunk
            return
        plain = zstandard.ZstdDecompressor().read_to_iter(file, write_size=_CHUNK)
        if coding == "identity":
            yield from plain
            return
        packer = zlib.compressobj(1, wbits=31)  # 31: with a gzip header
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
            # Another process may write the same content: write a temporary file and rename it.
            with arriving_file(path.parent) as (file, part):
                file.write(content)
                file.close()
                part.replace(path)
    except OSError as error:
        raise NotReadyError(
            f"The map cannot be kept in the data directory ({error.strerror}): free some space, "
            "or let the service write there."
        ) from error
    _forget_old(files.points.parent)


def _forget_old(folder: Path) -> None:
    """Remove old versions, and incomplete files of processes that were killed."""
    maps = sorted(folder.glob("*.points.zst"), key=lambda path: path.stat().st_mtime)
    kept, dropped = ({_version(one) for one in some} for some in (maps[-_KEPT:], maps[:-_KEPT]))
    for one in folder.iterdir():
        with suppress(OSError):
            is_incomplete = one.suffix not in (".zst", ".ids") or _version(one) not in kept
            age_s = time.time() - one.stat().st_mtime
            if _version(one) in dropped or (is_incomplete and age_s > _INCOMPLETE_AFTER_S):
                one.unlink()


def _version(path: Path) -> str:
    return path.name.partition(".")[0]
