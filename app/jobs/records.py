"""Records of the job services and of the handlers of each kind, never ORM rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID

from pydantic import Field
from sqlalchemy.orm import Session

from app.core.model import Model
from app.core.settings import Settings

if TYPE_CHECKING:
    from glitch.encoder import Encoder  # imports torch

OPEN_STATES = frozenset({"queued", "running"})


class Phase(IntEnum):
    """The three steps of a job, each claimed, leased and retried in the same way."""

    PLAN = 0
    RUN = 1
    FINISH = 2


@dataclass(frozen=True)
class JobRecord:
    """A job as it stands. The counts are in units; one item is one unit."""

    id: UUID
    kind: str
    key: str | None
    state: str  # one of app.jobs.tables.JOB_STATES
    is_cancel_requested: bool
    parameters: Mapping[str, Any]
    result: Mapping[str, Any] | None  # what ``finish`` returned
    total: int  # 0 until it is planned
    done: int
    failed: int
    skipped: int
    author: str
    detail: str | None  # a sentence: why it failed, what it waits for, what was left out
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @property
    def is_open(self) -> bool:
        """Whether a worker has, or will have, something to do for it."""
        return self.state in OPEN_STATES

    @property
    def can_be_retried(self) -> bool:
        """Whether it ended with parts that did not succeed."""
        return not self.is_open and (self.state != "succeeded" or self.failed > 0)


@dataclass(frozen=True)
class PendingItem:
    """An item that a chunk still has to do."""

    position: int  # 0-based, among the items that the chunk was planned with
    name: str


@dataclass(frozen=True)
class Chunk:
    """A part of a job in the hands of one worker."""

    job_id: UUID
    phase: Phase
    ordinal: int
    payload: Mapping[str, Any]
    first_item: int  # ordinal of its first item within the job
    units: int
    attempts: int  # this one included
    claim: int  # fences off earlier claimants
    items: tuple[PendingItem, ...]  # only those not yet done; all of them the first time


@dataclass(frozen=True)
class ChunkPlan:
    """A part of a job, as ``plan`` yields it."""

    # What ``run_chunk`` needs; small JSON values.
    payload: Mapping[str, Any] = field(default_factory=dict)
    items: Sequence[str] = ()  # names of its inputs; a retry hands on those that failed
    units: int = 1  # where there are no items: what it counts for in the progress


@dataclass(frozen=True)
class ItemResult:
    """What became of one input."""

    position: int  # 0-based within the chunk, as in ``Chunk.items``
    state: str = "done"  # ``done``, ``failed``, or ``skipped`` (known already: nothing to do)
    reason: str | None = None  # a sentence; needed where it failed
    glitch_id: UUID | None = None  # that it became
    name: str | None = None  # where the chunk was planned without items


@dataclass(frozen=True)
class ChunkResult:
    """The outcome of a chunk.

    ``items`` must contain every one of ``Chunk.items``. For a chunk planned only with ``units`` it
    may contain those that failed or need a message; the others count as done.
    """

    items: Sequence[ItemResult] = ()


@dataclass(frozen=True)
class JobContext:
    """What a worker offers to a handler."""

    settings: Settings
    # The encoder of the checkpoint of a digest, loaded once per process. Raises NotReadyError if
    # its weights are not here.
    encoder: Callable[[str], Encoder]
    # To be called now and then in long loops; the lease itself is renewed by a thread. Raises
    # JobCancelledError, or LeaseLostError if another worker has taken the chunk over.
    heartbeat: Callable[[], None]
    # Tells at once how far a long chunk is; None once that is of no interest any more.
    note: Callable[[str | None], None]

    @property
    def data_dir(self) -> Path:
        """The data directory, which API and workers share."""
        return self.settings.data_dir


class JobHandler(Protocol):
    """A kind of job.

    Each method gets a session whose transaction the worker commits together with the chunk's new
    state, and only if the chunk is still its own: so whatever is written there is written exactly
    once, however often the method runs. It must not commit, and effects outside the database (a
    file) must be safe to repeat. Raise ``ServiceError`` or ``GlitchError`` where trying again
    cannot help: its sentence is what the user reads. Anything else is tried again, a few times.
    """

    def plan(self, session: Session, job: JobRecord, context: JobContext) -> Iterable[ChunkPlan]:
        """Cut the job into chunks; a generator, so that memory does not grow with the job.

        Aim at some seconds of work a chunk: what a killed worker loses is one chunk.
        """

    def run_chunk(
        self, session: Session, job: JobRecord, chunk: Chunk, context: JobContext
    ) -> ChunkResult:
        """Do ``chunk.items``, or ``chunk.payload`` where it has none."""

    def finish(self, session: Session, job: JobRecord, context: JobContext) -> Mapping[str, Any]:
        """The job's result (JSON), once all chunks are done; again after a retry."""


class OneTransaction:
    """A handler whose work is all in ``finish``: one transaction, all or nothing.

    For work that is useless if incomplete: results of a part remain after a cancel.
    """

    def plan(self, session: Session, job: JobRecord, context: JobContext) -> Iterable[ChunkPlan]:
        """One part without work, after ``check`` has seen the parameters."""
        del session, context
        self.check(job)
        return [ChunkPlan()]

    def check(self, job: JobRecord) -> None:
        """Refuse parameters that cannot be."""

    def run_chunk(
        self, session: Session, job: JobRecord, chunk: Chunk, context: JobContext
    ) -> ChunkResult:
        """Nothing."""
        del session, job, chunk, context
        return ChunkResult()


class JobItem(Model):
    """One input of a job and its result."""

    ordinal: int
    name: str
    state: str = Field(description="queued, done, failed or skipped.")
    reason: str | None
    glitch_id: UUID | None


class JobEvent(Model):
    """Something that happened to a job."""

    id: int
    created_at: datetime
    name: str
    detail: str | None
