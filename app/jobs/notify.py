"""Notification of workers: a message that a job is waiting, and nothing more.

It is sent after the transaction is committed, so that no worker looks too early. A lost, duplicate
or late message does no harm: the reconciler notifies again of whatever is due, and a worker that
finds nothing to do continues.
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
    """Tells the workers of a job."""

    def notify(self, job_id: UUID) -> None:
        """Send the message; may raise anything where the broker is away."""


def notifier_info(notifier: Notifier | None) -> dict[str, object]:
    """What ``sessionmaker(info=...)`` takes so that its sessions notify by it."""
    return {} if notifier is None else {_NOTIFIER: notifier}


def notify_after_commit(session: Session, job_id: UUID) -> None:
    """Notify workers of the job once this transaction is committed; not if it is rolled back.

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
            break  # the others would wait for the same broker


def _forget(session: Session, _previous: object) -> None:
    if not session.in_nested_transaction():
        session.info[_DUE] = []
