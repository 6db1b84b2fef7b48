"""Fill an empty database with a large synthetic catalogue, for benchmarks only.

    python -m benchmarks.catalogue.big_catalogue FOLDER [--glitches 100000] [--views 1.0]

FOLDER becomes a data directory (``GLITCH_DATA_DIR``) with its own database. Glitches are of 40
types on the sphere of v2's posterior means; 70 % are labelled, 2 % are of types without a class. Up
to 2000 glitches of a detector and observing run calibrate. Clusters are stored as if they had been
found. Each glitch has a label or none, a novelty, one small view, and a place on the map (random:
UMAP is not run).
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
from sqlalchemy import Engine, select, text
from sqlalchemy.orm import Session

from app.classes.naming import seed_classes
from app.classes.tables import GlitchClass
from app.core.embedded import EmbeddedServer, start_embedded
from app.core.engine import make_engine, make_session_factory
from app.core.migrate import upgrade
from app.core.postgres.binary_copy import write_rows
from app.launch.publish import publish_shipped
from app.map.job import count_points, store_places
from app.map.tables import Projection
from app.novelty.single import MAX_CALIBRATION
from benchmarks.catalogue.big_clusters import store_clusters
from glitch.codec import pack_view
from glitch.observing_runs import OBSERVING_RUNS, RUN_ENDS_S

KINDS = 40
UNKNOWN_KINDS = 4  # the last types: never labelled, always novel
LABELLED = 0.7
GPS_START, GPS_END = 1_126_000_000, 1_390_000_000
IFOS = np.array([b"H1", b"L1", b"V1"], dtype="S2")
SMALLEST_CLUSTER, LARGEST_CLUSTER = 5, 300
PICTURES = 64  # number of different views, assigned in turn
FLOAT4_OID = 700
CONDITION = b"1 s, 10 to 2048 Hz"  # one picture of 1 s


def fill(engine: Engine, folder: Path, count: int, share_with_views: float) -> None:
    """Write all rows in one transaction, then update the planner's statistics."""
    started = time.perf_counter()
    with make_session_factory(engine).begin() as session:
        seed_classes(session)
        checkpoint = publish_shipped(session, folder)
        columns = _generate(session, count, checkpoint.latent_size)
        _store_glitches(session, columns)
        _store_embeddings(session, columns, checkpoint.id)
        _store_labels(session)
        _store_views(session, share_with_views)
        _store_map(session, columns, checkpoint.id)
        store_clusters(session, checkpoint.id, _groups(columns))
    print(f"rows      {time.perf_counter() - started:.1f} s", flush=True)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))


