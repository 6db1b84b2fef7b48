"""Regular maintenance started by the scheduler.

Each step is one short transaction that can safely be repeated or skipped. It returns a text for the
log if it did something.
"""

from collections.abc import Callable
from datetime import timedelta

from sqlalchemy.orm import Session

from app.batches.cleanup import Removed, clean_up_batches
from app.core.settings import Settings
from app.core.sign_on import remove_old_logins
from app.core.storage import clean_up_leftovers
from app.digest.service import request_due
from app.glitches.exports.service import clean_up_exports
from app.jobs.service import remove_old_upkeep
from app.map.service import request_due_job
from app.models.index import queue_index_job

UPKEEP_EVERY_S = 600
Step = Callable[[Session, Settings], str | None]


def _remove_batch_files(session: Session, settings: Settings) -> str | None:
    removed = clean_up_batches(
        session, settings.data_dir, timedelta(days=settings.keep_batches_days)
    )
    if removed == Removed():
        return None
    return f"{removed.jobs} jobs, {removed.uploads} uploads, {removed.leftovers} leftovers"


def _remove_export_files(session: Session, settings: Settings) -> str | None:
    keep = timedelta(hours=settings.keep_exports_hours)
    return _counted(clean_up_exports(session, settings.data_dir, keep), "exports")


def _keep_map(session: Session, _: Settings) -> str | None:
    job = request_due_job(session)
    return f"asked for, to {job.parameters['act']}" if job else None


def _counted(number: int, what: str) -> str | None:
    return f"{number} {what}" if number else None


UPKEEP: dict[str, Step] = {
    "files of batches removed": _remove_batch_files,
    "files of exports removed": _remove_export_files,
    "leftovers of killed processes removed": lambda *_: _counted(
        clean_up_leftovers(), "temporary folders"
    ),
    "own jobs of long ago removed": lambda session, _: _counted(remove_old_upkeep(session), "jobs"),
    "logins of long ago removed": lambda session, _: _counted(remove_old_logins(session), "events"),
    "vector index": lambda session, _: (name := queue_index_job(session)) and f"queued for {name}",
    "map": _keep_map,
    "daily digest": lambda session, settings: (
        "asked for" if settings.sends_digest and request_due(session) else None
    ),
}
