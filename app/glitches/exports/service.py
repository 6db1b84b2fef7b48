"""Exports: written directly if small, by a job if large. Rows are streamed."""

import json
import re
from collections.abc import Generator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import Select, Text, and_, cast, func, literal, select
from sqlalchemy.orm import Session

from app.classes.tables import GlitchClass
from app.clusters.tables import Cluster
from app.core.access import Principal, Role, require_role
from app.core.errors import ConflictError, NotFoundError, check_choice
from app.core.storage import storage_of
from app.glitches import selection
from app.glitches.facts import facts_of
from app.glitches.records import GlitchFilters
from app.glitches.tables import Embedding, Glitch
from app.jobs.records import OPEN_STATES, JobRecord
from app.jobs.service import create_job, get_job
from app.jobs.tables import Job
from app.models.checkpoints import active_checkpoint, active_id
from glitch.tables.exports.columns import FETCHED
from glitch.tables.exports.formats import FORMATS, Format

KIND = "export"
DIRECT_ROWS = 50_000  # larger files are written by a job, because the caller would wait too long
FOLDER = "exports"


def start_export(
    session: Session, filters: GlitchFilters, format_name: str, *, principal: Principal
) -> JobRecord:
    """Start a job that writes the glitches that pass the filters to a file.

    While an identical request of the same user is open, its job is returned.

    Raises:
        PermissionDeniedError: if the role may only read.
        InvalidRequestError: if a filter is invalid or the format unknown.
        NotReadyError: if a filter on novelty is set and no checkpoint is active.
    """
    require_role(principal, Role.SUBMITTER)
    export_format = format_named(format_name)
    count_rows(session, filters, most=1)  # raises the errors that the job would have
    parameters = {"format": export_format.name, "filters": filters_as_json(filters)}
    key = f"{principal.name} {json.dumps(parameters, sort_keys=True)}"
    return create_job(session, KIND, parameters, principal.name, key=key)


def format_named(name: str) -> Format:
    """The format with this name; InvalidRequestError if there is none."""
    check_choice(name, FORMATS, "format")
    return FORMATS[name]


def refuse_large(session: Session, filters: GlitchFilters, file_format: Format) -> None:
    """Refuse a selection that is too large to be written directly.

    Raises:
        ConflictError: with the way to start a job.
        InvalidRequestError: if a filter is invalid.
        NotReadyError: if a filter on novelty is set and no checkpoint is active.
    """
    if count_rows(session, filters, most=DIRECT_ROWS + 1) > DIRECT_ROWS:
        raise ConflictError(
            f"This export has more than {DIRECT_ROWS:,} rows: start a job for it (POST /exports, "
            "or glitch-discovery export-catalogue), or narrow the filters. CSV has no such limit, "
            f"but {file_format.title} does."
        )


def export_file(
    session: Session, job_id: UUID, data_dir: Path, keep: timedelta
) -> tuple[Path, Format, datetime]:
    """The file of an export, its format, and the time until which it is kept."""
    job = get_job(session, job_id)
    if job.kind != KIND:
        raise NotFoundError(f"Job {job_id} is not an export but of kind {job.kind}.")
    if job.state in OPEN_STATES:
        raise ConflictError(
            f"The export is {job.state}: {job.done:,} of {job.total:,} rows are written. Try again "
            "once its job has succeeded."
        )
    if job.state != "succeeded" or job.finished_at is None:
        reason = f": {job.detail}" if job.detail else "."
        raise NotFoundError(f"The export {job.state}, so there is no file{reason}")
    export_format = format_named(job.parameters["format"])
    path = result_path(data_dir, job_id, export_format)
    kept_until = job.finished_at + keep
    if kept_until < datetime.now(UTC) or not storage_of(data_dir).fetch(path):
        raise NotFoundError(
            f"The file was kept for {keep.total_seconds() / 3600:g} hours and has been removed: "
            "start the export again."
        )
    return path, export_format, kept_until


def folder_of(data_dir: Path, job_id: UUID) -> Path:
    """Folder for the parts and the file of an export."""
    return data_dir / FOLDER / str(job_id)


def result_path(data_dir: Path, job_id: UUID, file_format: Format) -> Path:
    """Path of the file of an export."""
    return folder_of(data_dir, job_id) / f"glitches.{file_format.suffix}"


