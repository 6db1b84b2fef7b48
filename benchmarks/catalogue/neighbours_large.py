"""Neighbours and novelty in a large catalogue: with the vector index, with a scan, and in memory.

    python -m benchmarks.catalogue.neighbours_large FOLDER [--queries 40] [--settings]

FOLDER is a catalogue made by ``big_catalogue``. Builds the index if it is missing and prints the
time. Then each type of search is run for stored glitches with both methods in turn: p50 and p90 of
the index, p50 of the scan, their ratio, and the fraction of the scan's ten nearest that the index
finds. With ``faiss`` installed, its HNSW with the same parameters is run in memory, without a
database. With ``--settings`` the index is also run with other settings of pgvector.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from app.classes.tables import GlitchClass
from app.core.embedded import start_embedded
from app.core.engine import make_engine, make_session_factory
from app.core.postgres.partitions import HNSW_EF_CONSTRUCTION, HNSW_M, ensure_vector_index
from app.glitches import neighbours
from app.glitches.records import GlitchFilters
from app.glitches.tables import Embedding, Glitch
from app.models.checkpoints import active_checkpoint
from app.novelty import single
from app.novelty.single import judge_novelty
from benchmarks.machine import heading

Row = tuple[Any, np.ndarray, Any]  # id, mean, detector
SETTINGS = ((40, "strict_order"), (100, "strict_order"), (200, "strict_order"))
SETTINGS += ((100, "relaxed_order"), (200, "relaxed_order"), (400, "relaxed_order"))


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Return the time in milliseconds, and the result."""
    started = time.perf_counter()
    result = work()
    return (time.perf_counter() - started) * 1e3, result


def searches(session: Session) -> dict[str, GlitchFilters]:
    """Return the filters that the pages offer most; for labels a common and a rare one."""
    counted = session.execute(
        select(GlitchClass.name, func.count())
        .join(Glitch, Glitch.class_id == GlitchClass.id)
        .group_by(GlitchClass.name)
        .order_by(func.count().desc())
    ).all()
    common, rare = counted[0].name, counted[-1].name
    return {
        "no filter": GlitchFilters(),
        "detector": GlitchFilters(ifos=("H1",)),
        "run O3b": GlitchFilters(gps_start=1_256_655_618, gps_end=1_269_363_618),
        f"label {common}": GlitchFilters(labels=(common,)),
        f"label {rare}": GlitchFilters(labels=(rare,)),
        "detector, SNR >= 30": GlitchFilters(ifos=("H1",), snr_min=30.0),
        "not labelled": GlitchFilters(is_labelled=False),
    }


def find(
    session: Session, row: Row, checkpoint_id: int, filters: GlitchFilters, exact: bool
) -> set:
    result = neighbours.find_neighbours(
        session,
        vector=row[1],
        checkpoint_id=checkpoint_id,
        k=10,
        filters=filters,
        exclude_id=row[0],
        exact=exact,
    )
    session.rollback()
    return {one.glitch.id for one in result}


def sampled(session: Session, checkpoint_id: int, count: int, *labels: str) -> list[Row]:
    """Draw stored glitches at random, only of these classes if any are given."""
    query = select(Embedding.glitch_id, Embedding.mean, Embedding.ifo).where(
        Embedding.checkpoint_id == checkpoint_id
    )
    if labels:
        of_class = select(Glitch.id).join(GlitchClass, Glitch.class_id == GlitchClass.id)
        query = query.where(Embedding.glitch_id.in_(of_class.where(GlitchClass.name.in_(labels))))
    return [
        (row[0], np.asarray(row[1], dtype=np.float32), row[2])
        for row in session.execute(query.order_by(func.random()).limit(count))
    ]


def compare_searches(session: Session, anywhere: list[Row], checkpoint_id: int) -> None:
    """Run each search for random glitches, those with a class also for glitches of that class."""
    print(f"\n{'search':32} {'p50':>7} {'p90':>7} {'scan p50':>9} {'ratio':>6} {'recall@10':>9}")
    cases = [(name, filters, anywhere) for name, filters in searches(session).items()]
    cases += [
        (f"{name}, from there", one, sampled(session, checkpoint_id, len(anywhere), *one.labels))
        for name, one, _ in cases
        if one.labels
    ]
    for name, filters, rows in cases:
        times: tuple[list[float], list[float]] = ([], [])
        hits = n_true = 0
        for row in rows:
            sets = []
            for way, exact in enumerate((False, True)):
                seconds, results = timed(
                    lambda r=row, e=exact, f=filters: find(session, r, checkpoint_id, f, e)
                )
                times[way].append(seconds)
                sets.append(results)
            hits += len(sets[0] & sets[1])
            n_true += len(sets[1])
        p50, p90 = np.percentile(times[0], [50, 90])
        scan = float(np.median(times[1]))
        recall = hits / max(n_true, 1)
        print(
            f"{name:32} {p50:7.1f} {p90:7.1f} {scan:9.1f} {scan / p50:6.1f} {recall:9.3f}",
            flush=True,
        )


