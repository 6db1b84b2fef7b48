"""Review of clusters. Every action and every undo is an event with its author.

An action is refused if its author has not seen the latest event (``app.core.events``).
"""

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session, aliased

from app.classes.naming import check_class_name
from app.clusters import records
from app.clusters.decided import DECIDING, Decision, decisions_about
from app.clusters.identities import current_by_identity, current_cluster
from app.clusters.review.acts import ACTS, recall_action, refuse_redo
from app.clusters.review.context import (
    ReviewContext,
    count_by_cluster,
    lock_identity,
    named_for,
    read_log,
    read_logs,
)
from app.clusters.review.log import Action, CommentRequest, History, Log, PromoteRequest, Reviewed
from app.clusters.review.log import ReviewEvent as ReviewEntry
from app.clusters.tables import Cluster, ClusterMember, ReviewEvent
from app.core.access import Principal, Role, record_event, require_role
from app.core.database import is_any_of
from app.core.errors import ConflictError, InvalidRequestError, required
from app.core.events import RedoRequest, Turn, UndoRequest, act_to_turn, check_remark, refuse_stale

_MAX_SEARCHED = 20_000  # members; larger clusters are not searched for other decisions


def review(session: Session, cluster_id: UUID, action: Action, *, author: Principal) -> Reviewed:
    """Apply a review action to a cluster, in the caller's transaction.

    The action names the latest event of the history that its author has seen.

    Raises:
        PermissionDeniedError: if the author is not a reviewer.
        NotFoundError: if there is no such cluster or event.
        InvalidRequestError: if the action is not valid; says why.
        ConflictError: if somebody else was quicker, the cluster was reviewed already, or others
            built on the action to be undone; says who and what.
    """
    require_role(author, Role.REVIEWER)
    cluster = _lock(session, cluster_id)
    identity = cluster.identity  # undoing a split may delete the row
    log = read_log(session, identity)
    if not isinstance(action, CommentRequest):
        refuse_stale(log, action.last_event_id)
        _refuse_superseded(cluster, current_cluster(session, identity), action)
    if isinstance(action, PromoteRequest):
        check_class_name(action.class_name)
    noted = {"remark": check_remark(action.remark)} if action.remark.strip() else {}
    with session.begin_nested():  # a refused action leaves no event, even if the caller continues
        if isinstance(action, Turn):
            row = _turn(session, cluster, log, action, author)
        else:
            about: dict[str, Any] = {"identity": identity, "cluster_id": cluster.id}
            row = ReviewEvent.add(session, action.action, author.name, **about)
            memory = ACTS[action.action].do(ReviewContext(session, cluster, author, row.id), action)
            common = {"action", "last_event_id", "remark"}
            row.payload = {"asked": action.model_dump(mode="json", exclude=common), **memory}
        row.payload = {**row.payload, **noted}
    session.flush()
    record_event(session, author.name, row.kind, "cluster", identity, event=row.id)
    shown = current_cluster(session, identity)
    waiting = count_by_cluster(session, [identity])
    log = history(session, shown.id)
    return Reviewed(
        cluster_id=shown.id,
        state=shown.state,
        suggestions=waiting.get(identity, 0),
        event_id=log.last_id,
        history=History.of(log),
    )


def withdraw(session: Session, cluster_id: UUID, *, author: Principal) -> None:
    """Remove a cluster made by hand, with which nothing was done since.

    Raises:
        PermissionDeniedError: if the author is not a reviewer.
        NotFoundError: if there is no such cluster.
        ConflictError: if it was reviewed, or a clustering found it since.
    """
    require_role(author, Role.REVIEWER)
    identity = _lock(session, cluster_id).identity
    # A clustering that is storing its next state holds the row until it ends.
    session.execute(select(Cluster.id).where(Cluster.identity == identity).with_for_update())
    cluster = session.get_one(Cluster, cluster_id, populate_existing=True)
    if not may_withdraw(session, cluster):
        raise ConflictError(
            "Since this cluster was made, it was reviewed or a clustering found it again, so it "
            "stays: undo what was decided, or dismiss it."
        )
    record_event(session, author.name, "undo", "cluster", identity, n_glitches=cluster.size)
    session.delete(cluster)


def may_withdraw(session: Session, cluster: Cluster | records.Cluster) -> bool:
    """Whether a cluster was made by hand and nothing was done with it since."""
    return (
        "by_hand" in cluster.summary
        and cluster.id == current_cluster(session, cluster.identity).id == cluster.identity
        and not read_log(session, cluster.identity).events
    )


