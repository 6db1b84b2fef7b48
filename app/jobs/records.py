"""Records that job services and handlers exchange; never ORM rows."""

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
    """The three steps of a job, which are claimed, leased and retried in the same way."""

    PLAN = 0
    RUN = 1
    FINISH = 2


@dataclass(frozen=True)
class JobRecord:
    """The current state of a job. The counts are in units; one item is one unit."""

    id: UUID
    kind: str
    key: str | None
    state: str  # one of app.jobs.tables.JOB_STATES
    is_cancel_requested: bool
    parameters: Mapping[str, Any]
    result: Mapping[str, Any] | None  # returned by ``finish``
    total: int  # 0 until the job is planned
    done: int
    failed: int
    skipped: int
    author: str
    detail: str | None  # a sentence: reason of failure, condition it waits for, or progress
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @property
    def is_open(self) -> bool:
        """Whether the job is queued or running."""
        return self.state in OPEN_STATES

    @property
    def can_be_retried(self) -> bool:
        """Whether the job ended with parts that did not succeed."""
        return not self.is_open and (self.state != "succeeded" or self.failed > 0)


@dataclass(frozen=True)
class PendingItem:
    """An item of a chunk that is still to be processed."""

    position: int  # 0-based, within all items planned for the chunk
    name: str


@dataclass(frozen=True)
class Chunk:
    """A part of a job, claimed by one worker."""

    job_id: UUID
    phase: Phase
    ordinal: int
    payload: Mapping[str, Any]
    first_item: int  # ordinal in the job of the chunk's first item
    units: int
    attempts: int  # including the current one
    lease_owner: str  # the worker that claimed it
    claim: int  # number of this claim; earlier claims can no longer commit
    items: tuple[PendingItem, ...]  # items not yet done; all items on the first attempt


@dataclass(frozen=True)
class ChunkPlan:
    """A part of a job, as yielded by ``plan``."""

    # Input of ``run_chunk``; small JSON values.
    payload: Mapping[str, Any] = field(default_factory=dict)
    items: Sequence[str] = ()  # names of its inputs; a retry passes only those that failed
    units: int = 1  # weight in the progress of a chunk without items


@dataclass(frozen=True)
class ItemResult:
    """The result for one input."""

    position: int  # 0-based within the chunk, as ``PendingItem.position``
    state: str = "done"  # ``done``, ``failed`` or ``skipped`` (already stored)
    reason: str | None = None  # a sentence; required for a failed item
    glitch_id: UUID | None = None  # the glitch made from this input
    name: str | None = None  # for chunks planned without items


@dataclass(frozen=True)
class ChunkResult:
    """The result of a chunk.

    ``items`` must contain a result for each of ``Chunk.items``. For a chunk planned with ``units``
    only, it may contain just the items that failed or need a message; the others count as done.
    """

    items: Sequence[ItemResult] = ()


@dataclass(frozen=True)
class Work:
    """What a worker passes to a handler: a session, the job, settings and functions."""

    session: Session
    job: JobRecord
    settings: Settings
    # Returns the encoder of the checkpoint with this digest, loaded once per process. Raises
    # NotReadyError if the weights are not on this machine.
    encoder: Callable[[str], Encoder]
    # Call it regularly in long loops (a thread renews the lease itself). Raises JobCancelledError,
    # or LeaseLostError if another worker has claimed the chunk.
    heartbeat: Callable[[], None]
    # Shows the progress of a long chunk immediately; None removes the message.
    note: Callable[[str | None], None]

    @property
    def data_dir(self) -> Path:
        """The data directory, shared by the API and the workers."""
        return self.settings.data_dir


class JobHandler(Protocol):
    """Plans, runs and finishes the jobs of one kind.

    The worker commits the transaction of ``work.session`` together with the chunk's new state, and
    only if it still holds the chunk. Changes in the database therefore happen exactly
    once, however often a method runs. A method must not commit, and its other effects (such as
    files) must be safe to repeat. Raise ``ServiceError`` or ``GlitchError``, whose message users
    read, if a retry cannot help. Other exceptions are retried a few times.
    """

    def plan(self, work: Work) -> Iterable[ChunkPlan]:
        """Divide the job into chunks; a generator, so that memory does not grow with the job.

        Aim at some seconds of work in each chunk: a killed worker loses at most one chunk.
        """

    def run_chunk(self, work: Work, chunk: Chunk) -> ChunkResult:
        """Process ``chunk.items``, or ``chunk.payload`` if the chunk has no items."""

    def finish(self, work: Work) -> Mapping[str, Any]:
        """Return the job's result (JSON) after all chunks are done; runs again after a retry."""


class OneTransaction:
    """A handler that does all its work in ``finish``, in one transaction.

    For work whose partial results are useless: after a cancel, results of finished chunks remain.
    """

    def plan(self, work: Work) -> Iterable[ChunkPlan]:
        """Check the parameters and plan one chunk without work."""
        self.check(work.job)
        return [ChunkPlan()]

    def check(self, job: JobRecord) -> None:
        """Raise an error if the parameters are invalid; accepts all unless overridden."""

    def run_chunk(self, work: Work, chunk: Chunk) -> ChunkResult:
        """Do nothing."""
        del work, chunk
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