def clean_up_exports(session: Session, data_dir: Path, keep: timedelta) -> int:
    """Remove folders of exports past their retention or of unknown jobs; return their number."""
    storage = storage_of(data_dir)
    folders = {
        one.path.name: one.path
        for one in storage.listed(data_dir / FOLDER)
        if re.fullmatch(r"[0-9a-f-]{36}", one.path.name)
    }
    if not folders:
        return 0
    kept_ids = session.scalars(
        select(Job.id).where(
            Job.id.in_([UUID(name) for name in folders]),
            Job.state.in_(OPEN_STATES) | (Job.finished_at > func.now() - keep),
        )
    )
    outdated = folders.keys() - {str(one) for one in kept_ids}
    for name in outdated:
        storage.remove(folders[name])
    return len(outdated)


def filters_as_json(filters: GlitchFilters) -> dict[str, Any]:
    """Filters as JSON, without those that are not set."""
    plain: dict[str, Any] = _FILTERS.dump_python(filters, mode="json", exclude_defaults=True)
    return plain


def filters_from_json(plain: Mapping[str, Any]) -> GlitchFilters:
    """Filters from the output of ``filters_as_json``."""
    return _FILTERS.validate_python(plain)


_FILTERS = TypeAdapter(GlitchFilters)


def about_cluster(session: Session, filters: GlitchFilters) -> dict[str, str | float | None]:
    """Trust measures of the exported cluster, by column; None if the export is not of a cluster."""
    cluster = session.get(Cluster, filters.cluster_id) if filters.cluster_id else None
    return {
        "cluster": str(cluster.id) if cluster else None,
        "cluster_fdr": cluster.fdr if cluster else None,
        "cluster_trust": cluster.trust if cluster else None,
        "cluster_doubt": cluster.doubt if cluster else None,
    }


def export_rows(
    session: Session,
    filters: GlitchFilters,
    *,
    base: str = "",
    within: tuple[UUID, UUID] | None = None,
    with_latents: bool = False,
) -> Generator[Any, None, None]:
    """Yield the glitches that pass, ordered by id; close the generator if not all rows are read.

    The transaction must stay open meanwhile. ``base`` is the address of the service, for links to
    pages; ``within`` are the first and last id; ``with_latents`` adds the latent vector of each
    glitch as ``mean``.
    """
    page = literal(f"{base}/ui/glitches/").concat(cast(Glitch.id, Text)).label("page")
    about = [literal(one).label(name) for name, one in about_cluster(session, filters).items()]
    extra = (page, Embedding.mean) if with_latents else (page,)
    selection.check_filters(filters)
    about_embedding = selection.embedding_conditions(filters)
    active = active_checkpoint(session).id if about_embedding else active_id(session)
    under_active = and_(Embedding.glitch_id == Glitch.id, Embedding.checkpoint_id == active)
    statement = (
        select(
            Glitch.id,
            Glitch.origin,
            Glitch.ml_confidence,
            Glitch.data_quality,
            *facts_of(Glitch).values(),
            GlitchClass.name.label("label"),
            Embedding.novelty_score,
            Embedding.p_value,
            Embedding.simulated_class,
            Embedding.simulated_probability,
            *extra,
            *about,
        )
        .outerjoin(GlitchClass, GlitchClass.id == Glitch.class_id)
        .outerjoin(Embedding, under_active)
        .where(*selection.glitch_conditions(session, filters), *about_embedding)
        .order_by(Glitch.id)
    )
    if within is not None:
        statement = statement.where(Glitch.id.between(*within))
    return _streamed(session, statement)


def export_ids(
    session: Session, filters: GlitchFilters, size: int
) -> Generator[list[UUID], None, None]:
    """Yield lists of up to ``size`` ids that pass; close the generator if not all are read."""
    statement = selection.matching(session, select(Glitch.id), filters).order_by(Glitch.id)
    with session.scalars(statement.execution_options(yield_per=size)) as rows:
        for part in rows.partitions():
            yield list(part)


def count_rows(session: Session, filters: GlitchFilters, *, most: int) -> int:
    """Number of glitches that pass the filters, counted up to ``most``."""
    limited = selection.matching(session, select(Glitch.id), filters).limit(most).subquery()
    return session.scalar(select(func.count()).select_from(limited)) or 0


def _streamed(session: Session, statement: Select[*tuple[Any, ...]]) -> Generator[Any, None, None]:
    with session.execute(statement.execution_options(yield_per=FETCHED)) as rows:
        yield from rows
