"""The job of kind ``judge``: update every p-value of the catalogue.

It follows a batch, many label changes, and an upgrade. Only one is open at a time: requests while
it waits share it; a request while it runs creates another when it ends.
"""

from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import cast, func, select, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session

from app.glitches.tables import Embedding
from app.jobs.records import OPEN_STATES, Chunk, ChunkPlan, ChunkResult, Work
from app.jobs.service import create_job
from app.jobs.tables import Job
from app.models.checkpoints import active_id
from app.novelty.catalogue import REJUDGED_AT_ONCE, embedded_after, recalibrate, rejudge
from app.novelty.conditions import Population
from glitch.novelty.known import Known

KIND = "judge"
JUDGED = 5000  # glitches in a chunk: a few seconds of work
AGAIN = "again"  # parameter of a running job whose results are already out of date


def request_judging(session: Session, author: str) -> UUID | None:
    """Create a job that judges the catalogue again; repeated requests share one job.

    Returns:
        The job's id; None if no checkpoint is active, so that there is nothing to judge.
    """
    checkpoint_id = active_id(session)
    if checkpoint_id is None:
        return None
    open_job = session.scalar(
        select(Job)
        .where(
            Job.kind == KIND,
            Job.state.in_(OPEN_STATES),
            Job.is_cancel_requested.is_(False),
            Job.parameters["checkpoint_id"].as_integer() == checkpoint_id,
        )
        .order_by(Job.id.desc())
        .limit(1)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    if open_job is None:
        return _create(session, checkpoint_id, author, str(checkpoint_id))
    if open_job.state != "queued":
        session.execute(
            update(Job)
            .where(Job.id == open_job.id)
            .values(parameters=Job.parameters.op("||")(cast({AGAIN: author}, JSONB)))
            .execution_options(synchronize_session=False)
        )
    return open_job.id


def _create(session: Session, checkpoint_id: int, author: str, key: str) -> UUID:
    return create_job(session, KIND, {"checkpoint_id": checkpoint_id}, author, key=key).id


class JudgeHandler:
    """A ``JobHandler``. It caches the known glitches between the chunks of one job."""

    def __init__(self) -> None:
        self._known: tuple[UUID, dict[Population, Known]] | None = None

    def plan(self, work: Work) -> Iterator[ChunkPlan]:
        """Recalibrate, then yield ranges of ids; recalibration already judges a small catalogue."""
        checkpoint_id = work.job.parameters["checkpoint_id"]
        recalibrate(work.session, checkpoint_id)
        last: UUID | None = None
        while True:
            work.heartbeat()
            ids = embedded_after(work.session, checkpoint_id, last, JUDGED)
            if not ids:
                return
            is_judged = last is None and len(ids) < JUDGED and len(ids) <= REJUDGED_AT_ONCE
            last = ids[-1]
            payload = {"first": str(ids[0]), "last": str(last), "is_judged": is_judged}
            yield ChunkPlan(payload, units=len(ids))

    def run_chunk(self, work: Work, chunk: Chunk) -> ChunkResult:
        """Judge one range."""
        if chunk.payload["is_judged"]:
            return ChunkResult()
        checkpoint_id = work.job.parameters["checkpoint_id"]
        first, last = UUID(chunk.payload["first"]), UUID(chunk.payload["last"])
        ids = work.session.scalars(
            select(Embedding.glitch_id).where(
                Embedding.checkpoint_id == checkpoint_id, Embedding.glitch_id.between(first, last)
            )
        ).all()
        work.heartbeat()
        if self._known is None or self._known[0] != work.job.id:
            self._known = (work.job.id, {})
        rejudge(work.session, checkpoint_id, ids, self._known[1])
        return ChunkResult()

    def finish(self, work: Work) -> Mapping[str, Any]:
        """Return the number of judged glitches; create another job if labels changed meanwhile."""
        self._known = None
        work.heartbeat()
        checkpoint_id = work.job.parameters["checkpoint_id"]
        judged, calibrating = work.session.execute(
            select(
                func.count().filter(Embedding.is_judged),
                func.count().filter(Embedding.calibration_score.is_not(None)),
            ).where(Embedding.checkpoint_id == checkpoint_id)
        ).one()
        parameters = work.session.scalar(
            select(Job.parameters).where(Job.id == work.job.id).with_for_update(key_share=True)
        )
        if parameters is not None and AGAIN in parameters:
            # This job is open until the transaction ends, and keys of open jobs are unique.
            again = " again" * (work.job.key == str(checkpoint_id))
            _create(work.session, checkpoint_id, str(parameters[AGAIN]), f"{checkpoint_id}{again}")
        return {"judged": judged, "calibrating": calibrating}
