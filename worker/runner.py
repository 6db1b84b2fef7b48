"""Runs jobs chunk by chunk; each chunk and its result are one transaction.

This module opens and commits the transactions around ``app.jobs``. It converts faults to a pause,
another attempt, or a failure with its reason.
"""

from __future__ import annotations

import errno
import logging
import os
import secrets
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from app.core.errors import BusyError, NotReadyError, ServiceError, StorageAwayError
from app.core.failures import READ_ONLY_STATE, database_failure, sqlstate
from app.core.settings import Settings
from app.jobs import leases
from app.jobs.finalising import finalise
from app.jobs.outcomes import HandlerMistakeError, store_finish, store_plan, store_result
from app.jobs.records import Chunk, JobRecord, Phase, Work
from app.jobs.registry import handler_of
from glitch.errors import GlitchError
from worker.lease import HeldLease, WorkerStoppingError

if TYPE_CHECKING:
    from glitch.encoder import Encoder

_log = logging.getLogger("worker")
_DISK_PAUSE = timedelta(seconds=15)
_DISK_FULL_STATES = ("53100",)  # PostgreSQL's disk_full
# Connection exceptions, a shutdown by an administrator, a server that became a standby.
_LOST_STATES = ("08", "57P", READ_ONLY_STATE)
_MAX_NOTIFICATIONS = 16


@dataclass(eq=False)
class JobRunner:
    """Runs chunks of jobs in this process.

    Args:
        sessions: For the database; two connections are used at a time.
        settings: The service's settings; ``job_lease_s`` is the lease time of a chunk.
        notify: Called with a job's id if other workers could help.
        is_stopping: Returns whether this worker must stop soon.
        on_abandoned: Called after a chunk was released under a handler that did not stop.
    """

    sessions: sessionmaker[Session]
    settings: Settings
    notify: Callable[[UUID], None] = lambda _: None
    is_stopping: Callable[[], bool] = lambda: False
    on_abandoned: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        self._lease = timedelta(seconds=self.settings.job_lease_s)
        self._loaded: tuple[str, Encoder] | None = None
        self.owner = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"

    def work(self, job_id: UUID, *, slice_s: float | None = None) -> bool:
        """Run the chunks of a job that are due.

        Args:
            job_id: The job; an unknown or ended one is ignored.
            slice_s: Stop after the first chunk that ends later than this, so that other jobs get a
            turn.

        Returns:
            Whether something may still be due.
        """
        started = time.monotonic()
        while not self.is_stopping():
            with self.sessions.begin() as session:
                claimed = leases.claim_chunk(session, job_id, self.owner, self._lease)
            if claimed is None:
                self._finalise(job_id)
                return False
            self._run_chunk(*claimed)
            if slice_s is not None and time.monotonic() - started > slice_s:
                return True
        return False

    def _finalise(self, job_id: UUID) -> None:
        with self.sessions.begin() as session:
            finalise(session, job_id)

    def _run_chunk(self, job: JobRecord, chunk: Chunk) -> None:
        lease = HeldLease(
            self.sessions,
            chunk,
            self._lease,
            is_stopping=self.is_stopping,
            on_abandoned=self.on_abandoned,
        )
        try:
            with lease, self.sessions() as session:
                work = Work(session, job, self.settings, self._encoder, lease.check, lease.note)
                lease.check()
                helpers = self._perform(work, chunk)
                session.commit()
        except (leases.LeaseLostError, leases.JobCancelledError, WorkerStoppingError) as error:
            _log.info("chunk left (%s)", type(error).__name__, extra=_log_fields(chunk))
            self._release(chunk)
        except Exception as error:  # noqa: BLE001  (any error must be reported on the job)
            self._report_error(chunk, error)
        else:
            for _ in range(min(helpers, _MAX_NOTIFICATIONS)):
                self.notify(job.id)

    def _perform(self, work: Work, chunk: Chunk) -> int:
        """Run a chunk and store its result; return how many more workers could help."""
        handler = handler_of(work.job.kind)
        if chunk.phase is Phase.PLAN:
            return store_plan(work.session, chunk, handler.plan(work)) - 1
        if chunk.phase is Phase.RUN:
            store_result(work.session, chunk, handler.run_chunk(work, chunk))
        else:
            store_finish(work.session, chunk, handler.finish(work))
        return 0

    def _encoder(self, digest: str) -> Encoder:
        """Return a checkpoint's encoder; only one is kept loaded, to limit the memory."""
        import torch

        # Processes share the cores, so more threads in each would only compete. Set every time,
        # because PyTorch adopts the number of threads of Numba's parallel code, such as the map's.
        torch.set_num_threads(self.settings.torch_threads)
        if self._loaded is None or self._loaded[0] != digest:
            from app.models.inference import find_checkpoint
            from app.server.runtime import checkpoint_roots
            from glitch.encoder import Encoder

            checkpoint = find_checkpoint(checkpoint_roots(self.settings), digest)
            self._loaded = None
            self._loaded = digest, Encoder(checkpoint, device=self.settings.device)
        return self._loaded[1]

    def _report_error(self, chunk: Chunk, error: Exception) -> None:
        log_fields = _log_fields(chunk)
        if (pause := _disk_sentence(error)) is not None:
            _log.error("chunk waits: %s", pause, extra=log_fields)
            self._release(chunk, pause=_DISK_PAUSE, detail=pause)
        elif is_connection_lost(error):
            _log.warning("the database went away under a chunk", extra=log_fields)
            self._release(chunk)
        elif isinstance(error, HandlerMistakeError):
            _log.error("chunk failed: %s", error, extra=log_fields)
            self._fail(chunk, f"An error in this program, please report it: {error}", True)
        elif isinstance(error, ServiceError | GlitchError):
            _log.warning("chunk failed: %s", error, extra=log_fields)
            self._fail(chunk, str(error), not isinstance(error, BusyError | NotReadyError))
        elif (trouble := _trouble_sentence(error)) is not None:
            message = " ".join(str(getattr(error, "orig", error)).split())
            _log.error("chunk failed: %s", message[:500], extra=log_fields)
            self._fail(chunk, trouble, False)
        else:
            _log.error("chunk failed", exc_info=error, extra=log_fields)
            sentence = (
                f"Unexpected error ({type(error).__name__}): the worker's log has the cause under "
                f"job {chunk.job_id}."
            )
            self._fail(chunk, sentence, False)

    def _release(
        self, chunk: Chunk, *, pause: timedelta = timedelta(0), detail: str | None = None
    ) -> None:
        try:
            with self.sessions.begin() as session:
                leases.release_chunk(session, chunk, pause=pause, detail=detail)
        except SQLAlchemyError as error:
            _log.warning("not given back (%s): the lease will run out", type(error).__name__)

    def _fail(self, chunk: Chunk, sentence: str, is_final: bool) -> None:
        try:
            with self.sessions.begin() as session:
                leases.fail_chunk(session, chunk, sentence, is_final=is_final)
        except SQLAlchemyError as error:
            _log.warning("failure not noted (%s): the lease will run out", type(error).__name__)


