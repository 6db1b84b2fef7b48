"""Load and remove published glitches as references."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from sqlalchemy import delete, exists, or_, select
from sqlalchemy.orm import Session, aliased

from app.batches.options import AUTHOR, ArchiveSelection, BatchOptions, create_batch
from app.batches.options import KIND as BATCH
from app.core.access import REMOVED, record_event
from app.core.errors import ConflictError
from app.glitches.labels import revoke_labels_of_source
from app.glitches.tables import Glitch, Label
from app.jobs.records import OPEN_STATES
from app.jobs.service import create_job
from app.jobs.tables import Job, JobItem
from app.map.service import redraw_after_removal
from app.models.checkpoints import active_checkpoint
from app.novelty.job import request_judging
from app.references.archives import Archive, archive_named, check_selection

KIND = "references"


def start_references(
    session: Session,
    archive: Archive,
    selection: ArchiveSelection,
    *,
    kept: Mapping[str, str],
    url: str | None,
    checksum: str | None,
    manifest: str | None,
    zenodo: str,
) -> str:
    """Start a job that fetches and loads an archive, unless one is open; return the job's id.

    ``kept`` maps names of files that are among the uploads already to their digests; then nothing
    is fetched. ``url`` and ``checksum`` (``sha256:…`` or ``md5:…``) describe the archive's one file
    if it is not at Zenodo. ``manifest`` is the digest of a kept table that describes the pictures.
    """
    active_checkpoint(session)
    check_selection(selection.ifos, selection.runs)
    parameters = {"archive": archive.name, "wanted": asdict(selection), "manifest": manifest}
    if kept:
        return start_batches(session, parameters, kept, AUTHOR)[0]
    if url is None:
        archive.selected_files(selection.ifos, selection.runs)
    parameters |= {"url": url, "checksum": checksum, "zenodo": zenodo}
    key = f"{archive.name} {url or ''}"
    return str(create_job(session, KIND, parameters, AUTHOR, key=key).id)


def start_batches(
    session: Session, parameters: Mapping[str, Any], digests: Mapping[str, str], author: str
) -> list[str]:
    """Start the batches that load kept files, and return the ids of their jobs.

    ``digests`` maps file names to digests; for a picture archive the table comes last.
    """
    names = list(digests)
    archive = archive_named(parameters["archive"])
    manifest = parameters.get("manifest")
    if archive.has_pictures and len(names) > 1:
        manifest = digests[names.pop()]
    return [
        str(
            create_batch(
                session,
                BatchOptions(
                    upload=digests[name],
                    name=name,
                    manifest=manifest,
                    origin="gravityspy",
                    wanted=parameters["wanted"],
                ),
                author,
            ).id
        )
        for name in names
    ]


def remove_references(session: Session, archive: Archive) -> tuple[int, int]:
    """Remove the glitches and labels loaded from an archive; ConflictError during its loading.

    Glitches are deleted unless somebody else labelled them too; on those, the archive's labels are
    revoked. If glitches were deleted, the map is drawn again.

    Returns:
        Number of glitches deleted, and number of labels revoked on the remaining glitches.
    """
    of_source = or_(
        Job.parameters["wanted"]["source"].astext == archive.source,
        Job.parameters["archive"].astext == archive.name,
    )
    is_loading = select(Job.id).where(
        Job.kind.in_((KIND, BATCH)), Job.state.in_(OPEN_STATES), of_source
    )
    if (job_id := session.scalar(is_loading.limit(1))) is not None:
        raise ConflictError(
            f"It is still being loaded: `glitch-discovery jobs cancel {job_id}` first."
        )
    other = aliased(Label)
    loaded = (
        select(JobItem.glitch_id)
        .join(Job, Job.id == JobItem.job_id)
        .where(
            Job.kind == BATCH,
            Job.parameters["wanted"]["source"].astext == archive.source,
            JobItem.state == "done",
            JobItem.glitch_id.is_not(None),
        )
    )
    is_shared = exists().where(
        other.glitch_id == Glitch.id, other.source != archive.source, other.revoked_at.is_(None)
    )
    deleted = session.execute(
        delete(Glitch).where(Glitch.id.in_(loaded), ~is_shared).returning(Glitch.created_at)
    ).all()
    session.expire_all()
    if deleted:
        redraw_after_removal(session, AUTHOR)
    revoked = revoke_labels_of_source(session, archive.source, revoked_by=AUTHOR)
    if deleted or revoked:
        request_judging(session, AUTHOR)
        times = Counter(one.created_at for one in deleted)  # one time per chunk of a batch
        stored = {time.isoformat(): n for time, n in sorted(times.items())}
        details = {"glitches": len(deleted), "labels": revoked, "stored": stored}
        record_event(session, AUTHOR, REMOVED, "references", archive.name, **details)
    return len(deleted), revoked
