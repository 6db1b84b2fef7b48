"""The job kind ``index``: a vector index for a large catalogue, and an audit of its recall.

With ``INDEX_FROM_ROWS`` embeddings or more an exact scan takes too long, so the active checkpoint
gets an HNSW index, which may miss a neighbour. Its recall is measured once a day: stored glitches
are searched for by both methods, and the fraction that the index finds is the job's result.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

import numpy as np
from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from app.core.errors import NotReadyError
from app.core.postgres import partitions
from app.glitches.neighbours import find_neighbours
from app.glitches.tables import Embedding
from app.jobs.finalising import DATABASE_CLOCK
from app.jobs.records import OPEN_STATES, Chunk, ChunkPlan, ChunkResult, Work
from app.jobs.service import create_job
from app.jobs.tables import Job
from app.models.checkpoints import active_checkpoint

KIND = "index"
AUTHOR = "scheduler"
AUDIT_EVERY = timedelta(days=1)
AUDITED = 50  # number of searches; gives recall to a few per cent
NEAREST = 10


@dataclass(frozen=True)
class IndexAudit:
    """Recall and search times of a checkpoint's vector index."""

    checkpoint: str
    recall: float  # fraction of the ten nearest neighbours that it finds, 0 to 1
    searches: int
    index_ms: float  # median of one search
    exact_ms: float
    made_at: datetime


def queue_index_job(session: Session, *, from_rows: int = partitions.INDEX_FROM_ROWS) -> str | None:
    """Queue the build or audit of the active checkpoint's index if due; the checkpoint's name.

    A build that failed or was cancelled is tried again the next day.
    """
    try:
        checkpoint = active_checkpoint(session)
    except NotReadyError:
        return None
    if not partitions.has_rows(session, checkpoint.id, from_rows):
        return None
    recent = select(Job.id).where(
        Job.kind == KIND,
        Job.key == str(checkpoint.id),
        Job.state.in_(OPEN_STATES) | (Job.finished_at > DATABASE_CLOCK - AUDIT_EVERY),
    )
    if session.scalar(recent.limit(1)) is not None:
        return None
    parameters = {
        "checkpoint_id": checkpoint.id,
        "checkpoint": checkpoint.name,
        "latent_size": checkpoint.latent_size,
        "from_rows": from_rows,
    }
    create_job(session, KIND, parameters, AUTHOR, key=str(checkpoint.id))
    return checkpoint.name


def latest_audit(session: Session, checkpoint_id: int) -> IndexAudit | None:
    """Latest audit of a checkpoint's index; None if there is none."""
    row = session.scalar(
        select(Job)
        .where(Job.kind == KIND, Job.key == str(checkpoint_id), Job.state == "succeeded")
        .order_by(Job.created_at.desc())
        .limit(1)
    )
    if row is None or not row.result or "recall" not in row.result or row.finished_at is None:
        return None
    measures = {name: row.result[name] for name in ("recall", "searches", "index_ms", "exact_ms")}
    return IndexAudit(checkpoint=row.parameters["checkpoint"], made_at=row.finished_at, **measures)


class IndexHandler:
    """The ``JobHandler`` of index jobs; it has no state."""

    def plan(self, *_: object) -> Iterator[ChunkPlan]:
        """Plan one chunk: PostgreSQL builds the index in one statement."""
        yield ChunkPlan({"what": "build"})

    def run_chunk(self, work: Work, chunk: Chunk) -> ChunkResult:  # noqa: ARG002  (a handler's)
        """Build the index concurrently on a separate connection, checking for cancellation."""
        parameters = work.job.parameters
        engine = cast("Engine", work.session.get_bind())

        def check() -> None:
            work.heartbeat()
            work.note(partitions.build_progress(engine, parameters["checkpoint_id"]))

        partitions.ensure_vector_index(
            engine,
            parameters["checkpoint_id"],
            parameters["latent_size"],
            from_rows=parameters["from_rows"],
            check=check,
        )
        work.note(None)
        return ChunkResult()

    def finish(self, work: Work) -> Mapping[str, Any]:
        """Measure recall and times by searching with and without the index."""
        checkpoint_id = work.job.parameters["checkpoint_id"]
        if not partitions.has_vector_index(work.session, checkpoint_id):
            return {"is_indexed": False}
        return {"is_indexed": True} | _audited(work, checkpoint_id)


def _audited(work: Work, checkpoint_id: int) -> dict[str, Any]:
    sample = work.session.execute(
        select(Embedding.glitch_id, Embedding.mean)
        .where(Embedding.checkpoint_id == checkpoint_id)
        .order_by(func.random())
        .limit(AUDITED)
    ).all()
    n_found = n_expected = 0
    times: dict[bool, list[float]] = {True: [], False: []}
    for glitch_id, mean in sample:
        nearest: dict[bool, set[Any]] = {}
        for is_exact in (False, True):
            started = time.perf_counter()
            neighbours = find_neighbours(
                work.session,
                vector=np.asarray(mean, dtype=np.float32),
                checkpoint_id=checkpoint_id,
                k=NEAREST,
                exclude_id=glitch_id,
                exact=is_exact,
            )
            times[is_exact].append((time.perf_counter() - started) * 1e3)
            nearest[is_exact] = {one.glitch.id for one in neighbours}
        n_found += len(nearest[False] & nearest[True])
        n_expected += len(nearest[True])
        work.session.expunge_all()
        work.heartbeat()
    return {
        "recall": round(n_found / n_expected, 4) if n_expected else 1.0,
        "searches": len(sample),
        "index_ms": round(float(np.median(times[False])), 2),
        "exact_ms": round(float(np.median(times[True])), 2),
    }
