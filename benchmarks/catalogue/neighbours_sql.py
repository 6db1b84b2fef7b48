"""Time of nearest-neighbour queries in the embedded PostgreSQL.

Fills a temporary server with Gaussian latent vectors, the hard case for an index, and prints p50
and p99 of ``find_neighbours`` as the service calls it, with and without filters, and of a novelty
test; also the processor time of each, which a busy machine affects less. With ``--index`` it then
builds the vector index and prints times and recall again.

    python -m benchmarks.catalogue.neighbours_sql [--rows 200000] [--queries 50] [--index]
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import numpy as np
import psutil
import psycopg
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from app.classes.naming import seed_classes
from app.classes.tables import GlitchClass
from app.core.database import uuid7
from app.core.embedded import EmbeddedServer, start_embedded
from app.core.engine import make_engine, make_session_factory
from app.core.migrate import upgrade
from app.core.postgres.partitions import ensure_vector_index
from app.glitches.neighbours import find_neighbours
from app.glitches.records import GlitchFilters
from app.models.checkpoints import publish_checkpoint
from app.novelty.single import judge_novelty
from benchmarks.machine import heading

GLITCH = "id, ifo, gps_time, snr, peak_frequency, origin, content_digest, class_id"
EMBEDDING = (
    "glitch_id, checkpoint_id, ifo, is_simulated, is_reference, mean, log_variance,"
    " reconstruction_error, kl, is_judged, calibration_score"
)


def fill(url: str, rows: int, dimensions: int, checkpoint_id: int, class_id: int) -> None:
    rng = np.random.default_rng(1)
    means = rng.normal(size=(rows, dimensions)).astype(np.float32)
    digests = [rng.bytes(32) for _ in range(rows)]
    keys = [uuid7() for _ in range(rows)]
    scores = rng.normal(3.0, 0.3, rows)
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        cursor = connection.cursor()
        with cursor.copy(f"COPY glitch ({GLITCH}) FROM STDIN") as copy:
            for number, (key, digest) in enumerate(zip(keys, digests, strict=True)):
                snr = float(7.5 + rng.pareto(2.0))
                gps = Decimal(1_200_000_000 + number * 60)
                ifo = ("H1", "L1")[number % 2]
                copy.write_row((key, ifo, gps, snr, 100.0, "gravityspy", digest, class_id))
        with cursor.copy(f"COPY embedding ({EMBEDDING}) FROM STDIN") as copy:
            for number, (key, digest) in enumerate(zip(keys, digests, strict=True)):
                vector = means[number].tolist()
                calibrates = digest[0] < 64
                score = float(scores[number]) if calibrates and number < 16_000 else None
                ifo = ("H1", "L1")[number % 2]
                row = (key, checkpoint_id, ifo, False, not calibrates, str(vector), vector)
                copy.write_row((*row, 1.0, 1.0, False, score))
        connection.commit()
        connection.autocommit = True
        connection.execute("VACUUM ANALYZE")


def server_cpu_s(server: EmbeddedServer) -> float:
    """Return the processor time used by the server, including parallel workers."""
    postmaster = psutil.Process(
        int((server.folder / "postgres" / "postmaster.pid").read_text().split()[0])
    )
    ended = postmaster.cpu_times()
    total = ended.children_user + ended.children_system
    for child in postmaster.children():
        with suppress(psutil.NoSuchProcess):
            used = child.cpu_times()
            total += used.user + used.system
    return float(total)


def measure(
    name: str, server: EmbeddedServer, queries: np.ndarray, ask: Callable[[np.ndarray], object]
) -> None:
    ask(queries[0])
    times, before = [], server_cpu_s(server)
    for query in queries:
        started = time.perf_counter()
        ask(query)
        times.append((time.perf_counter() - started) * 1e3)
    p50, p99 = np.percentile(times, [50, 99])
    cpu = (server_cpu_s(server) - before) / len(queries) * 1e3
    print(f"{name:<44} p50 {p50:7.1f} ms   p99 {p99:7.1f} ms   cpu {cpu:7.1f} ms", flush=True)


def report(
    session: Session, server: EmbeddedServer, queries: np.ndarray, checkpoint_id: int
) -> None:
    def search(filters: GlitchFilters) -> Callable[[np.ndarray], list[UUID]]:
        def ask(query: np.ndarray) -> list[UUID]:
            found = find_neighbours(
                session, vector=query, checkpoint_id=checkpoint_id, k=10, filters=filters
            )
            return [neighbour.glitch.id for neighbour in found]

        return ask

    measure("10 neighbours, no filter", server, queries, search(GlitchFilters()))
    measure(
        "10 neighbours, one detector of two", server, queries, search(GlitchFilters(ifos=("H1",)))
    )
    loud = GlitchFilters(snr_min=9.0)
    measure("10 neighbours, SNR >= 9 (one in six)", server, queries, search(loud))
    measure(
        "novelty against one detector's references",
        server,
        queries,
        lambda query: judge_novelty(
            session, vector=query, checkpoint_id=checkpoint_id, ifo="H1", origin="upload"
        ),
    )


def recall(session: Session, queries: np.ndarray, checkpoint_id: int) -> float:
    hits = 0
    for query in queries:
        both = [
            {
                neighbour.glitch.id
                for neighbour in find_neighbours(
                    session, vector=query, checkpoint_id=checkpoint_id, k=10, exact=exact
                )
            }
            for exact in (True, False)
        ]
        hits += len(both[0] & both[1])
    return hits / (10 * len(queries))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--dimensions", type=int, default=32)
    parser.add_argument("--queries", type=int, default=50)
    parser.add_argument("--index", action="store_true")
    options = parser.parse_args()
    print(heading(), flush=True)
    folder = Path(tempfile.mkdtemp(prefix="glitch-bench-"))
    server = start_embedded(folder)
    try:
        url = server.url()
        upgrade(url)
        engine = make_engine(url)
        with make_session_factory(engine)() as session:
            seed_classes(session)
            checkpoint = publish_checkpoint(
                session,
                name="gaussian",
                digest="0" * 64,
                preprocessing_digest="0" * 64,
                latent_size=options.dimensions,
                manifest={},
            )
            class_id = session.scalar(select(GlitchClass.id).limit(1)) or 0
            session.commit()
            fill(url, options.rows, options.dimensions, checkpoint.id, class_id)
            rng = np.random.default_rng(2)
            shape = (options.queries, options.dimensions)
            queries = rng.normal(size=shape).astype(np.float32)
            version = session.scalar(text("SELECT split_part(version(), ' ', 2)"))
            print(f"PostgreSQL {version}, {options.rows} rows x {options.dimensions} dimensions")
            report(session, server, queries, checkpoint.id)
            if options.index:
                session.commit()
                started, used = time.perf_counter(), server_cpu_s(server)
                ensure_vector_index(engine, checkpoint.id, options.dimensions, from_rows=1)
                wall, cpu = time.perf_counter() - started, server_cpu_s(server) - used
                print(f"vector index built in {wall:.0f} s, {cpu:.0f} s processor")
                report(session, server, queries, checkpoint.id)
                print(f"recall@10 {recall(session, queries, checkpoint.id):.3f}")
        engine.dispose()
    finally:
        server.stop()
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
