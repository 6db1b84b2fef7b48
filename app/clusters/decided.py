"""Decisions of reviewers on earlier clusters that the next run keeps.

- Glitches that a reviewer split into different clusters are never joined again.
- Glitches that join a cluster after it was named, merged or dismissed have not been reviewed.
  They wait as one separate cluster as long as that decision, or one about them, is in force.
  Members of a named cluster whose labels were revoked wait with them.
- A cluster made by hand waits until somebody decides about it.
- A dismissed look stays dismissed. So do dismissed glitches if a run of another detector or scope
  finds them as a cluster without other members.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import numpy as np
from jaxtyping import Float, Int
from sqlalchemy import ColumnElement, Uuid, cast, exists, func, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session, aliased

from app.clusters.identities import Kind, current_by_identity, is_of_kind
from app.clusters.occurrences import reach_of
from app.clusters.review.context import named_for, read_logs
from app.clusters.review.log import ReviewEvent
from app.clusters.tables import Cluster, ClusteringRun, ClusterMember, LabelSuggestion
from app.core.database import is_any_of
from app.glitches.tables import Embedding, Glitch
from glitch.clustering import FoundCluster, Unit, describe_cluster, unit_vectors

_MAX_LOOK_MEMBERS, _LOOK_QUANTILE = 2_000, 0.9  # members read, quantile of their distances
DECIDING = {"promoted": "promote", "merged": "merge", "dismissed": "dismiss"}  # state to action
ALIKE = 0.5  # share of members that must match a look or an earlier cluster


@dataclass(frozen=True, eq=False)
class Part:
    """A cluster of this run, and the earlier cluster that it continues, if any."""

    cluster: FoundCluster
    before: Cluster | None = None
    n_parts: int = 1  # into which the found cluster was divided; 1 if it was not
    whole: FoundCluster | None = None  # the found cluster before it was divided
    overlap: float | None = None  # Jaccard index with the earlier cluster; None if not compared

    @property
    def is_decided(self) -> bool:
        """Whether a decision about the earlier cluster is in force."""
        return self.before is not None and self.before.state in DECIDING


@dataclass(frozen=True)
class Decision:
    """A naming, merging or dismissal that is in force."""

    event: ReviewEvent
    cluster: Cluster  # in its latest run
    reviewed: UUID  # the cluster that was reviewed; members that joined later were not
    label: str | None  # the current name of the class that it was named or merged into
    is_of_look: bool

    @property
    def is_dismissal(self) -> bool:
        return self.cluster.state == "dismissed"

    @property
    def facts(self) -> dict[str, str]:
        """Author and ISO 8601 date of the decision."""
        return {"author": self.event.author, "on": f"{self.event.created_at:%Y-%m-%d}"}


def hold_reviewed(
    session: Session, kind: Kind, ids: Sequence[UUID], units: Unit, found: Sequence[FoundCluster]
) -> list[Part]:
    """Divide the clusters found where reviewers split them, and add waiting clusters made by hand.

    Splits and selections of glitches of the other origin (simulated or measured) have no effect.
    """
    selections, remaining = _hold_selections(session, kind, ids, units, found)
    return _hold_splits(session, kind, ids, units, remaining) + selections


def _hold_selections(
    session: Session, kind: Kind, ids: Sequence[UUID], units: Unit, clusters: Sequence[FoundCluster]
) -> tuple[list[Part], list[FoundCluster]]:
    """Return each waiting cluster made by hand as a part, and the clusters found without them.

    A found cluster joins the selection if half or more of its members belong to it.
    """
    index = {key: number for number, key in enumerate(ids)}
    selections, remaining = [], list(clusters)
    for before in _waiting_selections(session, kind):
        keys = session.scalars(
            select(ClusterMember.glitch_id).where(ClusterMember.cluster_id == before.id)
        )
        chosen = np.array(sorted(index[key] for key in keys if key in index), dtype=np.int64)
        if not len(chosen):  # all are labelled now
            continue
        outside = []
        for cluster in remaining:
            inside = np.isin(cluster.members, chosen)
            if inside.mean() >= ALIKE:
                chosen = np.union1d(chosen, cluster.members)
            elif inside.any():
                members, probabilities = cluster.members[~inside], cluster.probabilities[~inside]
                outside.append(describe_cluster(units, members, probabilities, cluster.stability))
            else:
                outside.append(cluster)
        remaining = outside
        selections.append(
            Part(describe_cluster(units, chosen, np.ones(len(chosen)), before.stability), before)
        )
    return selections, remaining


def _hold_splits(
    session: Session, kind: Kind, ids: Sequence[UUID], units: Unit, clusters: Sequence[FoundCluster]
) -> list[Part]:
    """Divide the clusters found where a reviewer split them before.

    A member of none of the earlier parts joins the part with the nearest member. If that part was
    decided about, the member joins the flagged cluster that waits beside it instead. A flagged
    part stays whole: a found cluster joins it if half or more of its members belong to it. A run
    of another detector or scope keeps the parts separate but continues none of them, because it
    may see only a few of their members.
    """
    groups = _divided(session, kind)
    if not groups:
        return [Part(cluster) for cluster in clusters]
    latest = current_by_identity(session, groups)
    continuable = current_by_identity(session, groups, *is_of_kind(kind))
    index = {key: at for at, key in enumerate(ids)}
    identities = list(latest)
    number = {identity: at for at, identity in enumerate(identities)}
    waits_beside = {
        number[decided_identity]: number[identity]
        for identity, row in latest.items()
        if row.state == "flagged" and (decided_identity := identity_in(row.summary)) in number
    }
    parts = np.full(len(ids), -1, dtype=np.int64)
    rows = session.execute(
        select(ClusterMember.glitch_id, Cluster.identity)
        .join(Cluster, Cluster.id == ClusterMember.cluster_id)
        .where(Cluster.id.in_([row.id for row in latest.values()]))
    )
    for glitch_id, identity in rows:
        if glitch_id in index:
            parts[index[glitch_id]] = number[identity]
    is_waiting = np.array([latest[identity].state == "flagged" for identity in identities])
    kept: list[Part] = []
    owners = np.where((parts >= 0) & is_waiting[parts], parts, -1)  # part of each glitch, or -1
    sure, wholes = np.zeros(len(ids)), dict[int, tuple[FoundCluster, int]]()
    for cluster in clusters:
        labels = _labels_of(parts[cluster.members], [groups[identity] for identity in identities])
        split_parts = np.unique(labels[labels >= 0])
        if len(split_parts) < 2:
            [(part, n)] = Counter(parts[cluster.members].tolist()).most_common(1)
            if n >= ALIKE * len(cluster.members) and part >= 0 and is_waiting[part]:
                owners[cluster.members], sure[cluster.members] = part, cluster.probabilities
            else:
                owners[cluster.members] = -1
                kept.append(Part(cluster))
            continue
        nearest = _nearest_part(units[cluster.members], labels)
        for part, waiting in waits_beside.items():
            before = latest[identities[part]]
            if waiting in split_parts and before.state != "flagged":
                is_unassigned = (labels < 0) & (nearest == part)
                nearest[is_unassigned & unjudged(session, before, ids, cluster.members)] = waiting
        owners[cluster.members], sure[cluster.members] = nearest, cluster.probabilities
        wholes |= {int(part): (cluster, len(split_parts)) for part in split_parts}
    for part in np.unique(owners[owners >= 0]).tolist():
        members = np.flatnonzero(owners == part)
        whole, n_parts = wholes.get(part, (None, 2))
        stability = latest[identities[part]].stability if whole is None else whole.stability
        described = describe_cluster(units, members, sure[members], stability)
        kept.append(Part(described, continuable.get(identities[part]), n_parts, whole))
    return kept


def unlabelled_again(session: Session, decisions: Sequence[Decision]) -> dict[UUID, Decision]:
    """Find members of named clusters that have no label and no suggested label any more.

    Maps each to the latest decision about it. Members to which a dismissal applies are left out.
    """
    named = {one.reviewed: one for one in decisions if not one.is_dismissal}
    dismissed = select(ClusterMember.glitch_id).where(
        is_any_of(ClusterMember.cluster_id, [one.reviewed for one in decisions if one.is_dismissal])
    )
    rows = session.execute(
        select(ClusterMember.glitch_id, ClusterMember.cluster_id)
        .join(Glitch, Glitch.id == ClusterMember.glitch_id)
        .where(
            is_any_of(ClusterMember.cluster_id, named),
            Glitch.class_id.is_(None),
            ~exists().where(LabelSuggestion.glitch_id == ClusterMember.glitch_id),
            ClusterMember.glitch_id.not_in(dismissed),
        )
        .order_by(ClusterMember.glitch_id)
    )
    latest: dict[UUID, Decision] = {}
    for glitch_id, cluster_id in rows:
        one = named[cluster_id]
        if glitch_id not in latest or one.event.id > latest[glitch_id].event.id:
            latest[glitch_id] = one
    return latest


def count_unlabelled_again(session: Session, cluster_id: UUID) -> int:
    """Count the members of a cluster (in its latest run) that ``unlabelled_again`` finds."""
    cluster = session.get_one(Cluster, cluster_id)
    decision = decision_about(session, cluster)
    if decision is None or not unlabelled_again(session, [decision]):
        return 0
    decisions = active_decisions(session, is_simulated=cluster.run.is_simulated)
    revoked = unlabelled_again(session, decisions)
    return sum(one.cluster.id == cluster_id for one in revoked.values())


def waiting_members(session: Session, kind: Kind) -> list[UUID]:
    """Return the unlabelled glitches that wait for a reviewer, whether a test flags them or not.

    These are the members of flagged clusters that reviewers made by hand or by a split, and
    members whose labels were revoked. Glitches that wait in a run of another detector or scope
    are left out.
    """
    parts = current_by_identity(session, _divided(session, kind), *is_of_kind(kind)).values()
    waiting = [row.id for row in parts if row.state == "flagged"]
    waiting += [row.id for row in _waiting_selections(session, kind)]
    members = select(ClusterMember.glitch_id).where(ClusterMember.cluster_id.in_(waiting))
    decisions = active_decisions(session, is_simulated=kind.is_simulated)
    revoked = unlabelled_again(session, decisions).keys() - waiting_elsewhere(session, kind)
    conditions: list[ColumnElement[bool]] = [
        Glitch.class_id.is_(None),
        Glitch.id.in_(members) | is_any_of(Glitch.id, revoked),
    ]
    if kind.ifo is not None:
        conditions.append(Glitch.ifo == kind.ifo)
    return list(session.scalars(select(Glitch.id).where(*conditions)))


def waiting_elsewhere(session: Session, kind: Kind) -> set[UUID]:
    """Return the members of flagged clusters in the latest runs of other detectors or scopes."""
    run, other = ClusteringRun, aliased(ClusteringRun)
    latest = (
        select(run.id)
        .where(run.is_simulated.is_(kind.is_simulated), run.scope == "novel")
        .ext(distinct_on(run.ifo))
        .order_by(run.ifo, run.created_at.desc(), run.id.desc())
    )
    is_other = other.ifo.is_distinct_from(kind.ifo) | (other.scope != kind.scope)
    return set(
        session.scalars(
            select(ClusterMember.glitch_id)
            .join(Cluster, Cluster.id == ClusterMember.cluster_id)
            .join(other, other.id == Cluster.run_id)
            .where(Cluster.state == "flagged", other.id.in_(latest), is_other)
        )
    )


def identity_in(summary: Mapping[str, Any]) -> UUID | None:
    """Return the identity of the decided cluster whose later members wait in this one, if any."""
    decided_identity = summary.get("beside")
    return None if decided_identity is None else UUID(decided_identity)


def unjudged(
    session: Session, before: Cluster, ids: Sequence[UUID], members: Int[np.ndarray, " member"]
) -> np.ndarray:
    """Return for each member whether the decision about the earlier cluster does not cover it.

    The decision covers the cluster as it was then, however many runs ago. So members that join a
    few at a time finally become enough to wait as a cluster.
    """
    decision = decision_about(session, before)
    decided = before.id if decision is None else decision.reviewed
    covered = set(
        session.scalars(select(ClusterMember.glitch_id).where(ClusterMember.cluster_id == decided))
    )
    return np.array([ids[index] not in covered for index in members])


def active_decisions(session: Session, *, is_simulated: bool) -> list[Decision]:
    """Return the decisions in force for glitches of this origin, latest first."""
    identities = session.scalars(
        select(Cluster.identity)
        .join(ClusteringRun, ClusteringRun.id == Cluster.run_id)
        .where(Cluster.state.in_(DECIDING), ClusteringRun.is_simulated.is_(is_simulated))
        .distinct()
    ).all()
    current = current_by_identity(session, identities)
    return sorted(
        decisions_about(session, current.values()), key=lambda one: one.event.id, reverse=True
    )


def decisions_about(session: Session, clusters: Collection[Cluster]) -> list[Decision]:
    """Return the decisions in force about clusters (in their latest runs)."""
    logs = read_logs(session, [cluster.identity for cluster in clusters])
    labels = named_for(session, logs.values())
    decisions: list[Decision] = []
    for cluster, log, label in zip(clusters, logs.values(), labels, strict=True):
        act = DECIDING.get(cluster.state)
        events = [log.event(root) for root in log.done if log.event(root).kind == act]
        if events:
            is_of_look = bool(events[-1].payload.get("asked", {}).get("is_of_look", False))
            reviewed = log.last_execution_of(events[-1]).cluster_id
            decisions.append(Decision(events[-1], cluster, reviewed, label, is_of_look))
    return decisions


def decision_about(session: Session, cluster: Cluster) -> Decision | None:
    """Return the decision in force about a cluster (in its latest run), if any."""
    return next(iter(decisions_about(session, [cluster])), None)


def decided_among(
    session: Session, decisions: Sequence[Decision], members: Sequence[UUID]
) -> list[tuple[Decision, int]]:
    """Count the glitches that each decision covers; decisions that cover none are left out."""
    if not decisions:
        return []
    rows = session.execute(
        select(ClusterMember.cluster_id, func.count())
        .where(
            ClusterMember.cluster_id.in_([one.reviewed for one in decisions]),
            is_any_of(ClusterMember.glitch_id, members),
        )
        .group_by(ClusterMember.cluster_id)
    )
    counts = dict(rows.all())
    return [(one, counts[one.reviewed]) for one in decisions if one.reviewed in counts]


def like_dismissed(
    session: Session, checkpoint_id: int, decisions: Sequence[Decision], vectors: Unit
) -> Decision | None:
    """Return the dismissed look that half or more of these unit vectors have, if any.

    A glitch has the look of a cluster if it is as near to the cluster's medoid as nine in ten of
    its members.
    """
    for one in decisions:
        if not (one.is_dismissal and one.is_of_look):
            continue
        look = _look_of(session, checkpoint_id, one.cluster)
        if look is not None and (1 - vectors @ look[0] <= look[1]).mean() >= ALIKE:
            return one
    return None


def _look_of(
    session: Session, checkpoint_id: int, cluster: Cluster
) -> tuple[Float[np.ndarray, " latent"], float] | None:
    """Return a cluster's middle, a unit vector, and the cosine distance within which its look lies.

    Under the checkpoint of the cluster's run these are the medoid and the stored radius. Under
    another checkpoint the distance is computed from the members' vectors, and if the medoid was
    deleted, so is the middle. None if no member is embedded.
    """
    members = (
        select(Embedding.mean)
        .join(ClusterMember, ClusterMember.glitch_id == Embedding.glitch_id)
        .where(ClusterMember.cluster_id == cluster.id, Embedding.checkpoint_id == checkpoint_id)
    )
    middle = session.scalar(members.where(Embedding.glitch_id == cluster.medoid_id))
    run = session.get_one(ClusteringRun, cluster.run_id)
    if middle is not None and run.checkpoint_id == checkpoint_id:
        units = unit_vectors(np.asarray(middle, dtype=np.float32)[None])
        return units[0], reach_of(float(cluster.summary["radius"]))
    means = session.scalars(members.order_by(Embedding.glitch_id).limit(_MAX_LOOK_MEMBERS)).all()
    if not means:
        return None
    units = unit_vectors(np.array(means, dtype=np.float32))
    if middle is None:
        middle = units[(units @ units.mean(axis=0)).argmax()]
    unit = unit_vectors(np.asarray(middle, dtype=np.float32)[None])[0]
    return unit, float(np.quantile(1 - units @ unit, _LOOK_QUANTILE)) + 1e-6


def _waiting_selections(session: Session, kind: Kind) -> list[Cluster]:
    """Return the current clusters that a reviewer made by hand and nobody has decided about."""
    identities = session.scalars(
        select(Cluster.identity)
        .join(ClusteringRun, ClusteringRun.id == Cluster.run_id)
        .where(Cluster.summary.has_key("by_hand"), *is_of_kind(kind))
        .distinct()
    ).all()
    return [
        row
        for row in current_by_identity(session, identities).values()
        if row.state == "flagged" and "by_hand" in row.summary  # not split since
    ]


def _divided(session: Session, kind: Kind) -> dict[UUID, UUID]:
    """Map identities that are kept apart to their family, named by the identity of one of them."""
    part, whole = aliased(Cluster), aliased(Cluster)
    split_pairs = session.execute(
        select(whole.identity, part.identity)
        .join(part, (part.previous_id == whole.id) & (part.run_id == whole.run_id))
        .join(ClusteringRun, ClusteringRun.id == whole.run_id)
        .where(whole.state == "split", ClusteringRun.is_simulated.is_(kind.is_simulated))
    ).all()
    late_pairs = session.execute(
        select(cast(Cluster.summary["beside"].astext, Uuid), Cluster.identity)
        .join(ClusteringRun, ClusteringRun.id == Cluster.run_id)
        .where(Cluster.summary.has_key("beside"), ClusteringRun.is_simulated.is_(kind.is_simulated))
        .distinct()
    ).all()
    now = current_by_identity(session, {key for pair in late_pairs for key in pair})
    # If every decision was undone, nothing keeps them apart.
    separate = [
        pair for pair in late_pairs if {now[key].state for key in pair if key in now} != {"flagged"}
    ]
    family: dict[UUID, UUID] = {}
    for one, other in [*split_pairs, *separate]:
        first, second = family.get(one, one), family.get(other, other)
        family |= {key: first for key, name in family.items() if name == second}
        family |= {one: first, other: first}
    return family


def _labels_of(parts: Int[np.ndarray, " member"], families: Sequence[UUID]) -> np.ndarray:
    """Return the part of each member if it is of the divided family with most members, else -1."""
    counts = Counter(families[part] for part in parts if part >= 0)
    parts_of_family: defaultdict[UUID, set[int]] = defaultdict(set)
    for part in parts[parts >= 0].tolist():
        parts_of_family[families[part]].add(part)
    divided = [(n, name) for name, n in counts.items() if len(parts_of_family[name]) > 1]
    if not divided:
        return np.full(len(parts), -1)
    chosen = parts_of_family[max(divided, key=lambda one: one[0])[1]]
    return np.where(np.isin(parts, list(chosen)), parts, -1)


def _nearest_part(units: Unit, labels: np.ndarray) -> np.ndarray:
    assigned = np.nonzero(labels >= 0)[0]
    nearest = labels.copy()
    for start in range(0, len(units), 1000):
        rows = np.arange(start, min(start + 1000, len(units)))
        rows = rows[labels[rows] < 0]
        if len(rows):
            nearest[rows] = labels[assigned[(units[rows] @ units[assigned].T).argmax(axis=1)]]
    return nearest
