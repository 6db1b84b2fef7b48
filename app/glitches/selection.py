"""Select glitches: the columns of a record, and the SQL conditions of a filter."""

import math
import re
from collections.abc import Collection
from typing import Any
from uuid import UUID

import numpy as np
from sqlalchemy import ColumnElement, Row, Select, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.classes.naming import no_class
from app.classes.tables import GlitchClass
from app.classes.tree import Tree
from app.clusters.tables import Cluster, ClusterMember
from app.core.database import is_any_of
from app.core.errors import InvalidRequestError, check_choice, required
from app.glitches.facts import facts_of
from app.glitches.records import GlitchFilters, GlitchRecord, ViewRecord
from app.glitches.tables import ORIGINS, Embedding, Glitch, View
from app.jobs.tables import Job, JobItem
from app.models.checkpoints import active_checkpoint

IFO_PATTERN = re.compile(r"[A-Z][0-9]")
MAX_NAMES = 100  # names in one filter

_DURATIONS = func.array(
    select(View.duration)
    .where(View.glitch_id == Glitch.id)
    .order_by(View.duration)
    .correlate(Glitch)
    .scalar_subquery()
)


def select_glitches(
    *extra: ColumnElement[Any] | InstrumentedAttribute[Any],
) -> Select[*tuple[Any, ...]]:
    """Query for glitches with the columns that ``to_record`` needs, then the extra columns."""
    return select(
        Glitch, GlitchClass.name.label("class_name"), _DURATIONS.label("durations"), *extra
    ).outerjoin(GlitchClass, GlitchClass.id == Glitch.class_id)


def to_record(row: Row[*tuple[Any, ...]]) -> GlitchRecord:
    """Convert a row of ``select_glitches`` to a record."""
    return record_of(row[0], row[1], tuple(row[2]))


def record_of(
    glitch: Glitch | Row[Any], label: str | None, durations_s: tuple[float, ...]
) -> GlitchRecord:
    """Make a record from a row of the table and the values of other tables."""
    return GlitchRecord(
        id=glitch.id,
        origin=glitch.origin,
        label=label,
        ml_confidence=glitch.ml_confidence,
        views=durations_s,
        created_at=glitch.created_at,
        data_quality=tuple(glitch.data_quality),
        **facts_of(glitch),
    )


def get_glitch(session: Session, glitch_id: UUID) -> GlitchRecord:
    """The glitch with this id; NotFoundError if there is none."""
    row = session.execute(select_glitches().where(Glitch.id == glitch_id)).first()
    return to_record(required(row, f"There is no glitch {glitch_id}."))


def glitches_by_id(session: Session, glitch_ids: Collection[UUID]) -> dict[UUID, GlitchRecord]:
    """Glitches with these ids, in the given order; missing ones are left out."""
    if not glitch_ids:
        return {}
    rows = session.execute(select_glitches().where(Glitch.id.in_(glitch_ids)))
    by_id = {row[0].id: to_record(row) for row in rows}
    return {one: by_id[one] for one in glitch_ids if one in by_id}


def view_record(view: View) -> ViewRecord:
    """Convert a row of the table to a record."""
    rows = np.unpackbits(np.frombuffer(view.observed, dtype=np.uint8), count=view.n_frequency)
    shape = (view.n_frequency, view.n_time)
    return ViewRecord(view.duration, view.packed, shape, rows.astype(np.bool_))


def matching(
    session: Session, statement: Select[*tuple[Any, ...]], filters: GlitchFilters
) -> Select[*tuple[Any, ...]]:
    """Restrict a statement to glitches that pass the filters (novelty: active checkpoint)."""
    check_filters(filters)
    statement = statement.where(*glitch_conditions(session, filters))
    if about_embedding := embedding_conditions(filters):
        active = active_checkpoint(session)
        statement = statement.join(Embedding, Embedding.glitch_id == Glitch.id).where(
            Embedding.checkpoint_id == active.id, *about_embedding
        )
    return statement


def check_filters(filters: GlitchFilters) -> None:
    """Raise ``InvalidRequestError`` for invalid filters, such as unknown detectors."""
    for ifo in filters.ifos:
        check_ifo(ifo)
    for origin in filters.origins:
        check_choice(origin, ORIGINS, "origin")
    flags = filters.data_quality, filters.not_data_quality
    classes = filters.labels, filters.simulated_classes
    for names in (filters.ifos, filters.origins, *classes, *flags):
        if len(names) > MAX_NAMES:
            raise InvalidRequestError(f"A filter takes at most {MAX_NAMES} names.")
        if any("\0" in name for name in names):
            raise InvalidRequestError("A name contains a NUL character: remove it.")
    ranges = (
        ("gps_start", filters.gps_start, "gps_end", filters.gps_end),
        ("snr_min", filters.snr_min, "snr_max", filters.snr_max),
        (
            "peak_frequency_min",
            filters.peak_frequency_min,
            "peak_frequency_max",
            filters.peak_frequency_max,
        ),
        ("ml_confidence_min", filters.ml_confidence_min, "", None),
        ("p_value", None, "p_value_max", filters.p_value_max),
        ("simulated_probability_min", filters.simulated_probability_min, "", None),
    )
    for low_name, low, high_name, high in ranges:
        for name, bound in ((low_name, low), (high_name, high)):
            if bound is not None and not math.isfinite(bound):
                raise InvalidRequestError(f"{name} must be a finite number.")
        if low is not None and high is not None and low > high:
            raise InvalidRequestError(f"{low_name} must not exceed {high_name}.")