def _log_fields(chunk: Chunk) -> dict[str, object]:
    return {
        "job": str(chunk.job_id),
        "phase": chunk.phase.name.lower(),
        "chunk": chunk.ordinal,
        "attempt": chunk.attempts,
    }


def _disk_sentence(error: Exception) -> str | None:
    """Return the message for a full or unavailable disk or store; None for other errors.

    Such an attempt is not counted.
    """
    if isinstance(error, StorageAwayError):
        return str(error)
    if isinstance(error, DBAPIError) and sqlstate(error) in _DISK_FULL_STATES:
        return "The database's disk is full: free some space, and the job continues by itself."
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            "The disk of the data directory or of temporary files (TMPDIR) is full: free some "
            "space, and the job continues by itself."
        )
    if isinstance(error, OSError) and error.errno == errno.EROFS:
        return (
            "The disk of the data directory or of temporary files (TMPDIR) is read-only: make it "
            "writable, and the job continues by itself."
        )
    return None


def _trouble_sentence(error: Exception) -> str | None:
    """Return the message for a fault of the database or this machine; None for other errors."""
    if isinstance(error, MemoryError):
        return (
            "The worker has too little memory for this: give its machine more, or start fewer "
            "processes (GLITCH_WORKER_PROCESSES)."
        )
    return database_failure(error)


def is_connection_lost(error: Exception) -> bool:
    """Return whether the database is unavailable or read-only, so that a retry may succeed."""
    if not isinstance(error, DBAPIError):
        return False
    state = sqlstate(error)
    return error.connection_invalidated or (state or "08").startswith(_LOST_STATES)
