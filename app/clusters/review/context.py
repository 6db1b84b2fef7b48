"""The cluster under review: lock, members, labels and suggested labels.

A suggested label is proposed by the review of a cluster for its members until somebody accepts it.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Uuid, delete, exists, func, insert, literal, select, update
from sqlalchemy.orm import Session

from app.classes.service import Merged, standing_merges
from app.classes.tables import GlitchClass
from app.clusters.review.log import MOST_MEMBERS, Log, replay
from app.clusters.tables import Cluster, ClusterMember, LabelSuggestion, ReviewEvent
from app.core.access import Principal
from app.core.database import is_any_of
from app.core.errors import ConflictError, InvalidRequestError
from app.glitches.tables import Glitch

Memory = dict[str, Any]


@dataclass(frozen=True)
class ReviewContext:
    """Where an act takes place."""

    session: Session
    cluster: Cluster  # the latest of its identity, locked
    author: Principal
    event_id: int  # of the act itself, also while it is undone or redone


def require_flagged(context: ReviewContext) -> None:
    """Refuse what can be done to a cluster once only."""
    state = context.cluster.state
    if state != "flagged":
        raise ConflictError(f"This cluster is {state} already: undo that first.")


def hold_latest(context: ReviewContext) -> None:
    """Let no clustering continue the cluster as it was, until the transaction ends."""
    mine = Cluster.identity == context.cluster.identity, Cluster.state != "split"
    context.session.execute(select(Cluster.id).where(*mine).with_for_update(key_share=True)).all()
    # Asked again: what was stored while this waited is not among what it waited for.
    latest = context.session.scalar(
        select(Cluster.id).where(*mine).order_by(Cluster.id.desc()).limit(1)
    )
    if latest != context.cluster.id:
        raise ConflictError("A clustering found this cluster again meanwhile: review that one.")


def set_state(context: ReviewContext, state: str) -> None:
    """Of the cluster in every run that found it; parts of a split keep theirs."""
    hold_latest(context)
    context.session.execute(
        update(Cluster)
        .where(Cluster.identity == context.cluster.identity, Cluster.state != "split")
        .values(state=state)
        .execution_options(synchronize_session=False)
    )
    context.session.refresh(context.cluster)


def members_named(session: Session, cluster: Cluster, member_ids: Sequence[UUID]) -> list[UUID]:
    """These members without repetition, in the order of their ids."""
    wanted = sorted(set(member_ids))
    if not 1 <= len(wanted) <= MOST_MEMBERS:
        raise InvalidRequestError(f"Name 1 to {MOST_MEMBERS:,} members, not {len(wanted):,}.")
    found = session.scalar(
        select(func.count())
        .select_from(ClusterMember)
        .where(ClusterMember.cluster_id == cluster.id, is_any_of(ClusterMember.glitch_id, wanted))
    )
    if found != len(wanted):
        raise InvalidRequestError(
            f"{len(wanted) - (found or 0):,} of these glitches are no members of this cluster: "
            "reload it to see which are."
        )
    return wanted


def lock_identity(session: Session, identity: UUID) -> None:
    """One review of a cluster at a time, until the transaction ends."""
    key = func.hashtextextended(str(identity), 4)
    session.execute(select(func.pg_advisory_xact_lock(key)))


def read_logs(session: Session, identities: Collection[UUID]) -> dict[UUID, Log]:
    """The logs of the clusters of these identities."""
    rows = session.scalars(
        select(ReviewEvent)
        .where(is_any_of(ReviewEvent.identity, identities))
        .order_by(ReviewEvent.id)
    )
    events: dict[UUID, list[ReviewEvent]] = {identity: [] for identity in identities}
    for row in rows:
        events[row.identity].append(row)
    return {identity: replay(mine) for identity, mine in events.items()}


def read_log(session: Session, identity: UUID) -> Log:
    """The log of the clusters of this identity."""
    return read_logs(session, [identity])[identity]


def named_for(session: Session, logs: Collection[Log]) -> list[str | None]:
    """What class the naming or merging that stands in each log is about, as it is called now.

    That is what it was merged into since, if that stands: so its labels are. None where nothing
    stands.
    """
    merges: list[Merged] | None = None
    found: list[str | None] = []
    for log in logs:
        named = [one for one in map(log.event, log.done) if one.kind in ("promote", "merge")]
        if not named:
            found.append(None)
            continue
        did = log.last_doing_of(named[-1])
        class_id = did.payload.get("class_name_id")
        merges = standing_merges(session) if merges is None else merges
        for one in merges:
            if one.class_id == class_id and one.at >= did.created_at:
                class_id = one.into_id
        known = session.get(GlitchClass, class_id or 0)
        found.append(did.payload["class_name"] if known is None else known.name)
    return found


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
    """Put back suggestions that an act had used up, but those for glitches deleted since."""
    there = select(literal(identity, Uuid), Glitch.id, literal(class_id), literal(event_id)).where(
        is_any_of(Glitch.id, glitch_ids)
    )
    columns = ["identity", "glitch_id", "class_id", "event_id"]
    session.execute(insert(LabelSuggestion).from_select(columns, there))


def take_suggestions(
    session: Session, identity: UUID, glitch_ids: Sequence[UUID] | None = None
) -> list[LabelSuggestion]:
    """Remove the suggestions of a cluster for these glitches, or all; what was removed."""
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
    """What the suggestions of a cluster meet, for these glitches or all."""
    conditions = [LabelSuggestion.identity == identity]
    if glitch_ids is not None:
        conditions.append(is_any_of(LabelSuggestion.glitch_id, glitch_ids))
    return conditions


def _waits() -> ColumnElement[bool]:
    """Whether a suggestion is open: nobody labelled the glitch since it was made.

    It is open again where that label is revoked.
    """
    return exists().where(Glitch.id == LabelSuggestion.glitch_id, Glitch.class_id.is_(None))


def take_open_suggestions(
    session: Session, identity: UUID, glitch_ids: Sequence[UUID] | None = None
) -> list[LabelSuggestion]:
    """The same, but those for glitches that somebody labelled since: that label stays."""
    mine = select(LabelSuggestion.glitch_id).where(*_suggested(identity, glitch_ids))
    # Who labels one of them meanwhile is waited for.
    session.execute(
        select(Glitch.id)
        .where(Glitch.id.in_(mine))
        .order_by(Glitch.id)
        .with_for_update(key_share=True)
    ).all()
    unlabelled = session.scalars(mine.where(_waits())).all()
    return take_suggestions(session, identity, unlabelled)


def count_by_cluster(session: Session, identities: Collection[UUID]) -> dict[UUID, int]:
    """How many suggestions of each cluster wait for a decision."""
    rows = session.execute(
        select(LabelSuggestion.identity, func.count())
        .where(LabelSuggestion.identity.in_(identities), _waits())
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
        .where(is_any_of(LabelSuggestion.glitch_id, glitch_ids), _waits())
        .order_by(GlitchClass.name)
    )
    if identity is not None:
        query = query.where(LabelSuggestion.identity == identity)
    found: dict[UUID, list[str]] = defaultdict(list)
    for glitch_id, name in session.execute(query):
        if name not in found[glitch_id]:
            found[glitch_id].append(name)
    return {glitch_id: tuple(names) for glitch_id, names in found.items()}
