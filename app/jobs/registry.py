"""The kinds of jobs, and what each must bring: a plan, the work of one chunk, a finish.

A kind's module is named in ``BUILT_IN`` and imported when a job of that kind is first met, so that
the API need not import what only workers use.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast
from uuid import UUID

from sqlalchemy.orm import Session

from app.core.errors import InvalidRequestError
from app.core.settings import Settings
from app.jobs.records import Chunk, JobRecord

if TYPE_CHECKING:
    from glitch.encoder import Encoder  # imports torch

BUILT_IN: dict[str, str] = {
    "cluster": "app.clusters.job:HANDLER",
    "demo": "app.demo.job:HANDLER",
    "digest": "app.digest.job:HANDLER",
    "index": "app.models.index:HANDLER",
    "export": "app.glitches.exports.job:HANDLER",
    "ingest": "app.batches.job:HANDLER",
    "judge": "app.novelty.job:HANDLER",
    "label_audit": "app.classes.audit.job:HANDLER",
    "project": "app.map.job:HANDLER",
    "references": "app.references.job:HANDLER",
    "reembed": "app.models.reembed:HANDLER",
    # kind: "module:NAME of a JobHandler"
}


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

    ``items`` must tell of every one of ``Chunk.items``. A chunk planned with ``units`` alone may
    tell of those that failed or deserve a line; the others count as done.
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
    """A handler's plan and parts where all its work is ``finish``: one transaction, all or nothing.

    For work of which half is of no use: what a part stores outlives a cancel.
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


_loaded: dict[str, JobHandler] = {}


def known_kinds() -> tuple[str, ...]:
    """Every kind of job, by name."""
    return tuple(sorted(BUILT_IN))


def check_kind(kind: str) -> None:
    """Refuse a kind that nobody here knows.

    Raises:
        InvalidRequestError: if there is no such kind.
    """
    if kind not in BUILT_IN:
        known = ", ".join(known_kinds())
        raise InvalidRequestError(f"There is no job of kind {kind[:40]!r}; known: {known}.")


def handler_of(kind: str) -> JobHandler:
    """The handler of a kind.

    Raises:
        InvalidRequestError: if there is no such kind.
    """
    check_kind(kind)
    if kind not in _loaded:
        module, _, name = BUILT_IN[kind].partition(":")
        _loaded[kind] = cast("JobHandler", getattr(importlib.import_module(module), name))
    return _loaded[kind]
