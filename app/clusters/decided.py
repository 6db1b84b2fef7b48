"""Decisions of reviewers on earlier clusters that the next run keeps.

Glitches that a reviewer split into different clusters are never joined again. Glitches added to a
cluster after it was named, merged or dismissed have not been reviewed. They wait as one separate
cluster as long as that decision, or one about them, stands. Members of a named cluster whose labels
were revoked wait with them. A selection that a reviewer made a cluster waits until somebody
decides. A dismissed look stays dismissed. So do dismissed glitches that a run of another detector
or scope finds as a cluster with no other members.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import numpy as np
from jaxtyping import Float, Int
from sqlalchemy import ColumnElement, Uuid, cast, exists, func, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session, aliased

from app.clusters.occurrences import reach_of
from app.clusters.records import ClusteringParameters
from app.clusters.review.context import named_for, read_log
from app.clusters.review.log import ReviewEvent
from app.clusters.tables import Cluster, ClusteringRun, ClusterMember, LabelSuggestion
from app.core.database import is_any_of
from app.glitches.tables import Embedding, Glitch
from glitch.clustering import FoundCluster, Unit, describe_cluster, unit_vectors

_MOST_OF_LOOK, _SHARE_OF_LOOK = 2_000, 0.9  # members whose distances say how far a look reaches
ALIKE = 0.5  # of a cluster's members must be of a look, or of an earlier cluster, to be like it


@dataclass(frozen=True, eq=False)
class Part:
    """A cluster of this run, and the earlier one that it must continue, if any is prescribed."""

    cluster: FoundCluster
    continues: Cluster | None
    n_parts: int = 1  # of the found cluster that was divided; 1 where it was not
    whole: FoundCluster | None = None  # that one


@dataclass(frozen=True)
class Decision:
    """A naming, merging or dismissal that stands."""

    event: ReviewEvent
    cluster: Cluster  # as its latest run holds it
    covers: UUID  # the cluster that it was about: what came later nobody judged
    label: str | None  # the class that it was named or merged into, as it is called now
    is_of_look: bool

    @property
    def is_dismissal(self) -> bool:
        return self.cluster.state == "dismissed"

    @property
    def facts(self) -> dict[str, str]:
        """Who decided it, and when (ISO 8601 date)."""
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
    found, whatever is half or more of it. A run of another kind keeps apart what was divided, but
    it continues none of the parts: it may see a few of their members alone.
    """
    groups = _divided(session, parameters)
    if not groups:
        return [Part(one, None) for one in found]
    latest = latest_by_identity(session, list(groups))
    ours = latest_by_identity(session, list(groups), is_of_kind(parameters))
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
    owners = np.where((parts >= 0) & is_waiting[parts], parts, -1)  # the part that each stays in
    sure, wholes = np.zeros(len(ids)), dict[int, tuple[FoundCluster, int]]()
    for one in found:
        labels = _labels_of(parts[one.members], [groups[identity] for identity in identities])
        pieces = np.unique(labels[labels >= 0])
        if len(pieces) < 2:
            [(piece, n)] = Counter(parts[one.members].tolist()).most_common(1)
            if n >= ALIKE * len(one.members) and piece >= 0 and is_waiting[piece]:
                owners[one.members], sure[one.members] = piece, one.probabilities
            else:
                owners[one.members] = -1
                held.append(Part(one, None))
            continue
        near = _nearest_part(units[one.members], labels)
        for piece, waiting in waits_beside.items():
            before = latest[identities[piece]]
            if waiting in pieces and before.state != "flagged":
                came = (labels < 0) & (near == piece)
                near[came & unjudged(session, before, ids, one.members)] = waiting
        owners[one.members], sure[one.members] = near, one.probabilities
        wholes |= {int(piece): (one, len(pieces)) for piece in pieces}
    for piece in np.unique(owners[owners >= 0]).tolist():
        members = np.flatnonzero(owners == piece)
        whole, n_parts = wholes.get(piece, (None, 2))
        stability = latest[identities[piece]].stability if whole is None else whole.stability
        cluster = describe_cluster(units, members, sure[members], stability)
        held.append(Part(cluster, ours.get(identities[piece]), n_parts, whole))
    return held