def _generate(session: Session, count: int, latent: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(7)
    class_ids = np.array(session.scalars(select(GlitchClass.id).order_by(GlitchClass.id)).all())
    # A few classes have most glitches, as in the observing runs.
    weights = 1 / (1 + np.arange(KINDS - UNKNOWN_KINDS))
    weights = 0.98 * weights / weights.sum()
    few = np.full(UNKNOWN_KINDS, 0.02 / UNKNOWN_KINDS)
    kind = rng.choice(KINDS, size=count, p=np.concatenate([weights, few]))
    is_unknown = kind >= KINDS - UNKNOWN_KINDS
    is_labelled = ~is_unknown & (rng.random(count) < LABELLED)
    middles = rng.standard_normal((KINDS, latent)) * 1.5
    means = middles[kind] + 0.6 * rng.standard_normal((count, latent))
    means *= np.sqrt(latent) / np.linalg.norm(means, axis=1, keepdims=True)
    centres = np.stack([np.cos(np.arange(KINDS) * 2.4), np.sin(np.arange(KINDS) * 2.4)], axis=1)
    spots = centres * np.sqrt((np.arange(KINDS) + 0.5) / KINDS)[:, None] * 0.9
    spread = np.where(is_unknown, 0.008, 0.035)[:, None]
    return {
        "kind": kind,
        "id": _uuids(rng, count),
        "digest": np.frombuffer(rng.bytes(32 * count), dtype="V32"),
        "ifo": IFOS[rng.integers(0, len(IFOS), count)],
        "gps_time": np.sort(rng.uniform(GPS_START, GPS_END, count)).round(4),
        "snr": 7.5 + rng.pareto(2.0, count),
        "frequency": 10 * 2 ** rng.uniform(0, 7.6, count),
        "class_id": np.where(is_labelled, class_ids[kind % len(class_ids)], 0),
        "mean": means.astype(np.float32),
        "p_value": np.where(is_unknown, 1e-6, rng.random(count)),
        "place": np.clip(spots[kind] + spread * rng.standard_normal((count, 2)), -1, 1),
    }


def _uuids(rng: np.random.Generator, count: int) -> np.ndarray:
    """Return UUIDs of version 7, 0.1 ms apart, up to the current time."""
    now_ms = int(time.time() * 1000) - count // 10 - 60_000
    milliseconds = (now_ms + np.arange(count) // 10).astype(">u8").view("u1").reshape(-1, 8)
    octets = np.frombuffer(rng.bytes(16 * count), dtype=np.uint8).reshape(-1, 16).copy()
    octets[:, :6] = milliseconds[:, 2:]
    # Within a millisecond a counter gives the order.
    counter = (np.arange(count) % 10).astype(np.uint8)
    octets[:, 6], octets[:, 7] = 0x70, counter
    octets[:, 8] = 0x80 | (octets[:, 8] & 0x3F)
    return np.ascontiguousarray(octets).view("V16").ravel()


def _store_glitches(session: Session, data: dict[str, np.ndarray]) -> None:
    session.execute(
        text(
            "CREATE TEMPORARY TABLE invented (id uuid, digest bytea, ifo text, gps_time float8,"
            " snr float8, frequency float8, class_id int4) ON COMMIT DROP"
        )
    )
    columns = {
        "id": "V16",
        "digest": "V32",
        "ifo": "S2",
        "gps_time": "f8",
        "snr": "f8",
        "frequency": "f8",
        "class_id": "i4",
    }
    write_rows(session, "invented", _table(data, columns))
    session.execute(
        text(
            "INSERT INTO glitch (id, gravityspy_id, ifo, channel, gps_time, snr, peak_frequency,"
            " duration, bandwidth, q, origin, content_digest, class_id)"
            " SELECT id, substr(encode(digest, 'hex'), 1, 12), ifo,"
            " ifo || '\\:GDS-CALIB_STRAIN', gps_time::numeric, snr, frequency, 0.1, frequency, 10,"
            " 'gravityspy', digest, nullif(class_id, 0) FROM invented ORDER BY id"
        )
    )


def _store_embeddings(session: Session, data: dict[str, np.ndarray], checkpoint_id: int) -> None:
    count, latent = data["mean"].shape
    vector = np.dtype([("dim", "i2"), ("unused", "i2"), ("values", "f4", (latent,))])
    cell = np.dtype([("length", "i4"), ("value", "f4")])
    about: list[tuple[str, Any]] = [
        (name, "i4") for name in ("ndim", "nulls", "type", "size", "first")
    ]
    array = np.dtype([*about, ("cells", cell, (latent,))])
    columns: list[tuple[str, Any]] = [
        ("glitch_id", "V16"),
        ("checkpoint_id", "i4"),
        ("ifo", "S2"),
        ("is_simulated", "?"),
        ("is_reference", "?"),
        ("mean", vector),
        ("log_variance", array),
        *((name, "f8") for name in ("reconstruction_error", "kl", "novelty_score", "p_value")),
        ("is_judged", "?"),
        ("condition", f"S{len(CONDITION)}"),
    ]
    rows = np.zeros(count, dtype=columns)
    rows["glitch_id"], rows["checkpoint_id"], rows["ifo"] = data["id"], checkpoint_id, data["ifo"]
    rows["is_reference"] = data["class_id"] > 0
    rows["mean"]["dim"], rows["mean"]["values"] = latent, data["mean"]
    variance = rows["log_variance"]
    variance["ndim"], variance["type"], variance["size"] = 1, FLOAT4_OID, latent
    variance["first"], variance["cells"]["length"], variance["cells"]["value"] = 1, 4, -2.0
    rows["reconstruction_error"], rows["kl"] = 100.0, 20.0
    rows["novelty_score"], rows["p_value"] = 1 - data["p_value"], data["p_value"]
    rows["is_judged"] = True
    rows["condition"] = CONDITION
    write_rows(session, "embedding", rows)
    _calibrate(session, checkpoint_id)


def _calibrate(session: Session, checkpoint_id: int) -> None:
    """Give references of each detector and run random scores, as many as calibration uses."""
    ends = zip(OBSERVING_RUNS, RUN_ENDS_S, strict=False)
    run = "CASE " + " ".join(f"WHEN gps_time < {end} THEN '{name}'" for name, end in ends)
    session.execute(
        text(
            "UPDATE embedding SET calibration_run = chosen.run,"  # noqa: S608 - our own runs
            " calibration_score = 0.02 + 0.2 * random()"
            f" FROM (SELECT id, run, row_number() OVER (PARTITION BY ifo, run) AS place"
            f" FROM (SELECT id, ifo, {run} END AS run FROM glitch WHERE class_id IS NOT NULL)"
            " AS known) AS chosen"
            " WHERE glitch_id = chosen.id AND checkpoint_id = :checkpoint"
            " AND chosen.place <= :most"
        ),
        {"checkpoint": checkpoint_id, "most": MAX_CALIBRATION},
    )


def _store_labels(session: Session) -> None:
    session.execute(
        text(
            "INSERT INTO label (id, glitch_id, class_id, author, source)"
            " SELECT uuidv7(), id, class_id, 'benchmark', 'batch' FROM glitch"
            " WHERE class_id IS NOT NULL"
        )
    )


def _store_views(session: Session, share: float) -> None:
    rng = np.random.default_rng(3)
    time_axis, frequency_axis = np.meshgrid(np.linspace(-1, 1, 128), np.linspace(-1, 1, 128))
    pictures = []
    for _ in range(PICTURES):
        centre, width, slope = rng.uniform(-0.5, 0.5), rng.uniform(0.02, 0.2), rng.uniform(-1, 1)
        ridge = np.exp(-(((time_axis - centre - slope * frequency_axis) / width) ** 2))
        blob = ridge * np.exp(-((frequency_axis - rng.uniform(-0.5, 0.5)) ** 2) / 0.3)
        pictures.append(pack_view((np.round(blob * 40) / 40).astype(np.float32)))
    session.execute(text("CREATE TEMPORARY TABLE picture (n int, packed bytea) ON COMMIT DROP"))
    session.execute(
        text("INSERT INTO picture VALUES (:n, :packed)"),
        [{"n": number, "packed": packed} for number, packed in enumerate(pictures)],
    )
    session.execute(
        text(
            "INSERT INTO view (glitch_id, duration, packed, observed, n_frequency, n_time)"
            " SELECT g.id, 1.0, p.packed, decode(repeat('ff', 16), 'hex'), 128, 128"
            " FROM glitch g JOIN picture p ON p.n = get_byte(g.content_digest, 1) % :pictures"
            " WHERE get_byte(g.content_digest, 2) < 256 * cast(:share AS float8)"
        ),
        {"pictures": PICTURES, "share": share},
    )


def _store_map(session: Session, data: dict[str, np.ndarray], checkpoint_id: int) -> None:
    row = Projection(
        checkpoint_id=checkpoint_id, seed=0, n_laid_out=0, author="benchmark", is_ready=True
    )
    session.add(row)
    session.flush()
    places = data["place"].astype(np.float32)
    store_places(session, row.id, data["id"], places, is_anchor=False)
    count_points(session, row.id)


def _groups(data: dict[str, np.ndarray]) -> list[list[UUID]]:
    """Return the first unlabelled glitches of each type, as a clustering might find them."""
    groups = []
    for kind in range(KINDS):
        rows = np.flatnonzero((data["kind"] == kind) & (data["class_id"] == 0))[:LARGEST_CLUSTER]
        groups.append([UUID(bytes=one.tobytes()) for one in data["id"][rows]])
    return [group for group in groups if len(group) >= SMALLEST_CLUSTER]


def _table(data: dict[str, np.ndarray], columns: dict[str, str]) -> np.ndarray:
    rows = np.zeros(len(data["id"]), dtype=list(columns.items()))
    for name in columns:
        rows[name] = data[name]
    return rows


def make_catalogue(
    folder: Path, count: int, share_with_views: float
) -> tuple[EmbeddedServer, Engine]:
    """Start a server with such a catalogue in ``folder/database``; the caller stops it."""
    folder.mkdir(parents=True, exist_ok=True)
    server = start_embedded(folder / "database")
    url = server.ensure_database("glitch")
    upgrade(url)
    engine = make_engine(url)
    fill(engine, folder, count, share_with_views)
    return server, engine


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--glitches", type=int, default=100_000)
    parser.add_argument("--views", type=float, default=1.0, help="share of glitches with a view")
    args = parser.parse_args()
    if args.folder.exists() and any(args.folder.iterdir()):
        raise SystemExit(f"{args.folder} is not empty: name a new folder, nothing is overwritten.")
    server, engine = make_catalogue(args.folder, args.glitches, args.views)
    size = sum(path.stat().st_size for path in args.folder.rglob("*") if path.is_file())
    print(f"{args.glitches:,} glitches in {args.folder}, {size / 1e9:.2f} GB")
    engine.dispose()
    server.stop()


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
