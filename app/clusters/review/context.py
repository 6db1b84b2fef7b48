"""The cluster under review: lock, members, and suggested labels.

A suggested label is a class that the review of a cluster proposes for a member, until somebody
accepts it.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Uuid, delete, exists, func, insert, literal, select, update
from sqlalchemy.orm import Session

from app.classes.service import Merged, active_merges
from app.classes.tables import GlitchClass
from app.clusters.identities import current_cluster
from app.clusters.review.log import MAX_MEMBERS, Log, replay
from app.clusters.tables import Cluster, ClusterMember, LabelSuggestion, ReviewEvent
from app.core.access import Principal
from app.core.database import is_any_of
from app.core.errors import ConflictError, InvalidRequestError
from app.glitches.tables import Glitch

Memory = dict[str, Any]


@dataclass(frozen=True)
class ReviewContext:
    """The cluster, author and event of an action."""

    session: Session
    cluster: Cluster  # the latest of its identity, locked
    author: Principal
    event_id: int  # of the original action, also while it is undone or redone


def require_flagged(context: ReviewContext) -> None:
    """Refuse actions that are possible only for a flagged cluster."""
    state = context.cluster.state
    if state != "flagged":
        raise ConflictError(f"This cluster is {state} already: undo that first.")


def hold_latest(context: ReviewContext) -> None:
    """Lock the cluster so that no run continues it in its old state until the transaction ends."""
    own = Cluster.identity == context.cluster.identity, Cluster.state != "split"
    context.session.execute(select(Cluster.id).where(*own).with_for_update(key_share=True)).all()
    # Query again, because the locking query does not see rows stored while it waited.
    if current_cluster(context.session, context.cluster.identity).id != context.cluster.id:
        raise ConflictError("A clustering found this cluster again meanwhile: review the new one.")


def set_state(context: ReviewContext, state: str) -> None:
    """Set the state of the cluster in every run that found it; split clusters keep theirs."""
    hold_latest(context)
    context.session.execute(
        update(Cluster)
        .where(Cluster.identity == context.cluster.identity, Cluster.state != "split")
        .values(state=state)
        .execution_options(synchronize_session=False)
    )
    context.session.refresh(context.cluster)


def members_named(session: Session, cluster: Cluster, member_ids: Sequence[UUID]) -> list[UUID]:
    """Check that these are members; return them sorted by id, without duplicates."""
    ids = sorted(set(member_ids))
    if not 1 <= len(ids) <= MAX_MEMBERS:
        raise InvalidRequestError(f"Name 1 to {MAX_MEMBERS:,} members, not {len(ids):,}.")
    n_found = session.scalar(
        select(func.count())
        .select_from(ClusterMember)
        .where(ClusterMember.cluster_id == cluster.id, is_any_of(ClusterMember.glitch_id, ids))
    )
    if n_found != len(ids):
        raise InvalidRequestError(
            f"{len(ids) - (n_found or 0):,} of these glitches are not members of this cluster: "
            "reload it to see which are."
        )
    return ids


def lock_identity(session: Session, identity: UUID) -> None:
    """Allow only one review of a cluster at a time, until the transaction ends."""
    key = func.hashtextextended(str(identity), 4)
    session.execute(select(func.pg_advisory_xact_lock(key)))


def read_logs(session: Session, identities: Collection[UUID]) -> dict[UUID, Log]:
    """Read the review histories of these identities."""
    rows = session.scalars(
        select(ReviewEvent)
        .where(is_any_of(ReviewEvent.identity, identities))
        .order_by(ReviewEvent.id)
    )
    events: dict[UUID, list[ReviewEvent]] = {identity: [] for identity in identities}
    for row in rows:
        events[row.identity].append(row)
    return {identity: replay(own) for identity, own in events.items()}


def read_log(session: Session, identity: UUID) -> Log:
    """Read the review history of this identity."""
    return read_logs(session, [identity])[identity]


def named_for(session: Session, logs: Collection[Log]) -> list[str | None]:
    """Return for each log the current class of its naming or merging in force, by name.

    If that class was merged into another since, and the merge is in force, it is the other class,
    which the labels now have. None if no naming or merging is in force.
    """
    merges: list[Merged] | None = None
    names: list[str | None] = []
    for log in logs:
        naming = [one for one in map(log.event, log.done) if one.kind in ("promote", "merge")]
        if not naming:
            names.append(None)
            continue
        event = log.last_execution_of(naming[-1])
        class_id = event.payload.get("class_name_id")
        merges = active_merges(session) if merges is None else merges
        for one in merges:
            if one.class_id == class_id and one.at >= event.created_at:
                class_id = one.into_id
        known = session.get(GlitchClass, class_id or 0)
        names.append(event.payload["class_name"] if known is None else known.name)
    return names


def suggest(
    session: Session, *which: ColumnElement[bool], identity: UUID, class_id: int, event_id: int
) -> int:
    """Suggest a class for the glitches that meet these conditions; return their number."""
    columns = ["identity", "glitch_id", "class_id", "event_id"]
    rows = select(literal(identity, Uuid), Glitch.id, literal(class_id), literal(event_id))
    suggested = session.scalars(
        insert(LabelSuggestion)
        .from_select(columns, rows.where(*which))
        .returning(LabelSuggestion.glitch_id)
    )
    return len(suggested.all())


def take_suggestions(
    session: Session, identity: UUID, glitch_ids: Sequence[UUID] | None = None
) -> list[LabelSuggestion]:
    """Remove and return the suggestions of a cluster, for these glitches or for all."""
    conditions = _suggested(identity, glitch_ids)
    rows = session.scalars(
        select(LabelSuggestion).where(*conditions).order_by(LabelSuggestion.glitch_id)
    ).all()
    session.execute(
        delete(LabelSuggestion).where(*conditions).execution_options(synchronize_session=False)
    )
    for row in rows:
        session.expunge(row)
    return list(rows)


def _suggested(identity: UUID, glitch_ids: Sequence[UUID] | None) -> list[ColumnElement[bool]]:
    """Return conditions for the suggestions of a cluster, for these glitches or for all."""
    conditions = [LabelSuggestion.identity == identity]
    if glitch_ids is not None:
        conditions.append(is_any_of(LabelSuggestion.glitch_id, glitch_ids))
    return conditions


def _is_open() -> ColumnElement[bool]:
    """Return the condition that a suggestion is open: the glitch has no label.

    It is open again if that label is revoked.
    """
    return exists().where(Glitch.id == LabelSuggestion.glitch_id, Glitch.class_id.is_(None))


def take_open_suggestions(
    session: Session, identity: UUID, glitch_ids: Sequence[UUID] | None = None
) -> list[LabelSuggestion]:
    """Remove and return open suggestions; glitches that somebody labelled since keep that label."""
    suggested = select(LabelSuggestion.glitch_id).where(*_suggested(identity, glitch_ids))
    # Wait for transactions that are labelling one of them.
    session.execute(
        select(Glitch.id)
        .where(Glitch.id.in_(suggested))
        .order_by(Glitch.id)
        .with_for_update(key_share=True)
    ).all()
    unlabelled = session.scalars(suggested.where(_is_open())).all()
    return take_suggestions(session, identity, unlabelled)


def count_by_cluster(session: Session, identities: Collection[UUID]) -> dict[UUID, int]:
    """Count the open suggestions of each cluster."""
    rows = session.execute(
        select(LabelSuggestion.identity, func.count())
        .where(LabelSuggestion.identity.in_(identities), _is_open())
        .group_by(LabelSuggestion.identity)
    )
    return {row[0]: row[1] for row in rows}


def suggested_classes(
    session: Session, glitch_ids: Collection[UUID], identity: UUID | None = None
) -> dict[UUID, tuple[str, ...]]:
    """Return the names of the classes suggested for each glitch, by one cluster or by any."""
    query = (
        select(LabelSuggestion.glitch_id, GlitchClass.name)
        .join(GlitchClass, GlitchClass.id == LabelSuggestion.class_id)
        .where(is_any_of(LabelSuggestion.glitch_id, glitch_ids), _is_open())
        .order_by(GlitchClass.name)
    )
    if identity is not None:
        query = query.where(LabelSuggestion.identity == identity)
    by_glitch: dict[UUID, list[str]] = defaultdict(list)
    for glitch_id, name in session.execute(query):
        if name not in by_glitch[glitch_id]:
            by_glitch[glitch_id].append(name)
    return {glitch_id: tuple(names) for glitch_id, names in by_glitch.items()}
