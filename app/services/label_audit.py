"""Which labels deserve a second look: impure clusters, and glitches unlike their own label."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session, aliased

from app.services import checkpoints
from app.services.clusters.records import ClusterRecord
from app.services.clusters.service import get_cluster, latest_run
from app.services.errors import InvalidRequestError
from app.services.records import GlitchRecord
from app.services.selection import select_glitches, to_record
from app.store.cluster_models import Cluster, ClusterMember
from app.store.models import Embedding, Glitch, GlitchClass

VOTERS = 5
LARGEST_PAGE = 200
MOST_AUDITED = 2000  # latest labelled glitches looked at: each costs a scan of its detector's


@dataclass(frozen=True)
class AuditedCluster:
    """A cluster whose labelled members do not agree."""

    cluster: ClusterRecord
    label: str  # the commonest among its labelled members
    n_labelled: int
    purity: float  # share of the labelled that carry that label
    score: float  # (1 - purity) x labelled members; higher deserves a look sooner


@dataclass(frozen=True)
class AuditedGlitch:
    """A glitch whose nearest labelled neighbours say otherwise."""

    glitch: GlitchRecord
    suggestion: str  # the commonest label among the neighbours
    n_agreeing: int  # neighbours with the glitch's own label
    n_suggesting: int
    n_neighbours: int


@dataclass(frozen=True)
class LabelAudit:
    """Both lists, the most doubtful first."""

    clusters: tuple[AuditedCluster, ...]
    glitches: tuple[AuditedGlitch, ...]
    n_audited: int  # labelled glitches that were looked at


def audit_labels(session: Session, *, run_id: UUID | None = None, limit: int = 50) -> LabelAudit:
    """What to look at first.

    Clusters are those of a run (default: the latest one): a clustering of everything holds the
    labelled ones. A glitch is listed where at least ``VOTERS`` labelled glitches of its detector
    and kind exist, and more of the nearest carry one other label than carry its own.

    Raises:
        InvalidRequestError: if the limit means nothing.
        NotReadyError: if no checkpoint is active.
    """
    if not 1 <= limit <= LARGEST_PAGE:
        raise InvalidRequestError(f"limit must be from 1 to {LARGEST_PAGE}.")
    checkpoint = checkpoints.active_checkpoint(session)
    doubtful, n_audited = _glitches(session, checkpoint.id)
    return LabelAudit(_clusters(session, run_id)[:limit], doubtful[:limit], n_audited)


def _clusters(session: Session, run_id: UUID | None) -> tuple[AuditedCluster, ...]:
    if run_id is None:
        latest = latest_run(session)
        if latest is None:
            return ()
        run_id = latest.id
    rows = session.execute(
        select(Cluster.id, GlitchClass.name, func.count())
        .join(ClusterMember, ClusterMember.cluster_id == Cluster.id)
        .join(Glitch, Glitch.id == ClusterMember.glitch_id)
        .join(GlitchClass, GlitchClass.id == Glitch.class_id)
        .where(Cluster.run_id == run_id)
        .group_by(Cluster.id, GlitchClass.name)
        .order_by(Cluster.id, func.count().desc(), GlitchClass.name)
    )
    counts: dict[UUID, dict[str, int]] = {}
    for cluster_id, name, count in rows:
        counts.setdefault(cluster_id, {})[name] = count
    audited = []
    for cluster_id, labels in counts.items():
        name, most = next(iter(labels.items()))  # commonest first, as they were asked for
        n_labelled = sum(labels.values())
        if most < n_labelled:
            audited.append(
                AuditedCluster(
                    cluster=get_cluster(session, cluster_id),
                    label=name,
                    n_labelled=n_labelled,
                    purity=most / n_labelled,
                    score=float(n_labelled - most),
                )
            )
    return tuple(sorted(audited, key=lambda one: (-one.score, one.cluster.id)))


def _glitches(session: Session, checkpoint_id: int) -> tuple[tuple[AuditedGlitch, ...], int]:
    reference, labelled = aliased(Embedding), aliased(Glitch)
    nearest = (
        select(labelled.class_id.label("class_id"))
        .select_from(reference)
        .join(labelled, labelled.id == reference.glitch_id)
        .where(
            reference.checkpoint_id == checkpoint_id,
            reference.ifo == Embedding.ifo,
            reference.is_simulated == Embedding.is_simulated,
            reference.glitch_id != Embedding.glitch_id,
            labelled.class_id.is_not(None),
        )
        .order_by(reference.mean.cosine_distance(Embedding.mean))
        .limit(VOTERS)
        .correlate(Embedding)
        .lateral()
    )
    chosen = (
        select(Embedding.glitch_id)
        .join(Glitch, Glitch.id == Embedding.glitch_id)
        .where(Embedding.checkpoint_id == checkpoint_id, Glitch.class_id.is_not(None))
        .order_by(Embedding.glitch_id.desc())
        .limit(MOST_AUDITED)
        .subquery()
    )
    votes = session.execute(
        select(Embedding.glitch_id, Glitch.class_id, nearest.c.class_id)
        .join(chosen, chosen.c.glitch_id == Embedding.glitch_id)
        .join(Glitch, Glitch.id == Embedding.glitch_id)
        .join(nearest, nearest.c.class_id.is_not(None))
        .where(Embedding.checkpoint_id == checkpoint_id)
    ).all()
    own: dict[UUID, int] = {}
    ballots: dict[UUID, Counter[int]] = {}
    for glitch_id, class_id, vote in votes:
        own[glitch_id] = class_id
        ballots.setdefault(glitch_id, Counter())[vote] += 1
    names = {row.id: row.name for row in session.execute(select(GlitchClass.id, GlitchClass.name))}
    doubtful: list[tuple[UUID, int, int, int]] = []
    for glitch_id, ballot in ballots.items():
        if ballot.total() < VOTERS:
            continue
        agreeing = ballot[own[glitch_id]]
        winner, most = min(ballot.items(), key=lambda item: (-item[1], item[0]))
        if most > agreeing:
            doubtful.append((glitch_id, winner, agreeing, most))
    doubtful.sort(key=lambda one: (one[2] - one[3], one[0]))
    shown = doubtful[:LARGEST_PAGE]
    records = {
        row[0].id: to_record(row)
        for row in session.execute(
            select_glitches().where(Glitch.id.in_([one[0] for one in shown]))
        )
    }
    return tuple(
        AuditedGlitch(records[glitch_id], names[winner], agreeing, most, VOTERS)
        for glitch_id, winner, agreeing, most in shown
    ), len(own)
