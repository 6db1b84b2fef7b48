"""A job type for tests that stores one row for each item, so that repeated work is visible."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import insert, text
from sqlalchemy.orm import Session

from app.core.access import AuditEvent
from app.jobs import registry
from app.jobs.records import Chunk, ChunkPlan, ChunkResult, ItemResult, JobRecord, Work
from glitch.errors import GlitchError

KIND = "probe"


def register(kind: str, handler: Any) -> None:
    """Register another job type in this process in addition to the built-in ones."""
    registry.KINDS[kind] = registry.JobKind(kind.capitalize(), "")
    registry._loaded[kind] = handler


@dataclass
class ProbeHandler:
    """Handler that writes one ``audit_event`` for each item.

    Parameters of the job: ``items`` and ``per_chunk`` (numbers), ``slow_s`` (seconds for each
    item), ``slow_plan_s`` and ``slow_finish_s`` (seconds), ``fail`` (names of items that fail until
    the file ``mended`` exists), ``break_plan`` (planning raises), ``break_chunk`` (ordinal of the
    chunk that raises until ``mended`` exists), ``busy`` (ignore cancel and stop requests),
    ``write_mb`` (write a file of this size for each item), ``padding`` (characters in each row).
    """

    runs: list[int] = field(default_factory=list)

    def plan(self, work: Work) -> Iterator[ChunkPlan]:
        if work.job.parameters.get("break_plan"):
            raise GlitchError("The plan cannot be made: give another.")
        _wait(work, work.job.parameters.get("slow_plan_s", 0))
        assert work.session.is_active
        names = [f"item-{index}" for index in range(work.job.parameters.get("items", 10))]
        per_chunk = work.job.parameters.get("per_chunk", 4)
        for start in range(0, len(names), per_chunk):
            yield ChunkPlan({"start": start}, names[start : start + per_chunk])

    def run_chunk(self, work: Work, chunk: Chunk) -> ChunkResult:
        self.runs.append(chunk.ordinal)
        is_mended = Path(work.job.parameters.get("mended", "/nonexistent")).exists()
        if chunk.ordinal == work.job.parameters.get("break_chunk") and not is_mended:
            raise GlitchError("This chunk cannot be done: mend it.")
        results = []
        for item in chunk.items:
            if item.name in work.job.parameters.get("fail", ()) and not is_mended:
                results.append(ItemResult(item.position, "failed", f"{item.name} is damaged."))
                continue
            work.session.execute(
                insert(AuditEvent).values(
                    actor="probe",
                    action="store",
                    subject=str(work.job.id),
                    subject_id=item.name,
                    details={"padding": "x" * work.job.parameters.get("padding", 0)},
                )
            )
            if megabytes := work.job.parameters.get("write_mb"):
                (work.data_dir / f"{work.job.id}-{item.name}").write_bytes(bytes(megabytes * 2**20))
            time.sleep(work.job.parameters.get("slow_s", 0))
            if not work.job.parameters.get("busy"):
                work.heartbeat()
            results.append(ItemResult(item.position))
        return ChunkResult(results)

    def finish(self, work: Work) -> Mapping[str, Any]:
        _wait(work, work.job.parameters.get("slow_finish_s", 0))
        return {"stored": len(stored(work.session, work.job))}


def _wait(work: Work, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        work.heartbeat()
        time.sleep(0.1)


def stored(session: Session, job: JobRecord) -> list[str]:
    """Return the sorted names of the items that the job stored, duplicates included."""
    rows = session.execute(
        text("SELECT subject_id FROM audit_event WHERE subject = :job ORDER BY subject_id"),
        {"job": str(job.id)},
    )
    return [name for (name,) in rows]


def expected(job: JobRecord) -> list[str]:
    """Return the sorted names of all items of the job."""
    return sorted(f"item-{index}" for index in range(job.parameters.get("items", 10)))
