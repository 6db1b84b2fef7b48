"""The doorbell: a message that a job has something to do. Never more than that.

It is sent once the transaction is committed, so that no worker looks before there is something to
see. A message that is lost, doubled or late costs nothing: the reconciler rings again for whatever
is due, and a worker that finds nothing to do goes away.
"""

from __future__ import annotations

import logging
from typing import Protocol
from uuid import UUID

from sqlalchemy import event
from sqlalchemy.orm import Session

_BELL = "bell"
_DUE = "jobs to ring for"
_log = logging.getLogger("app.jobs")


class Bell(Protocol):
    """Tells the workers of a job."""

    def ring(self, job_id: UUID) -> None:
        """Send the message; may raise anything where the broker is away."""


def bell_info(bell: Bell | None) -> dict[str, object]:
    """What ``sessionmaker(info=...)`` takes so that its sessions ring this bell."""
    return {} if bell is None else {_BELL: bell}


def ring_after_commit(session: Session, job_id: UUID) -> None:
    """Ring for the job once this session's transaction is committed; not if it is rolled back.

    Does nothing in a session without a bell: the reconciler finds the job.
    """
    if _DUE not in session.info:
        session.info[_DUE] = []
        event.listen(session, "after_commit", _ring)
        event.listen(session, "after_soft_rollback", _forget)
    if job_id not in session.info[_DUE]:
        session.info[_DUE].append(job_id)


def _ring(session: Session) -> None:
    bell: Bell | None = session.info.get(_BELL)
    due, session.info[_DUE] = session.info[_DUE], []
    if bell is None:
        return
    for job_id in due:
        try:
            bell.ring(job_id)
        except Exception as error:  # noqa: BLE001  (the job is stored; the reconciler will ring)
            _log.warning(
                "no message for job %s could be sent (%s): the reconciler will ring for it",
                job_id,
                type(error).__name__,
            )
            break  # the others would wait for the same broker


def _forget(session: Session, _previous: object) -> None:
    if not session.in_nested_transaction():
        session.info[_DUE] = []
