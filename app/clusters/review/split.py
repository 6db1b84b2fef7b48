"""Splitting a cluster: two new clusters take its place, and it keeps its members for the undo."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import numpy as np
from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from app.clusters.records import ClusteringParameters
from app.clusters.review.log import Split
from app.clusters.review.scene import (
    Memory,
    Scene,
    lock_identity,
    members_named,
    read_log,
    require_flagged,
)
from app.clusters.selection import Selection
from app.clusters.summary import summarise
from app.clusters.tables import Cluster, ClusteringRun, ClusterMember
from app.core.errors import ConflictError, InvalidRequestError
from app.core.identifiers import uuid7
from app.glitches.tables import Embedding, Glitch
from glitch.clustering import describe_cluster, unit_vectors


def split(scene: Scene, action: Split) -> Memory:
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
    _store_part(session, cluster, new, part_id=new_id, identity=new_id)
    _store_part(session, cluster, rest, part_id=rest_id, identity=cluster.identity)
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
            f"{log.tell(last)}): undo that first."
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


def _store_part(
    session: Session,
    whole: Cluster,
    probabilities: Mapping[UUID, float],
    *,
    part_id: UUID,
    identity: UUID,
) -> None:
    run = session.get_one(ClusteringRun, whole.run_id)
    chosen = _select(session, run, sorted(probabilities))
    everyone = np.arange(len(chosen.ids))
    found = describe_cluster(
        unit_vectors(chosen.vectors),
        everyone,
        np.array([probabilities[one] for one in chosen.ids]),
        whole.stability,
    )
    parameters = ClusteringParameters(
        fdr=run.fdr,
        min_cluster_size=run.min_cluster_size,
        ifo=run.ifo,
        scope=run.scope,
        is_simulated=run.is_simulated,
    )
    summary = summarise(session, run.checkpoint_id, parameters, chosen, found)
    session.add(
        Cluster(
            id=part_id,
            run_id=run.id,
            identity=identity,
            previous_id=whole.id,
            overlap=len(chosen.ids) / whole.size,
            size=len(chosen.ids),
            stability=whole.stability,  # how surely the whole was found; parts were not looked for
            significance=None,  # nobody tested the part
            medoid_id=chosen.ids[found.medoid],
            state="flagged",
            summary={**summary, "previous_size": None, "is_part": True, "split_from": whole.size},
        )
    )
    session.flush()
    exemplars = set(found.exemplars)
    session.execute(
        insert(ClusterMember),
        [
            {
                "cluster_id": part_id,
                "glitch_id": glitch_id,
                "probability": probabilities[glitch_id],
                "distance": float(distance),
                "is_exemplar": index in exemplars,
            }
            for index, (glitch_id, distance) in enumerate(
                zip(chosen.ids, found.distances, strict=True)
            )
        ],
    )


def _select(session: Session, run: ClusteringRun, glitch_ids: Sequence[UUID]) -> Selection:
    """These glitches as a clustering sees them."""
    rows = session.execute(
        select(Glitch.id, Glitch.ifo, Glitch.gps_time, Embedding.mean)
        .join(Embedding, Embedding.glitch_id == Glitch.id)
        .where(Embedding.checkpoint_id == run.checkpoint_id, Glitch.id.in_(glitch_ids))
        .order_by(Glitch.id)
    ).all()
    if len(rows) < len(glitch_ids):
        raise ConflictError(
            "The model that found this cluster has been replaced: cluster again, then split."
        )
    return Selection(
        ids=[row[0] for row in rows],
        ifos=[row[1] for row in rows],
        gps_times=[row[2] for row in rows],
        vectors=np.array([row[3] for row in rows], dtype=np.float32),
        weights=np.ones(len(rows)),
        looks={},
        n_judged=run.n_judged,
        n_unjudged=run.n_unjudged,
        n_flagged=run.n_flagged,
        threshold=run.p_threshold,
        judged_by_ifo={},
        calibration_by_ifo={},
        findings=[],
    )
