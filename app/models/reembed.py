"""Change the model of a filled catalogue: embed in the background, then switch.

The current checkpoint is used until every glitch has an embedding under the next one. Queries use
only the active checkpoint, so none sees an incomplete catalogue. Going back works in the same way:
former embeddings are kept, and only glitches stored since then must be embedded first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

from sqlalchemy import ColumnElement, Engine, and_, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session, sessionmaker

from app.core.access import record_event
from app.core.engine import make_session_factory
from app.core.errors import ConflictError, NotFoundError
from app.core.postgres.partitions import ensure_vector_index, has_rows
from app.glitches.ingest import embedding_row
from app.glitches.service import stored_views
from app.glitches.tables import Embedding, Glitch
from app.jobs.records import Chunk, ChunkPlan, ChunkResult, JobRecord, Work
from app.jobs.service import create_job
from app.models import checkpoints
from app.models.records import CheckpointRecord
from app.novelty.catalogue import REJUDGED_AT_ONCE, embedded_after, recalibrate, rejudge
from app.novelty.conditions import Population
from app.novelty.job import request_judging
from glitch.novelty import Judgement
from glitch.novelty.conditions import condition_of
from glitch.novelty.known import Known

if TYPE_CHECKING:
    from glitch.encoder import Encoder

KIND = "reembed"
GLITCHES = 256  # per chunk: some seconds of work
_JUDGED_PER_PORTION = 2000
_MIN_DIGITS = 8
_PENDING = Judgement(
    None, None, False, "Could not be judged: the catalogue is being embedded again."
)


def find_checkpoint_named(session: Session, name: str) -> CheckpointRecord:
    """The checkpoint with this name or digest prefix, or NotFoundError or ConflictError."""
    published = checkpoints.list_checkpoints(session)
    matches = [one for one in published if one.name == name]
    if len(name) >= _MIN_DIGITS:
        matches += [one for one in published if one.digest.startswith(name) and one not in matches]
    if not matches:
        raise NotFoundError(f"There is no checkpoint {name[:80]!r}: see the list of checkpoints.")
    if len(matches) > 1:
        digests = ", ".join(one.digest[:12] for one in matches)
        raise ConflictError(
            f"Several checkpoints have this name: give the digest of one ({digests})."
        )
    return matches[0]


def switch_checkpoint(
    session: Session, checkpoint_id: int, author: str
) -> tuple[CheckpointRecord, JobRecord | None]:
    """Activate a checkpoint: immediately, or by a job if glitches lack its embedding.

    Returns:
        The current state of the checkpoint, and the job that will switch; None if it is active now.

    Raises:
        NotFoundError: if the checkpoint does not exist.
        ConflictError: if its preprocessing differs from that of the stored views.
    """
    checkpoints.lock_publishing(session)
    target = checkpoints.get_checkpoint(session, checkpoint_id)
    if target.is_active:
        return target, None
    if not _missing(session, target.id, limit=1):
        return _switch(session, target, author), None
    if target.preprocessing_digest != checkpoints.active_checkpoint(session).preprocessing_digest:
        raise ConflictError(
            f"Checkpoint {target.name} uses other preprocessing than the stored views, so the "
            "catalogue cannot be embedded with it: start another catalogue for it."
        )
    parameters = {"checkpoint_id": target.id, "checkpoint": target.name, "digest": target.digest}
    return target, create_job(session, KIND, parameters, author, key=str(target.id))


class ReembedHandler:
    """The ``JobHandler`` of re-embedding; it has no state."""

    def plan(self, work: Work) -> Iterator[ChunkPlan]:
        """Plan chunks of glitches without an embedding under the checkpoint, as ranges of ids."""
        last: UUID | None = None
        while missing := _missing(
            work.session, work.job.parameters["checkpoint_id"], limit=GLITCHES, after=last
        ):
            last = missing[-1]
            work.heartbeat()
            yield ChunkPlan({"first": str(missing[0]), "last": str(last)}, units=len(missing))

    def run_chunk(self, work: Work, chunk: Chunk) -> ChunkResult:
        """Embed the stored views of one range."""
        first, last = UUID(chunk.payload["first"]), UUID(chunk.payload["last"])
        checkpoint_id = work.job.parameters["checkpoint_id"]
        missing = _missing(
            work.session, checkpoint_id, limit=None, condition=Glitch.id.between(first, last)
        )
        _embed(work.session, checkpoint_id, missing, work.encoder(work.job.parameters["digest"]))
        return ChunkResult()

    def finish(self, work: Work) -> Mapping[str, Any]:
        """Embed glitches stored meanwhile, judge all glitches, then switch.

        Embedding and judging run in separate transactions, because their results are not used
        before the switch and nobody who labels or stores should wait for hours. Each is safe to
        repeat. Only the switch is in this transaction: it waits for concurrent inserts, processes
        the few last glitches, and takes a moment.
        """
        engine = cast("Engine", work.session.get_bind())
        portions = make_session_factory(engine)
        with portions() as portion:
            target = checkpoints.get_checkpoint(portion, work.job.parameters["checkpoint_id"])
        encoder = work.encoder(target.digest)
        _catch_up(portions, target, encoder, work)
        _judge(portions, target, work)
        ensure_vector_index(engine, target.id, target.latent_size, check=work.heartbeat)
        late_ids = _catch_up(portions, target, encoder, work)
        with portions.begin() as portion:
            rejudge(portion, target.id, late_ids)
        # From here nobody stores under the old checkpoint; glitches just committed are embedded.
        checkpoints.lock_publishing(work.session)
        while missing := _missing(work.session, target.id, limit=GLITCHES):
            _embed(work.session, target.id, missing, encoder)
            rejudge(work.session, target.id, missing)
        _switch(work.session, target, work.job.author)
        count = work.session.scalar(
            select(func.count()).select_from(Embedding).where(Embedding.checkpoint_id == target.id)
        )
        return {"checkpoint": target.name, "digest": target.digest, "embedded": count}


def _switch(session: Session, target: CheckpointRecord, author: str) -> CheckpointRecord:
    record_event(session, author, "activate", "checkpoint", target.id, digest=target.digest)
    record = checkpoints.activate_checkpoint(session, target.id)
    # Changes of labels update only the active checkpoint, so this one may lack some.
    request_judging(session, author)
    return record


def _missing(
    session: Session,
    checkpoint_id: int,
    *,
    limit: int | None,
    after: UUID | None = None,
    condition: ColumnElement[bool] | None = None,
) -> list[UUID]:
    """Ids of glitches without an embedding under the checkpoint, in order."""
    embedded = (
        select(Embedding.glitch_id)
        .where(and_(Embedding.glitch_id == Glitch.id, Embedding.checkpoint_id == checkpoint_id))
        .exists()
    )
    statement = select(Glitch.id).where(~embedded).order_by(Glitch.id).limit(limit)
    if after is not None:
        statement = statement.where(Glitch.id > after)
    if condition is not None:
        statement = statement.where(condition)
    return list(session.scalars(statement))


def _embed(
    session: Session, checkpoint_id: int, glitch_ids: Sequence[UUID], encoder: Encoder
) -> None:
    """Add embeddings that are judged later: the first ones would have too few references."""
    if not glitch_ids:
        return
    glitches = session.execute(
        select(Glitch.id, Glitch.ifo, Glitch.is_simulated).where(Glitch.id.in_(glitch_ids))
    ).all()
    views = stored_views(session, glitch_ids, encoder.preprocessing)
    encodings = encoder.encode([views[glitch.id] for glitch in glitches])
    session.execute(
        insert(Embedding).on_conflict_do_nothing(),  # stored by a worker that was considered dead
        [
            embedding_row(glitch, checkpoint_id, condition_of(views[glitch.id]), encoding, _PENDING)
            for glitch, encoding in zip(glitches, encodings, strict=True)
        ],
    )


def _catch_up(
    portions: sessionmaker[Session], target: CheckpointRecord, encoder: Encoder, work: Work
) -> list[UUID]:
    """Embed glitches without an embedding, some hundred per transaction; return their ids."""
    embedded_ids: list[UUID] = []
    while True:
        with portions.begin() as portion:
            missing = _missing(portion, target.id, limit=GLITCHES)
            _embed(portion, target.id, missing, encoder)
        embedded_ids += missing
        if len(missing) < GLITCHES:
            return embedded_ids
        work.heartbeat()


def _judge(portions: sessionmaker[Session], target: CheckpointRecord, work: Work) -> None:
    """Judge every glitch under the new checkpoint, with the current labels."""
    with portions.begin() as portion:
        recalibrate(portion, target.id)
        if not has_rows(portion, target.id, REJUDGED_AT_ONCE + 1):
            return  # recalibrate has judged them
    cache: dict[Population, Known] = {}
    last: UUID | None = None
    while True:
        with portions.begin() as portion:
            ids = embedded_after(portion, target.id, last, _JUDGED_PER_PORTION)
            rejudge(portion, target.id, ids, cache)
        if not ids:
            return
        work.heartbeat()
        last = ids[-1]
