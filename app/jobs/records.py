"""What the job services take and give: frozen dataclasses, never ORM rows."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import Any
from uuid import UUID

from pydantic import Field

from app.core.model import Model

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
    claim: int  # fences off whoever claimed it before
    items: tuple[PendingItem, ...]  # only those not yet done; all of them the first time


class JobItem(Model):
    """One input of a job and what became of it."""

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
