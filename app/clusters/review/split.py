"""Splitting a cluster: two new clusters take its place, and it keeps its members for the undo."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from app.clusters.chosen import store_chosen
from app.clusters.review.log import SplitRequest
from app.clusters.review.scene import (
    Memory,
    Scene,
    lock_identity,
    members_named,
    read_log,
    require_flagged,
)
from app.clusters.tables import Cluster, ClusteringRun, ClusterMember
from app.core.errors import ConflictError, InvalidRequestError
from app.core.identifiers import uuid7


def split(scene: Scene, action: SplitRequest) -> Memory:
    """Make the named members a cluster of their own, and the others one of the old identity.

    Raises:
        InvalidRequestError: if they are no members, or all of them.
        ConflictError: if the cluster was reviewed.
    """
    require_flagged(scene)
    session, cluster = scene.session, scene.cluster
    off = set(members_named(scene, action.member_ids))
    rows = session.execute(
        select(ClusterMember.glitch_id, ClusterMember.probability)
        .where(ClusterMember.cluster_id == cluster.id)
        .order_by(ClusterMember.glitch_id)
    ).all()
    if len(off) == len(rows):
        raise InvalidRequestError(
            "These are all members, so nothing would stay: leave out those that belong elsewhere."
        )
    probabilities = {row.glitch_id: row.probability for row in rows}
    rest = {key: value for key, value in probabilities.items() if key not in off}
    new = {key: value for key, value in probabilities.items() if key in off}
    # In this order: the part of the old identity must be the latest of it.
    new_id, rest_id = uuid7(), uuid7()
    run = session.get_one(ClusteringRun, cluster.run_id)
    for members, part_id, identity in ((new, new_id, new_id), (rest, rest_id, cluster.identity)):
        store_chosen(
            session,
            run,
            members,
            cluster_id=part_id,
            identity=identity,
            stability=cluster.stability,  # how surely the whole was found
            more={"is_part": True, "split_from": cluster.size},
            previous=cluster,
        )
    _set_own_state(session, cluster, "split")
    return {
        "n_glitches": len(new),
        "whole": str(cluster.id),
        "rest": str(rest_id),
        "part": str(new_id),
    }


def take_back_split(scene: Scene, memory: Mapping[str, Any]) -> None:
    """Remove the parts, unless somebody built on them; the whole is flagged again.

    Raises:
        ConflictError: if a part was reviewed, or a later run found it again.
    """
    session = scene.session
    whole = session.get(Cluster, UUID(memory["whole"]))
    parts = [UUID(memory["rest"]), UUID(memory["part"])]
    if whole is None or scene.cluster.id != parts[0]:
        raise ConflictError(
            "A later clustering run found the parts of this cluster again: split or merge those."
        )
    # The identity of the part is its first id.
    lock_identity(session, parts[1])
    log = read_log(session, parts[1])
    if log.done:
        last = log.event(log.tip_of[log.done[-1]])
        raise ConflictError(
            f"The part that was split off was reviewed by now ({last.author}: "
            f"{last.summary}): undo that first."
        )
    found_again = session.scalar(
        select(Cluster.id).where(Cluster.identity == parts[1], Cluster.id != parts[1]).limit(1)
    )
    if found_again is not None:
        raise ConflictError(
            "A later clustering run found the part that was split off again, so the split stays."
        )
    session.execute(
        delete(Cluster).where(Cluster.id.in_(parts)).execution_options(synchronize_session=False)
    )
    session.expire_all()
    _set_own_state(session, whole, "flagged")


def _set_own_state(session: Session, cluster: Cluster, state: str) -> None:
    session.execute(
        update(Cluster)
        .where(Cluster.id == cluster.id)
        .values(state=state)
        .execution_options(synchronize_session=False)
    )
    session.refresh(cluster)
