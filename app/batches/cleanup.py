"""Remove files of batches that are no longer needed.

An upload is kept while any job refers to it. The rows of the jobs decide what is removed and
whether a job can still be retried. Files that belong to no job (for example of a request that was
killed before it stored its job) are removed by age.
"""

import re
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from uuid import UUID

from sqlalchemy import Select, and_, exists, func, or_, select, text
from sqlalchemy.orm import Session

from app.batches.options import KIND
from app.batches.remote import open_data_folder
from app.batches.storage import FOLDER, UPLOADS_LOCK, clear_work
from app.core.database import as_uuid
from app.core.storage import SharedFolder, StoredFile, storage_of
from app.jobs.finalising import DATABASE_CLOCK
from app.jobs.records import OPEN_STATES
from app.jobs.service import INPUTS_REMOVED, add_event
from app.jobs.tables import Job, JobEvent

_WITH_FILES = (KIND, "references")  # kinds of jobs that keep files in the data directory
KEEP_DONE = timedelta(days=1)  # for a batch without failures, which cannot be retried
ABANDONED_S = 6 * 3600.0  # age at which files that belong to no job are removed
_JOBS_AT_ONCE = 500
_DIGEST = re.compile(r"[0-9a-f]{64}")
_IS_REMOVED = exists().where(JobEvent.job_id == Job.id, JobEvent.name == INPUTS_REMOVED)


@dataclass(frozen=True)
class Removed:
    """Numbers of removed items."""

    jobs: int = 0  # jobs whose files were removed
    uploads: int = 0
    leftovers: int = 0  # files of killed requests and workers


def clean_up_batches(session: Session, data_dir: Path, keep: timedelta) -> Removed:
    """Remove files that no job needs: uploads, unpacked members, partial downloads.

    Files of a job that can be retried are kept for ``keep`` after its end, others for at most a
    day. The transaction must be short, because storing a batch waits for it.
    """
    session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": UPLOADS_LOCK})
    jobs, days = 0, keep / timedelta(days=1)
    for job_id in session.scalars(_outdated_jobs(keep)).all():
        clear_work(data_dir, job_id)
        add_event(session, job_id, INPUTS_REMOVED, f"kept for {days:g} days after its end")
        jobs += 1
    session.flush()
    uploads = leftovers = 0
    storage, local = storage_of(data_dir), SharedFolder()
    for file in storage.listed(data_dir / FOLDER / "uploads"):
        if not _is_abandoned(file):
            continue
        if not _DIGEST.fullmatch(file.path.name):
            leftovers += storage.remove(file.path)
        elif not session.scalar(_is_upload_needed(file.path.name)):
            uploads += storage.remove(file.path)
    for file in storage.listed(data_dir / FOLDER / "work"):
        if _is_abandoned(file) and not _is_folder_needed(session, file.path.name):
            leftovers += storage.remove(file.path)
    for folder in local.listed(open_data_folder(data_dir)):  # each machine has its own downloads
        for file in local.listed(folder.path):
            is_part = file.path.name.startswith(".")
            if _is_abandoned(file, ABANDONED_S if is_part else keep.total_seconds()):
                leftovers += local.remove(file.path)
    return Removed(jobs, uploads, leftovers)


def _outdated_jobs(keep: timedelta) -> Select[UUID]:
    """Query for ended jobs whose files have been kept long enough."""
    is_complete = and_(Job.state == "succeeded", Job.failed == 0)
    return (
        select(Job.id)
        .where(
            Job.kind.in_(_WITH_FILES),
            Job.state.not_in(OPEN_STATES),
            or_(
                Job.finished_at < DATABASE_CLOCK - keep,
                and_(is_complete, Job.finished_at < DATABASE_CLOCK - min(keep, KEEP_DONE)),
            ),
            ~_IS_REMOVED,
        )
        .order_by(Job.created_at)
        .limit(_JOBS_AT_ONCE)
        # Skip jobs that are being retried at this moment.
        .with_for_update(key_share=True, skip_locked=True)
    )


def _is_upload_needed(digest: str) -> Select[bool]:
    """Query for whether a job may still read the upload with this digest."""
    is_named = or_(
        Job.parameters["upload"].astext == digest, Job.parameters["manifest"].astext == digest
    )
    return select(select(Job.id).where(Job.kind == KIND, is_named, ~_IS_REMOVED).limit(1).exists())


def _is_folder_needed(session: Session, name: str) -> bool:
    """Whether a folder of unpacked members belongs to a job that may still need it."""
    query = select(func.count()).select_from(Job).where(Job.id == as_uuid(name), ~_IS_REMOVED)
    return bool(session.scalar(query))


def _is_abandoned(file: StoredFile, after_s: float = ABANDONED_S) -> bool:
    """Whether a file has not been written to for hours, so no request is writing it."""
    return time.time() - file.modified_s > after_s
