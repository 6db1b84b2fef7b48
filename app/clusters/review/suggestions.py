"""Suggested labels: what the review of a cluster says of its members, until somebody accepts it."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from uuid import UUID

from sqlalchemy import Uuid, delete, func, insert, literal, select
from sqlalchemy.orm import Session

from app.classes.tables import GlitchClass
from app.clusters.tables import ClusterMember, LabelSuggestion
from app.core.database import is_any_of
from app.glitches.tables import Glitch


def suggest(
    session: Session, *, cluster_id: UUID, identity: UUID, class_id: int, event_id: int
) -> int:
    """Suggest a class for the members of a cluster that have no label; how many those are."""
    unlabelled = (
        select(literal(identity, Uuid), Glitch.id, literal(class_id), literal(event_id))
        .join(ClusterMember, ClusterMember.glitch_id == Glitch.id)
        .where(ClusterMember.cluster_id == cluster_id, Glitch.class_id.is_(None))
    )
    columns = ["identity", "glitch_id", "class_id", "event_id"]
    made = session.scalars(
        insert(LabelSuggestion)
        .from_select(columns, unlabelled)
        .returning(LabelSuggestion.glitch_id)
    )
    return len(made.all())


def suggest_again(
    session: Session, glitch_ids: Collection[UUID], *, identity: UUID, class_id: int, event_id: int
) -> None:
    """Put back suggestions that an act had used up."""
    rows = [
        {"identity": identity, "glitch_id": one, "class_id": class_id, "event_id": event_id}
        for one in glitch_ids
    ]
    if rows:
        session.execute(insert(LabelSuggestion), rows)


def take(
    session: Session, identity: UUID, glitch_ids: Sequence[UUID] | None = None
) -> list[LabelSuggestion]:
    """Remove the suggestions of a cluster for these glitches, or all; what was removed."""
    conditions = [LabelSuggestion.identity == identity]
    if glitch_ids is not None:
        conditions.append(is_any_of(LabelSuggestion.glitch_id, glitch_ids))
    rows = session.scalars(
        select(LabelSuggestion).where(*conditions).order_by(LabelSuggestion.glitch_id)
    ).all()
    session.execute(
        delete(LabelSuggestion).where(*conditions).execution_options(synchronize_session=False)
    )
    for row in rows:
        session.expunge(row)
    return list(rows)


def count_by_cluster(session: Session, identities: Collection[UUID]) -> dict[UUID, int]:
    """How many suggestions of each cluster wait for a decision."""
    rows = session.execute(
        select(LabelSuggestion.identity, func.count())
        .where(LabelSuggestion.identity.in_(identities))
        .group_by(LabelSuggestion.identity)
    )
    return {row[0]: row[1] for row in rows}


def suggested_classes(
    session: Session, glitch_ids: Collection[UUID], identity: UUID | None = None
) -> dict[UUID, tuple[str, ...]]:
    """Names of the classes suggested for each glitch, by one cluster or by any."""
    query = (
        select(LabelSuggestion.glitch_id, GlitchClass.name)
        .join(GlitchClass, GlitchClass.id == LabelSuggestion.class_id)
        .where(is_any_of(LabelSuggestion.glitch_id, glitch_ids))
        .order_by(GlitchClass.name)
    )
    if identity is not None:
        query = query.where(LabelSuggestion.identity == identity)
    found: dict[UUID, list[str]] = defaultdict(list)
    for glitch_id, name in session.execute(query):
        if name not in found[glitch_id]:
            found[glitch_id].append(name)
    return {glitch_id: tuple(names) for glitch_id, names in found.items()}