def history(session: Session, cluster_id: UUID) -> Log:
    """Return the actions on a cluster in all its runs, oldest first."""
    cluster = required(session.get(Cluster, cluster_id), f"There is no cluster {cluster_id}.")
    log, latest = read_log(session, cluster.identity), current_cluster(session, cluster.identity)

    def obstacle(event: ReviewEntry) -> str | None:
        """Say why the next undo or redo of an event is not possible, if so."""
        turn, act = UndoRequest if event.may_undo else RedoRequest, ACTS[event.kind]
        try:
            _refuse_superseded(cluster, latest, turn.unchecked(event_id=event.id))
            if act.request is CommentRequest:  # may be many; nothing hinders their undo
                return None
            if event.may_undo:
                act.refuse_undo(session, latest, log.last_execution_of(event).payload)
            else:
                refuse_redo(session, latest, recall_action(session, event.kind, event.payload))
        except (ConflictError, InvalidRequestError) as error:
            return str(error)
        return None

    return log.with_obstacles(obstacle)


def class_names_of(session: Session, identities: Collection[UUID]) -> dict[UUID, str]:
    """Return the current name of the class of each cluster that was named or merged."""
    logs = read_logs(session, identities)
    names = named_for(session, logs.values())
    return {identity: name for identity, name in zip(logs, names, strict=True) if name}


def reported_decisions(
    session: Session, clusters: Sequence[records.Cluster]
) -> dict[UUID, list[tuple[Decision, int]]]:
    """Return the decisions in force about members of each cluster in other clusters, with numbers.

    Clusters of more than ``_MAX_SEARCHED`` members are left out.
    """
    sizes = {one.id: one.size for one in clusters if one.size <= _MAX_SEARCHED}
    owner, member, elsewhere = aliased(Cluster), aliased(ClusterMember), aliased(ClusterMember)
    shared = (
        select(member.cluster_id)
        .join(elsewhere, elsewhere.glitch_id == member.glitch_id)
        .join(Cluster, Cluster.id == elsewhere.cluster_id)
        .where(is_any_of(member.cluster_id, sizes))
    )
    identities = session.scalars(
        shared.with_only_columns(Cluster.identity)
        .join(owner, owner.id == member.cluster_id)
        .where(Cluster.state.in_(DECIDING), Cluster.identity != owner.identity)
        .distinct()
    ).all()
    decisions = decisions_about(session, current_by_identity(session, identities).values())
    by_cluster = {one.reviewed: one for one in decisions}
    identity = {one.id: one.identity for one in clusters}
    reported: dict[UUID, list[tuple[Decision, int]]] = {one: [] for one in sizes}
    rows = session.execute(
        shared.add_columns(elsewhere.cluster_id, func.count())
        .where(is_any_of(elsewhere.cluster_id, by_cluster))
        .group_by(member.cluster_id, elsewhere.cluster_id)
        .order_by(elsewhere.cluster_id)
    )
    for cluster_id, reviewed, n in rows:
        if by_cluster[reviewed].cluster.identity != identity[cluster_id]:
            reported[cluster_id].append((by_cluster[reviewed], n))
    return reported


def _turn(
    session: Session, cluster: Cluster, log: Log, action: Turn, author: Principal
) -> ReviewEvent:
    """Undo or redo an action."""
    root = act_to_turn(log, action)
    about: dict[str, Any] = {"identity": cluster.identity, "cluster_id": cluster.id}
    undone = log.last_event_of[root.id]
    row = ReviewEvent.add(session, "undo", author.name, undoes=undone, **about)
    context = ReviewContext(session, current_cluster(session, cluster.identity), author, root.id)
    act = ACTS[root.kind]
    if isinstance(action, UndoRequest):
        act.take_back(context, log.last_execution_of(root).payload)
    else:
        row.payload = {**act.do(context, recall_action(session, root.kind, root.payload))}
    return row


def _refuse_superseded(cluster: Cluster, latest: Cluster, action: Action) -> None:
    if cluster.state == "split" and not isinstance(action, UndoRequest):
        raise ConflictError("This cluster was split: go to its parts, or undo the split.")
    if latest.id != cluster.id and latest.run_id != cluster.run_id:
        raise ConflictError(
            f"A later clustering found this cluster again ({latest.created_at:%Y-%m-%d %H:%M} UTC, "
            f"{latest.size:,} members): review the new one."
        )


def _lock(session: Session, cluster_id: UUID) -> Cluster:
    """Lock a cluster's identity, so that one reviewer acts at a time, and return the cluster."""
    cluster = session.get(Cluster, cluster_id)
    if cluster is not None:
        lock_identity(session, cluster.identity)
        cluster = session.get(Cluster, cluster_id, populate_existing=True)
    # it never existed, or an undo removed it meanwhile
    return required(cluster, f"There is no cluster {cluster_id}.")
