"""Store the results of handlers: plans as chunks and items, results as items."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import insert, text
from sqlalchemy.orm import Session

from app.core import wording
from app.jobs.finalising import end_job, ending, lock_job
from app.jobs.leases import LeaseLostError, end_chunk
from app.jobs.records import Chunk, ChunkPlan, ChunkResult, Phase
from app.jobs.service import add_event
from app.jobs.tables import ITEM_STATES, Job, JobChunk

_CHUNKS_PER_STATEMENT = 500
_ITEMS_PER_STATEMENT = 5000

# One statement with arrays: a parameter row for each item would take many times as long.
_PLAN_ITEMS = text(
    """
    INSERT INTO job_item (job_id, ordinal, chunk, name, state)
    SELECT :job_id, ordinal, chunk, name, 'queued'
    FROM unnest(CAST(:ordinals AS bigint[]), CAST(:chunks AS int[]), CAST(:names AS text[]))
        AS new (ordinal, chunk, name)
    """
)
_END_ITEMS = text(
    """
    INSERT INTO job_item (job_id, ordinal, chunk, name, state, reason, glitch_id)
    SELECT :job_id, ordinal, :chunk, name, state, reason, glitch_id
    FROM unnest(CAST(:ordinals AS bigint[]), CAST(:names AS text[]), CAST(:states AS text[]),
        CAST(:reasons AS text[]), CAST(:glitch_ids AS uuid[]))
        AS new (ordinal, name, state, reason, glitch_id)
    ON CONFLICT (job_id, ordinal) DO UPDATE
    SET state = excluded.state, reason = excluded.reason,
        glitch_id = coalesce(excluded.glitch_id, job_item.glitch_id)
    """
)


class HandlerMistakeError(Exception):
    """A handler's result contradicts its input; a retry cannot help."""


def store_plan(session: Session, chunk: Chunk, plans: Iterable[ChunkPlan]) -> int:
    """Write the chunks and items of a plan in portions, and return the number of chunks.

    Raises:
        HandlerMistakeError: if a chunk has neither items nor units.
        LeaseLostError: if another worker has claimed the planning; the caller must roll back.
    """
    chunks: list[dict[str, Any]] = []
    items: list[tuple[int, int, str]] = []
    count = total = 0
    for plan in plans:
        units = len(plan.items) or plan.units
        if units < 1:
            raise HandlerMistakeError("A chunk must have items, or count for one unit or more.")
        chunks.append(
            {
                "job_id": chunk.job_id,
                "phase": Phase.RUN,
                "ordinal": count,
                "payload": dict(plan.payload),
                "first_item": total,
                "units": units,
            }
        )
        items += [(total + index, count, name) for index, name in enumerate(plan.items)]
        count, total = count + 1, total + units
        if len(chunks) >= _CHUNKS_PER_STATEMENT or len(items) >= _ITEMS_PER_STATEMENT:
            _write_plan(session, chunk, chunks, items)
            chunks, items = [], []
    _write_plan(session, chunk, chunks, items)
    end_chunk(session, chunk)
    job = _locked(session, chunk)
    job.total = total
    planned = f"{wording.count(total, 'item')} in {wording.count(count, 'chunk')}"
    add_event(session, chunk.job_id, "planned", planned)
    session.flush()
    return count


def store_result(session: Session, chunk: Chunk, result: ChunkResult) -> None:
    """Write the results of a chunk's items and mark the chunk as done.

    Raises:
        LeaseLostError: if another worker has claimed the chunk; the caller must roll back.
        HandlerMistakeError: if items are missing, duplicate or unknown.
    """
    states = _check(chunk, result)
    if not chunk.items:
        key = (chunk.job_id, int(chunk.phase), chunk.ordinal)
        row = session.get_one(JobChunk, key, populate_existing=True)
        open_units = row.units - row.done - row.failed - row.skipped
        states["done"] = open_units - states["failed"] - states["skipped"]
    end_chunk(session, chunk, **states)
    if result.items:
        names = {item.position: item.name for item in chunk.items}
        session.execute(
            _END_ITEMS,
            {
                "job_id": chunk.job_id,
                "chunk": chunk.ordinal,
                "ordinals": [chunk.first_item + item.position for item in result.items],
                "names": [
                    names.get(item.position) or item.name or str(item.position)
                    for item in result.items
                ],
                "states": [item.state for item in result.items],
                "reasons": [item.reason for item in result.items],
                "glitch_ids": [item.glitch_id for item in result.items],
            },
        )


def store_finish(session: Session, chunk: Chunk, result: Mapping[str, Any]) -> None:
    """Write a job's result and end the job.

    Raises:
        LeaseLostError: if another worker has claimed the finish; the caller must roll back.
    """
    end_chunk(session, chunk)
    state, detail = ending(session, chunk.job_id)
    job = _locked(session, chunk)
    job.result = dict(result)
    end_job(session, job, state, detail)
    session.flush()


def _locked(session: Session, chunk: Chunk) -> Job:
    job = lock_job(session, chunk.job_id)
    if job is None:
        raise LeaseLostError  # the job was removed together with its chunks
    return job


def _write_plan(
    session: Session, chunk: Chunk, chunks: list[dict[str, Any]], items: list[tuple[int, int, str]]
) -> None:
    if chunks:
        session.execute(insert(JobChunk), chunks)
    for start in range(0, len(items), _ITEMS_PER_STATEMENT):
        part = items[start : start + _ITEMS_PER_STATEMENT]
        ordinals, owners, names = (list(column) for column in zip(*part, strict=True))
        session.execute(
            _PLAN_ITEMS,
            {"job_id": chunk.job_id, "ordinals": ordinals, "chunks": owners, "names": names},
        )


def _check(chunk: Chunk, result: ChunkResult) -> Counter[str]:
    positions = [item.position for item in result.items]
    if len(set(positions)) != len(positions):
        raise HandlerMistakeError("An item was reported twice.")
    expected = {item.position for item in chunk.items}
    if chunk.items and set(positions) != expected:
        raise HandlerMistakeError(
            f"{len(expected - set(positions))} items were not reported, and "
            f"{len(set(positions) - expected)} unknown items were."
        )
    for item in result.items:
        if item.state not in ITEM_STATES[1:] or not 0 <= item.position < chunk.units:
            raise HandlerMistakeError(f"An item was reported as {item.state} at {item.position}.")
        if item.state == "failed" and not item.reason:
            raise HandlerMistakeError("An item failed without a reason.")
    return Counter(item.state for item in result.items)