def check_ifo(ifo: str) -> None:
    """Raise ``InvalidRequestError`` unless the text has the form of a detector prefix."""
    if not IFO_PATTERN.fullmatch(ifo):
        raise InvalidRequestError(
            f"There is no detector {ifo[:20]!r}: give its prefix as ifo, for example H1, L1 or V1.",
            field="ifo",
        )


def class_ids(session: Session, names: tuple[str, ...]) -> list[int]:
    """Ids of the classes with these names; InvalidRequestError if one does not exist."""
    rows = session.execute(
        select(GlitchClass.name, GlitchClass.id).where(
            GlitchClass.name.in_(names), GlitchClass.state != "withdrawn"
        )
    )
    ids_by_name = {row.name: row.id for row in rows}
    missing = [name for name in names if name not in ids_by_name]
    if missing:
        raise InvalidRequestError(no_class(session, missing[0]))
    return list(ids_by_name.values())


def glitch_conditions(session: Session, filters: GlitchFilters) -> list[ColumnElement[bool]]:
    """SQL conditions of the filters on columns of ``glitch``."""
    conditions: list[ColumnElement[bool]] = []
    if filters.ifos:
        conditions.append(Glitch.ifo.in_(filters.ifos))
    if filters.origins:
        conditions.append(Glitch.origin.in_(filters.origins))
    if filters.labels:
        selected_ids = class_ids(session, filters.labels)
        if filters.with_subclasses:
            selected_ids = sorted(Tree.load(session).with_subclasses(selected_ids))
        conditions.append(Glitch.class_id.in_(selected_ids))
    if filters.data_quality:
        conditions.append(Glitch.data_quality.contains(filters.data_quality))
    if filters.not_data_quality:
        conditions.append(~Glitch.data_quality.overlap(filters.not_data_quality))
    if filters.cluster_id is not None:
        conditions.append(_is_member(session, filters.cluster_id))
    if filters.batch_id is not None:
        conditions.append(_is_of_batch(session, filters.batch_id))
    if filters.ids is not None:
        conditions.append(is_any_of(Glitch.id, filters.ids))
    if filters.is_labelled is not None:
        is_labelled = Glitch.class_id.is_not(None)
        conditions.append(is_labelled if filters.is_labelled else ~is_labelled)
    bounds: tuple[tuple[InstrumentedAttribute[Any], Any, Any], ...] = (
        (Glitch.gps_time, filters.gps_start, filters.gps_end),
        (Glitch.snr, filters.snr_min, filters.snr_max),
        (Glitch.peak_frequency, filters.peak_frequency_min, filters.peak_frequency_max),
        (Glitch.ml_confidence, filters.ml_confidence_min, None),
    )
    conditions += [column >= low for column, low, _ in bounds if low is not None]
    conditions += [column <= high for column, _, high in bounds if high is not None]
    return conditions


def _is_member(session: Session, cluster_id: UUID) -> ColumnElement[bool]:
    if session.get(Cluster, cluster_id) is None:
        raise InvalidRequestError(f"There is no cluster {cluster_id}: see the list of clusters.")
    members = select(ClusterMember.glitch_id).where(ClusterMember.cluster_id == cluster_id)
    return Glitch.id.in_(members)


def _is_of_batch(session: Session, job_id: UUID) -> ColumnElement[bool]:
    job = session.get(Job, job_id)
    if job is None or job.kind != "ingest":
        raise InvalidRequestError(f"There is no batch {job_id}: see the list of jobs.")
    items = select(JobItem.glitch_id).where(
        JobItem.job_id == job_id, JobItem.glitch_id.is_not(None)
    )
    return Glitch.id.in_(items)


def embedding_conditions(filters: GlitchFilters) -> list[ColumnElement[bool]]:
    """SQL conditions of the filters on columns of ``embedding``."""
    conditions: list[ColumnElement[bool]] = []
    if filters.p_value_max is not None:
        conditions.append(Embedding.p_value <= filters.p_value_max)
    if filters.is_judged is not None:
        conditions.append(Embedding.is_judged.is_(filters.is_judged))
    if filters.simulated_classes:
        conditions.append(Embedding.simulated_class.in_(filters.simulated_classes))
    if filters.simulated_probability_min is not None:
        conditions.append(Embedding.simulated_probability >= filters.simulated_probability_min)
    return conditions
