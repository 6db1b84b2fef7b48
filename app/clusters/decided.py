"""What reviewers decided about earlier clusters, for the next run to keep.

A split stays: glitches that a reviewer put into different clusters are never joined again. What
came to a cluster after it was named, merged or dismissed has been judged by nobody, and waits as a
cluster of its own, one for all that came, as long as the decision or one about it stands. A
selection that a reviewer made a cluster waits as one until somebody decides. A dismissed look stays
dismissed, and so do dismissed glitches of which a run of another detector or scope makes a cluster
with no other among them.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import numpy as np
from jaxtyping import Float, Int
from sqlalchemy import ColumnElement, Uuid, cast, func, select
from sqlalchemy.orm import Session, aliased

from app.clusters.occurrences import reach_of
from app.clusters.records import ClusteringParameters
from app.clusters.review.log import ReviewEvent
from app.clusters.review.scene import read_log
from app.clusters.tables import Cluster, ClusteringRun, ClusterMember
from app.core.database import is_any_of
from app.glitches.tables import Embedding, Glitch
from glitch.clustering import FoundCluster, Unit, describe_cluster

ALIKE = 0.5  # of a cluster's members must be of a look, or of an earlier cluster, to be like it


@dataclass(frozen=True, eq=False)
class Part:
    """A cluster of this run, and the earlier one that it must continue, if any is prescribed."""

    cluster: FoundCluster
    continues: Cluster | None
    n_parts: int = 1  # of the found cluster that was divided; 1 where it was not
    whole: FoundCluster | None = None  # that one


@dataclass(frozen=True)
class Dismissal:
    """A dismissal that stands."""

    event: ReviewEvent
    cluster: Cluster
    is_of_look: bool

    @property
    def facts(self) -> dict[str, str]:
        """Who dismissed it, and when (ISO 8601 date)."""
        return {"author": self.event.author, "on": f"{self.event.created_at:%Y-%m-%d}"}


def hold_reviewed(
    session: Session,
    parameters: ClusteringParameters,
    ids: Sequence[UUID],
    units: Unit,
    found: Sequence[FoundCluster],
) -> list[Part]:
    """The clusters found, divided where a reviewer divided them before, and waiting selections.

    What others of the population were put together or divided binds nothing.
    """
    selections, left = _hold_selections(session, parameters, ids, units, found)
    return _hold_splits(session, parameters, ids, units, left) + selections


def _hold_selections(
    session: Session,
    parameters: ClusteringParameters,
    ids: Sequence[UUID],
    units: Unit,
    found: Sequence[FoundCluster],
) -> tuple[list[Part], list[FoundCluster]]:
    """What was put together and waits, each as one cluster; and what is left of those found.

    A found cluster of which it is the half or more joins it.
    """
    place = {key: at for at, key in enumerate(ids)}
    held, left = [], list(found)
    for before in _waiting_selections(session, parameters):
        keys = session.scalars(
            select(ClusterMember.glitch_id).where(ClusterMember.cluster_id == before.id)
        )
        mine = np.array(sorted(place[key] for key in keys if key in place), dtype=np.int64)
        if not len(mine):  # all are labelled by now
            continue
        others = []
        for one in left:
            inside = np.isin(one.members, mine)
            if inside.mean() >= ALIKE:
                mine = np.union1d(mine, one.members)
            elif inside.any():
                members, sure = one.members[~inside], one.probabilities[~inside]
                others.append(describe_cluster(units, members, sure, one.stability))
            else:
                others.append(one)
        left = others
        held.append(
            Part(describe_cluster(units, mine, np.ones(len(mine)), before.stability), before)
        )
    return held, left


def _hold_splits(
    session: Session,
    parameters: ClusteringParameters,
    ids: Sequence[UUID],
    units: Unit,
    found: Sequence[FoundCluster],
) -> list[Part]:
    """The clusters found, divided where a reviewer divided them before.

    A member of none of the earlier parts joins the part whose nearest member is nearest, or, where
    that was decided, what came to it since and waits. A part that waits stays whole: of what is
    found, whatever is half or more of it.
    """
    groups = _divided(session, parameters)
    if not groups:
        return [Part(one, None) for one in found]
    latest = _latest(session, list(groups))
    place = {key: at for at, key in enumerate(ids)}
    identities = list(latest)
    number = {identity: at for at, identity in enumerate(identities)}
    waits_beside = {
        number[beside]: number[identity]
        for identity, row in latest.items()
        if row.state == "flagged" and (beside := beside_of(row.summary)) in number
    }
    parts = np.full(len(ids), -1, dtype=np.int64)
    rows = session.execute(
        select(ClusterMember.glitch_id, Cluster.identity)
        .join(Cluster, Cluster.id == ClusterMember.cluster_id)
        .where(Cluster.id.in_([row.id for row in latest.values()]))
    )
    for glitch_id, identity in rows:
        if glitch_id in place:
            parts[place[glitch_id]] = number[identity]
    is_waiting = np.array([latest[identity].state == "flagged" for identity in identities])
    held: list[Part] = []
    whole, sure = parts.copy(), np.zeros(len(ids))
    for one in found:
        labels = _labels_of(parts[one.members], [groups[identity] for identity in identities])
        pieces = np.unique(labels[labels >= 0])
        if len(pieces) < 2:
            piece = _most_of(parts[one.members])
            if piece >= 0 and is_waiting[piece]:
                whole[one.members], sure[one.members] = piece, one.probabilities
            else:
                held.append(Part(one, None))
            continue
        near = _nearest_part(units[one.members], labels)
        for piece, waiting in waits_beside.items():
            before = latest[identities[piece]]
            if waiting in pieces and before.state != "flagged":
                came = (labels < 0) & (near == piece)
                near[came & unjudged(session, before, ids, one.members)] = waiting
        for piece in pieces:
            chosen = near == piece
            cluster = describe_cluster(
                units, one.members[chosen], one.probabilities[chosen], one.stability
            )
            held.append(Part(cluster, latest[identities[piece]], len(pieces), one))
    clustered = np.zeros(len(ids), dtype=np.bool_)
    for part in held:
        clustered[part.cluster.members] = True
    for piece in np.intersect1d(np.flatnonzero(is_waiting), whole[~clustered]):
        left = np.flatnonzero((whole == piece) & ~clustered)
        _hold(held, latest[identities[piece]], left, sure, units)
    return held


def waiting_members(session: Session, parameters: ClusteringParameters) -> list[UUID]:
    """The unlabelled members of clusters that reviewers made and nobody has decided about."""
    groups = _divided(session, parameters)
    waiting = [row.id for row in _latest(session, list(groups)).values() if row.state == "flagged"]
    waiting += [row.id for row in _waiting_selections(session, parameters)]
    conditions: list[ColumnElement[bool]] = [
        Glitch.class_id.is_(None),
        ClusterMember.cluster_id.in_(waiting),
    ]
    if parameters.ifo is not None:
        conditions.append(Glitch.ifo == parameters.ifo)
    return list(
        session.scalars(
            select(Glitch.id)
            .join(ClusterMember, ClusterMember.glitch_id == Glitch.id)
            .where(*conditions)
            .distinct()
        )
    )


def beside_of(summary: Mapping[str, Any]) -> UUID | None:
    """The identity of the decided cluster that one came to since and waits beside, if any."""
    beside = summary.get("beside")
    return None if beside is None else UUID(beside)


def unjudged(
    session: Session, before: Cluster, ids: Sequence[UUID], members: Int[np.ndarray, " member"]
) -> np.ndarray:
    """Which members no decision about the earlier cluster covered; booleans."""
    covered = set(
        session.scalars(
            select(ClusterMember.glitch_id)
            .join(Cluster, Cluster.id == ClusterMember.cluster_id)
            .where(Cluster.identity == before.identity)
        )
    )
    return np.array([ids[index] not in covered for index in members])


def standing_dismissals(session: Session, parameters: ClusteringParameters) -> list[Dismissal]:
    """The dismissals of this population that nobody took back, latest first."""
    identities = session.scalars(
        select(Cluster.identity)
        .join(ClusteringRun, ClusteringRun.id == Cluster.run_id)
        .where(
            Cluster.state == "dismissed", ClusteringRun.is_simulated.is_(parameters.is_simulated)
        )
        .distinct()
    ).all()
    standing = []
    for identity, cluster in _latest(session, identities).items():
        log = read_log(session, identity)
        events = [log.event(root) for root in log.done if log.event(root).kind == "dismiss"]
        if events and cluster.state == "dismissed":
            is_of_look = bool(events[-1].payload.get("asked", {}).get("is_of_look", False))
            standing.append(Dismissal(events[-1], cluster, is_of_look))
    return sorted(standing, key=lambda one: one.event.id, reverse=True)


def dismissed_among(
    session: Session, dismissals: Sequence[Dismissal], members: Sequence[UUID]
) -> list[tuple[Dismissal, int]]:
    """Which dismissals covered how many of these glitches."""
    if not dismissals:
        return []
    rows = session.execute(
        select(ClusterMember.cluster_id, func.count())
        .where(
            ClusterMember.cluster_id.in_([one.cluster.id for one in dismissals]),
            is_any_of(ClusterMember.glitch_id, members),
        )
        .group_by(ClusterMember.cluster_id)
    )
    counts: dict[UUID, int] = {row[0]: row[1] for row in rows}
    return [(one, counts[one.cluster.id]) for one in dismissals if one.cluster.id in counts]


def of_dismissed_look(
    session: Session, checkpoint_id: int, dismissals: Sequence[Dismissal], vectors: Unit
) -> Dismissal | None:
    """The dismissed look that most of these vectors (of length one) have; None if none.

    A glitch has a look if it is as near to its medoid as nine in ten of the cluster that was
    dismissed. A look is known under the checkpoint of its run alone.
    """
    for one in dismissals:
        if not one.is_of_look:
            continue
        medoid = session.scalar(
            select(Embedding.mean).where(
                Embedding.checkpoint_id == checkpoint_id,
                Embedding.glitch_id == one.cluster.medoid_id,
            )
        )
        run = session.get_one(ClusteringRun, one.cluster.run_id)
        if medoid is None or run.checkpoint_id != checkpoint_id:
            continue
        middle = np.asarray(medoid, dtype=np.float64)
        away = 1 - vectors @ (middle / max(float(np.linalg.norm(middle)), 1e-12))
        if (away <= reach_of(float(one.cluster.summary["radius"]))).mean() >= ALIKE:
            return one
    return None


def is_of_kind(parameters: ClusteringParameters) -> list[ColumnElement[bool]]:
    """Whether a run is of this kind: only like is compared with like."""
    ifo = ClusteringRun.ifo
    return [
        ClusteringRun.scope == parameters.scope,
        ClusteringRun.is_simulated.is_(parameters.is_simulated),
        ifo.is_(None) if parameters.ifo is None else ifo == parameters.ifo,
    ]


def _waiting_selections(session: Session, parameters: ClusteringParameters) -> list[Cluster]:
    """Clusters that a reviewer put together and nobody has decided about, as they are now."""
    identities = session.scalars(
        select(Cluster.identity)
        .join(ClusteringRun, ClusteringRun.id == Cluster.run_id)
        .where(Cluster.summary.has_key("by_hand"), *is_of_kind(parameters))
        .distinct()
    ).all()
    return [
        row
        for row in _latest(session, identities).values()
        if row.state == "flagged" and "by_hand" in row.summary  # none that was parted since
    ]


def _divided(session: Session, parameters: ClusteringParameters) -> dict[UUID, UUID]:
    """Identities that were held apart from others, each with the name of its family."""
    part, whole = aliased(Cluster), aliased(Cluster)
    of_splits = session.execute(
        select(whole.identity, part.identity)
        .join(part, (part.previous_id == whole.id) & (part.run_id == whole.run_id))
        .join(ClusteringRun, ClusteringRun.id == whole.run_id)
        .where(whole.state == "split", ClusteringRun.is_simulated.is_(parameters.is_simulated))
    ).all()
    came_later = session.execute(
        select(cast(Cluster.summary["beside"].astext, Uuid), Cluster.identity)
        .join(ClusteringRun, ClusteringRun.id == Cluster.run_id)
        .where(
            Cluster.summary.has_key("beside"),
            ClusteringRun.is_simulated.is_(parameters.is_simulated),
        )
        .distinct()
    ).all()
    now = _latest(session, [key for pair in came_later for key in pair])
    # Where every decision was taken back since, nothing keeps them apart.
    bound = [
        pair for pair in came_later if {now[key].state for key in pair if key in now} != {"flagged"}
    ]
    family: dict[UUID, UUID] = {}
    for one, other in [*of_splits, *bound]:
        first, second = family.get(one, one), family.get(other, other)
        family |= {key: first for key, name in family.items() if name == second}
        family |= {one: first, other: first}
    return family


def _hold(
    held: list[Part],
    waits: Cluster,
    left: Int[np.ndarray, " left"],
    sure: Float[np.ndarray, " glitch"],
    units: Unit,
) -> None:
    """Members of a cluster that waits for review stay in it, however they cluster now."""
    for at, part in enumerate(held):
        if part.continues is not None and part.continues.id == waits.id:
            members = np.sort(np.concatenate([part.cluster.members, left]))
            sure = sure.copy()
            sure[part.cluster.members] = part.cluster.probabilities
            cluster = describe_cluster(units, members, sure[members], part.cluster.stability)
            held[at] = Part(cluster, waits, part.n_parts, part.whole)
            return
    held.append(Part(describe_cluster(units, left, sure[left], waits.stability), waits, 2))


def _latest(session: Session, identities: Sequence[UUID]) -> dict[UUID, Cluster]:
    """The cluster of each identity as its latest run, or a split since, left it."""
    rows = session.scalars(
        select(Cluster)
        .where(Cluster.identity.in_(identities), Cluster.state != "split")
        .order_by(Cluster.id)
    )
    return {row.identity: row for row in rows}


def _most_of(parts: Int[np.ndarray, " member"]) -> int:
    """The part that half or more of the members are of; -1 for none."""
    [(piece, number)] = Counter(parts.tolist()).most_common(1)
    return piece if number >= ALIKE * len(parts) else -1


def _labels_of(parts: Int[np.ndarray, " member"], families: Sequence[UUID]) -> np.ndarray:
    """The part of each member, of the family that most of them belong to; -1 for the others."""
    counts = Counter(families[part] for part in parts if part >= 0)
    pieces: defaultdict[UUID, set[int]] = defaultdict(set)
    for part in parts[parts >= 0].tolist():
        pieces[families[part]].add(part)
    divided = [(n, name) for name, n in counts.items() if len(pieces[name]) > 1]
    if not divided:
        return np.full(len(parts), -1)
    chosen = pieces[max(divided, key=lambda one: one[0])[1]]
    return np.where(np.isin(parts, list(chosen)), parts, -1)


def _nearest_part(units: Unit, labels: np.ndarray) -> np.ndarray:
    known = np.nonzero(labels >= 0)[0]
    near = labels.copy()
    for start in range(0, len(units), 1000):
        rows = np.arange(start, min(start + 1000, len(units)))
        rows = rows[labels[rows] < 0]
        if len(rows):
            near[rows] = labels[known[(units[rows] @ units[known].T).argmax(axis=1)]]
    return near
