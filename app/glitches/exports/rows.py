"""The rows of an export, as they stream from the database."""

from collections.abc import Generator
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
from glitch.tables.exports.columns import FETCHED


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
    """The ids of those that pass, in order, some at a time; close it where not all are read."""
    statement = selection.matching(session, select(Glitch.id), filters).order_by(Glitch.id)
    with session.scalars(statement.execution_options(yield_per=size)) as rows:
        for part in rows.partitions():
            yield list(part)


def count_rows(session: Session, filters: GlitchFilters, *, most: int) -> int:
    """How many glitches pass; counts no further than ``most``."""
    some = selection.matching(session, select(Glitch.id), filters).limit(most).subquery()
    return session.scalar(select(func.count()).select_from(some)) or 0


def _streamed(session: Session, statement: Select[*tuple[Any, ...]]) -> Generator[Any, None, None]:
    with session.execute(statement.execution_options(yield_per=FETCHED)) as rows:
        yield from rows
