"""Renews the lease of a chunk while it runs, and detects that the chunk should be released."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from types import TracebackType

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from app.jobs import leases
from app.jobs.records import Chunk

_log = logging.getLogger("worker.lease")
_RENEWALS_PER_LEASE = 4
_MAX_WAIT_S = 2.0  # notices a cancellation or stop soon
STOP_GRACE_S = 4.0  # time for a chunk to end after a stop was requested


class WorkerStoppingError(Exception):
    """This worker must stop; the chunk is released for another worker."""


@dataclass(eq=False)
class HeldLease:
    """Renews the lease of one chunk in a thread during the block.

    If the worker must stop and the handler neither calls ``check`` nor ends within the grace
    period, the chunk is released here. ``on_abandoned`` is then called, because the rest of the
    work would be discarded.
    """

    sessions: sessionmaker[Session]
    chunk: Chunk
    lease: timedelta
    is_stopping: Callable[[], bool]
    on_abandoned: Callable[[], None]
    is_cancelled: bool = field(default=False, init=False)
    _is_lost: bool = field(default=False, init=False)
    _is_over: threading.Event = field(default_factory=threading.Event, init=False)

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._renew_until_over, name="lease", daemon=True)

    def __enter__(self) -> HeldLease:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._is_over.set()
        self._thread.join()

    def check(self) -> None:
        """Raise if the handler should stop working on the chunk.

        Raises:
            LeaseLostError: another worker has the chunk.
            JobCancelledError: its job was cancelled.
            WorkerStoppingError: this worker must stop.
        """
        if self._is_lost:
            raise leases.LeaseLostError
        if self.is_cancelled:
            raise leases.JobCancelledError
        if self.is_stopping():
            raise WorkerStoppingError

    def note(self, sentence: str | None) -> None:
        """Store a message on the job in a separate transaction; a failure is only logged."""
        try:
            with self.sessions.begin() as session:
                leases.note_on_job(session, self.chunk.job_id, sentence)
        except SQLAlchemyError as error:
            _log.warning("progress could not be noted (%s)", type(error).__name__)

    def _renew_until_over(self) -> None:
        wait_s = min(self.lease.total_seconds() / _RENEWALS_PER_LEASE, _MAX_WAIT_S)
        while not self._is_over.wait(wait_s):
            if self.is_stopping() and not self._is_over.wait(STOP_GRACE_S):
                self._release()
                return
            try:
                with self.sessions.begin() as session:
                    cancelled = leases.renew_lease(session, self.chunk, self.lease)
                self.is_cancelled = self.is_cancelled or cancelled
            except leases.LeaseLostError:
                self._is_lost = True
                return
            except SQLAlchemyError as error:  # the next try may succeed
                _log.warning("the lease could not be renewed (%s)", type(error).__name__)

    def _release(self) -> None:
        try:
            with self.sessions.begin() as session:
                leases.release_chunk(session, self.chunk)
        except SQLAlchemyError as error:
            _log.warning(
                "the chunk could not be given back (%s): its lease will run out",
                type(error).__name__,
            )
        self._is_lost = True
        self.on_abandoned()