def compare_novelty(session: Session, rows: list[Row], checkpoint_id: int) -> None:
    """Compare the service's novelty with that of a scan; differences must be on the safe side."""
    times: tuple[list[float], list[float]] = ([], [])
    smaller, largest = 0, 0.0
    usual = single.EXACT_BELOW
    for glitch_id, mean, ifo in rows:
        found = []
        for way, level in enumerate((usual, 2.0)):
            single.EXACT_BELOW = level  # at 2 the index is never used
            took, judged = timed(
                lambda m=mean, i=ifo, g=glitch_id: judge_novelty(
                    session,
                    vector=m,
                    checkpoint_id=checkpoint_id,
                    ifo=i,
                    origin="gravityspy",
                    condition="1 s, 10 to 2048 Hz",
                    exclude_id=g,
                )
            )
            session.rollback()
            times[way].append(took)
            found.append(judged.p_value or 0.0)
        smaller += found[0] < found[1]
        largest = max(largest, found[1] - found[0])
    single.EXACT_BELOW = usual
    p50, p90 = np.percentile(times[0], [50, 90])
    scan = float(np.median(times[1]))
    print(f"{'novelty of a newcomer':32} {p50:7.1f} {p90:7.1f} {scan:9.1f} {scan / p50:6.1f}")
    print(f"p-values below the scan's: {smaller} of {len(rows)}, by {largest:.4f} at most")


def compare_settings(session: Session, rows: list[Row], checkpoint_id: int) -> None:
    named = searches(session)
    hard = {name: named[name] for name in ("no filter", "detector, SNR >= 30")}
    print(f"\n{'settings':32} {'search':22} {'p50':>7} {'p90':>7} {'recall@10':>9}")
    usual = neighbours.prepare_index_scan
    for name, filters in hard.items():
        exact = [find(session, row, checkpoint_id, filters, True) for row in rows]
        for ef, mode in SETTINGS:

            def prepare(session: Session, ef: int = ef, mode: str = mode) -> None:
                session.execute(
                    text(
                        "SELECT set_config('hnsw.ef_search', :ef, true),"
                        " set_config('hnsw.iterative_scan', :mode, true)"
                    ),
                    {"ef": str(ef), "mode": mode},
                )

            neighbours.prepare_index_scan = prepare
            made = [
                timed(lambda r=row, f=filters: find(session, r, checkpoint_id, f, False))
                for row in rows
            ]
            hits = sum(len(one & other) for (_, one), other in zip(made, exact, strict=True))
            p50, p90 = np.percentile([took for took, _ in made], [50, 90])
            recall = hits / max(1, sum(map(len, exact)))
            print(f"ef {ef:3} {mode:24} {name:22} {p50:7.1f} {p90:7.1f} {recall:9.3f}", flush=True)
    neighbours.prepare_index_scan = usual


def compare_memory(session: Session, rows: list[Row], checkpoint_id: int) -> None:
    try:
        import faiss
    except ImportError:
        print("\nfaiss is not installed: no comparison in memory")
        return
    found = session.scalars(select(Embedding.mean).where(Embedding.checkpoint_id == checkpoint_id))
    vectors = np.array(found.all(), dtype=np.float32)
    faiss.omp_set_num_threads(1)
    index = faiss.IndexHNSWFlat(vectors.shape[1], HNSW_M)
    index.hnsw.efConstruction = HNSW_EF_CONSTRUCTION
    built, _ = timed(lambda: index.add(vectors))
    index.hnsw.efSearch = neighbours.EF_SEARCH
    times = [timed(lambda r=row: index.search(r[1][None], 11))[0] for row in rows]
    print(
        f"\nfaiss in memory: built in {built / 1e3:.0f} s by one thread, a search p50 "
        f"{np.median(times):.2f} ms; it filters nothing, and forgets with its process"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--queries", type=int, default=40)
    parser.add_argument("--settings", action="store_true")
    args = parser.parse_args()
    print(heading(), flush=True)
    server = start_embedded(args.folder / "database")
    try:
        engine = make_engine(server.url())
        with make_session_factory(engine)() as session:
            checkpoint = active_checkpoint(session)
            count = session.scalar(select(func.count()).select_from(Embedding))
            session.rollback()
            took, _ = timed(
                lambda: ensure_vector_index(
                    engine, checkpoint.id, checkpoint.latent_size, from_rows=1
                )
            )
            print(f"{count:,} glitches; index there after {took / 1e3:.0f} s", flush=True)
            rows = sampled(session, checkpoint.id, args.queries)
            compare_searches(session, rows, checkpoint.id)
            compare_novelty(session, rows, checkpoint.id)
            if args.settings:
                compare_settings(session, rows, checkpoint.id)
            compare_memory(session, rows, checkpoint.id)
        engine.dispose()
    finally:
        server.stop()


if __name__ == "__main__":
    main()