def unlabelled_again(session: Session, decisions: Sequence[Decision]) -> dict[UUID, Decision]:
    """Members of named clusters that carry no label any more, and for which none is suggested.

    Each with the latest decision about it. Nobody judges them any longer, but where a dismissal
    holds for them.
    """
    named = {one.covers: one for one in decisions if not one.is_dismissal}
    dismissed = select(ClusterMember.glitch_id).where(
        is_any_of(ClusterMember.cluster_id, [one.covers for one in decisions if one.is_dismissal])
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
    found: dict[UUID, Decision] = {}
    for glitch_id, cluster_id in rows:
        one = named[cluster_id]
        if glitch_id not in found or one.event.id > found[glitch_id].event.id:
            found[glitch_id] = one
    return found


def count_unlabelled_again(session: Session, cluster_id: UUID) -> int:
    """How many there are of one cluster, which is given as its latest run holds it."""
    cluster = session.get_one(Cluster, cluster_id)
    decision = decision_about(session, cluster)
    if decision is None or not unlabelled_again(session, [decision]):
        return 0
    of_population = ClusteringParameters(is_simulated=cluster.run.is_simulated)
    again = unlabelled_again(session, standing_decisions(session, of_population))
    return sum(one.cluster.id == cluster_id for one in again.values())


def waiting_members(session: Session, parameters: ClusteringParameters) -> list[UUID]:
    """The unlabelled glitches that wait for a reviewer, whether a test flags them or not.

    Members of clusters that reviewers made and nobody has decided about, and those whose labels
    were revoked; but what waits in a run of another kind waits there alone.
    """
    parts = latest_by_identity(
        session, list(_divided(session, parameters)), is_of_kind(parameters)
    ).values()
    waiting = [row.id for row in parts if row.state == "flagged"]
    waiting += [row.id for row in _waiting_selections(session, parameters)]
    members = select(ClusterMember.glitch_id).where(ClusterMember.cluster_id.in_(waiting))
    decisions = standing_decisions(session, parameters)
    again = unlabelled_again(session, decisions).keys() - waiting_elsewhere(session, parameters)
    conditions: list[ColumnElement[bool]] = [
        Glitch.class_id.is_(None),
        Glitch.id.in_(members) | is_any_of(Glitch.id, again),
    ]
    if parameters.ifo is not None:
        conditions.append(Glitch.ifo == parameters.ifo)
    return list(session.scalars(select(Glitch.id).where(*conditions)))


def waiting_elsewhere(session: Session, parameters: ClusteringParameters) -> set[UUID]:
    """Members of clusters that wait in the latest run of another kind."""
    run, wait = ClusteringRun, aliased(ClusteringRun)
    latest = (
        select(run.id)
        .where(run.is_simulated.is_(parameters.is_simulated), run.scope == "novel")
        .ext(distinct_on(run.ifo))
        .order_by(run.ifo, run.created_at.desc(), run.id.desc())
    )
    is_other = wait.ifo.is_distinct_from(parameters.ifo) | (wait.scope != parameters.scope)
    return set(
        session.scalars(
            select(ClusterMember.glitch_id)
            .join(Cluster, Cluster.id == ClusterMember.cluster_id)
            .join(wait, wait.id == Cluster.run_id)
            .where(Cluster.state == "flagged", wait.id.in_(latest), is_other)
        )
    )


def beside_of(summary: Mapping[str, Any]) -> UUID | None:
    """The identity of the decided cluster that one came to since and waits beside, if any."""
    beside = summary.get("beside")
    return None if beside is None else UUID(beside)


def unjudged(
    session: Session, before: Cluster, ids: Sequence[UUID], members: Int[np.ndarray, " member"]
) -> np.ndarray:
    """Which members the decision about the earlier cluster did not cover; booleans.

    However many runs ago they came: so few by few they become enough to wait as a cluster.
    """
    decision = decision_about(session, before)
    decided = before.id if decision is None else decision.covers
    covered = set(
        session.scalars(select(ClusterMember.glitch_id).where(ClusterMember.cluster_id == decided))
    )
    return np.array([ids[index] not in covered for index in members])


DECIDING = {"promoted": "promote", "merged": "merge", "dismissed": "dismiss"}  # by state, its act


def standing_decisions(session: Session, parameters: ClusteringParameters) -> list[Decision]:
    """The decisions in this population that nobody took back, latest first."""
    identities = session.scalars(
        select(Cluster.identity)
        .join(ClusteringRun, ClusteringRun.id == Cluster.run_id)
        .where(Cluster.state.in_(DECIDING), ClusteringRun.is_simulated.is_(parameters.is_simulated))
        .distinct()
    ).all()
    latest = latest_by_identity(session, identities).values()
    standing = filter(None, (decision_about(session, cluster) for cluster in latest))
    return sorted(standing, key=lambda one: one.event.id, reverse=True)


def decision_about(session: Session, cluster: Cluster) -> Decision | None:
    """What stands about a cluster, which is given as its latest run holds it."""
    log, kind = read_log(session, cluster.identity), DECIDING.get(cluster.state)
    events = [log.event(root) for root in log.done if log.event(root).kind == kind]
    if not events:
        return None
    [label] = named_for(session, [log])
    is_of_look = bool(events[-1].payload.get("asked", {}).get("is_of_look", False))
    covers = log.last_doing_of(events[-1]).cluster_id
    return Decision(events[-1], cluster, covers, label, is_of_look)


def decided_among(
    session: Session, decisions: Sequence[Decision], members: Sequence[UUID]
) -> list[tuple[Decision, int]]:
    """Which decisions covered how many of these glitches."""
    if not decisions:
        return []
    rows = session.execute(
        select(ClusterMember.cluster_id, func.count())
        .where(
            ClusterMember.cluster_id.in_([one.covers for one in decisions]),
            is_any_of(ClusterMember.glitch_id, members),
        )
        .group_by(ClusterMember.cluster_id)
    )
    counts = dict(rows.all())
    return [(one, counts[one.covers]) for one in decisions if one.covers in counts]


def of_dismissed_look(
    session: Session, checkpoint_id: int, decisions: Sequence[Decision], vectors: Unit
) -> Decision | None:
    """The dismissed look that most of these vectors (of length one) have; None if none.

    A glitch has a look if it is as near to its medoid as nine in ten of the cluster that was
    dismissed.
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
    """The middle of a cluster under a checkpoint, and up to which cosine distance its look reaches.

    Under another checkpoint than its run's the reach is that of its members there, and where the
    medoid was deleted the middle is theirs. None where none of them is embedded.
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
    means = session.scalars(members.order_by(Embedding.glitch_id).limit(_MOST_OF_LOOK)).all()
    if not means:
        return None
    units = unit_vectors(np.array(means, dtype=np.float32))
    if middle is None:
        middle = units[(units @ units.mean(axis=0)).argmax()]
    unit = unit_vectors(np.asarray(middle, dtype=np.float32)[None])[0]
    return unit, float(np.quantile(1 - units @ unit, _SHARE_OF_LOOK)) + 1e-6


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
        for row in latest_by_identity(session, identities).values()
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
    now = latest_by_identity(session, [key for pair in came_later for key in pair])
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


def latest_by_identity(
    session: Session, identities: Sequence[UUID], of: Sequence[ColumnElement[bool]] = ()
) -> dict[UUID, Cluster]:
    """The cluster of each identity as its latest run, or a split since, left it.

    ``of`` says of which runs.
    """
    rows = session.scalars(
        select(Cluster)
        .join(ClusteringRun, ClusteringRun.id == Cluster.run_id)
        .where(Cluster.identity.in_(identities), Cluster.state != "split", *of)
        .order_by(Cluster.id)
    )
    return {row.identity: row for row in rows}


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
