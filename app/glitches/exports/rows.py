"""The rows of an export, and what each column holds."""

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import Select, Text, and_, cast, func, literal, select
from sqlalchemy.orm import Session

from app.classes.tables import GlitchClass
from app.clusters.tables import Cluster
from app.glitches import selection
from app.glitches.facts import facts_of
from app.glitches.records import GlitchFilters
from app.glitches.tables import Embedding, Glitch
from app.models.checkpoints import active_checkpoint, active_id

LONG_TEXT = 400  # bytes of channels and classes, which have up to 200 and 100 characters
_SENTENCES = 1000
FETCHED = 2000  # rows at a time, of a cursor on the server: memory does not grow with the export


@dataclass(frozen=True)
class Column:
    """A column of an export."""

    name: str  # Gravity Spy's, where it has one
    is_text: bool
    value: Callable[[Any], Any]  # of a row; None where it is not known
    is_whole: bool = False
    width: int = 64  # bytes of a text in HDF5; what is longer is cut there


def whole_seconds(gps_time: Decimal | None) -> int | None:
    """The seconds of a time, as trigger tables keep them apart."""
    return None if gps_time is None else math.floor(gps_time)


def nanoseconds(gps_time: Decimal | None) -> int | None:
    """What it has beyond them."""
    return None if gps_time is None else int((gps_time - math.floor(gps_time)) * 1_000_000_000)


COLUMNS: tuple[Column, ...] = (
    Column("event_time", False, lambda row: row.gps_time),
    Column("ifo", True, lambda row: row.ifo),
    Column("peak_time", False, lambda row: whole_seconds(row.gps_time), is_whole=True),
    Column("peak_time_ns", False, lambda row: nanoseconds(row.gps_time), is_whole=True),
    Column("duration", False, lambda row: row.duration),
    Column("peak_frequency", False, lambda row: row.peak_frequency),
    Column("bandwidth", False, lambda row: row.bandwidth),
    Column("channel", True, lambda row: row.channel, width=LONG_TEXT),
    Column("snr", False, lambda row: row.snr),
    Column("q_value", False, lambda row: row.q),
    Column("gravityspy_id", True, lambda row: row.gravityspy_id or str(row.id)),
    Column("ml_label", True, lambda row: row.label, width=LONG_TEXT),
    Column("ml_confidence", False, lambda row: row.ml_confidence),
    Column("data_quality", True, lambda row: " ".join(row.data_quality) or None, width=LONG_TEXT),
    Column("origin", True, lambda row: row.origin),
    Column("novelty_score", False, lambda row: row.novelty_score),
    Column("p_value", False, lambda row: row.p_value),
    Column("page", True, lambda row: row.page, width=160),
    # Of the cluster that was asked for, in every row: tables of one cluster are put together.
    Column("cluster", True, lambda row: row.cluster),
    Column("cluster_fdr", False, lambda row: row.cluster_fdr),
    Column("cluster_trust", True, lambda row: row.cluster_trust, width=_SENTENCES),
    Column("cluster_doubt", True, lambda row: row.cluster_doubt, width=_SENTENCES),
)


def about_cluster(session: Session, filters: GlitchFilters) -> dict[str, str | float | None]:
    """How far to trust the cluster that an export is of, by column; unknown where it is of none."""
    found = session.get(Cluster, filters.cluster_id) if filters.cluster_id else None
    return {
        "cluster": str(found.id) if found else None,
        "cluster_fdr": found.fdr if found else None,
        "cluster_trust": found.trust if found else None,
        "cluster_doubt": found.doubt if found else None,
    }


def export_rows(
    session: Session,
    filters: GlitchFilters,
    *,
    base: str = "",
    within: tuple[UUID, UUID] | None = None,
    with_latents: bool = False,
) -> Generator[Any, None, None]:
    """The glitches that pass, by id; close it where not all rows are read.

    The transaction must stay open while they are read. ``base`` is the service's address, for
    their pages; ``within`` are the first and the last id; ``with_latents`` gives each its
    latent vector too, as ``mean``.

    Raises:
        InvalidRequestError: a filter without sense, a class that is none.
        NotReadyError: if novelty is asked for and no checkpoint is active.
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
    """The ids of the glitches that pass, in order, some at a time; close it where not all are read.

    Raises:
        InvalidRequestError: a filter without sense.
        NotReadyError: if novelty is asked for and no checkpoint is active.
    """
    statement = selection.matching(session, select(Glitch.id), filters).order_by(Glitch.id)
    with session.scalars(statement.execution_options(yield_per=size)) as rows:
        for part in rows.partitions():
            yield list(part)


def count_rows(session: Session, filters: GlitchFilters, *, most: int) -> int:
    """How many glitches pass; counts no further than ``most``.

    Raises:
        InvalidRequestError: a filter without sense.
        NotReadyError: if novelty is asked for and no checkpoint is active.
    """
    some = selection.matching(session, select(Glitch.id), filters).limit(most).subquery()
    return session.scalar(select(func.count()).select_from(some)) or 0


def _streamed(session: Session, statement: Select[*tuple[Any, ...]]) -> Generator[Any, None, None]:
    with session.execute(statement.execution_options(yield_per=FETCHED)) as rows:
        yield from rows
