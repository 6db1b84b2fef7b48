"""Notify workers that a job is waiting.

The message is sent after the transaction is committed, so that no worker looks for the job too
early. A lost, duplicate or late message does no harm: the reconciler notifies again of every job
that is due, and a worker that finds nothing to do continues.
"""

import logging
from typing import Protocol
from uuid import UUID

from sqlalchemy import event
from sqlalchemy.orm import Session

_NOTIFIER = "notifier"
_DUE = "jobs to notify of"
_log = logging.getLogger("app.jobs")


class Notifier(Protocol):
    """Sends notifications of jobs to the workers."""

    def notify(self, job_id: UUID) -> None:
        """Send the message; may raise any exception if the broker cannot be reached."""


def notifier_info(notifier: Notifier | None) -> dict[str, object]:
    """Value for ``sessionmaker(info=...)`` that makes its sessions use this notifier."""
    return {} if notifier is None else {_NOTIFIER: notifier}


def notify_after_commit(session: Session, job_id: UUID) -> None:
    """Notify workers of the job after this transaction is committed; not if it is rolled back.

    Does nothing in a session without a notifier: the reconciler finds the job.
    """
    if _DUE not in session.info:
        session.info[_DUE] = []
        event.listen(session, "after_commit", _notify)
        event.listen(session, "after_soft_rollback", _forget)
    if job_id not in session.info[_DUE]:
        session.info[_DUE].append(job_id)


def _notify(session: Session) -> None:
    notifier: Notifier | None = session.info.get(_NOTIFIER)
    due, session.info[_DUE] = session.info[_DUE], []
    if notifier is None:
        return
    for job_id in due:
        try:
            notifier.notify(job_id)
        except Exception as error:  # noqa: BLE001  (the job is stored; the reconciler will notify)
            _log.warning(
                "no message for job %s could be sent (%s): the reconciler will notify of it",
                job_id,
                type(error).__name__,
            )
            break  # the other messages need the same broker


def _forget(session: Session, _previous: object) -> None:
    if not session.in_nested_transaction():
        session.info[_DUE] = []
