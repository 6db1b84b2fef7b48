"""What a clustering found that the one before it had not, and what it found no more."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import exists, func, select
from sqlalchemy.orm import Session, aliased

from app.clusters.records import Run
from app.clusters.service import change_condition
from app.clusters.tables import Cluster, ClusteringRun, ClusterMember
from app.glitches.tables import Glitch

CHANGES = ("new", "grown", "shrunk", "same")


@dataclass(frozen=True)
class Changes:
    """How many clusters of a run are new since the one before, and so on."""

    previous_made: datetime
    new: int
    grown: int
    shrunk: int
    same: int
    # What became of the clusters of the run before that this one did not find again.
    labelled: int  # all their members carry labels now
    decided: int  # named, merged or dismissed, and not found again
    lost: int  # nobody decided anything about them, and they are no cluster any more


def changes_since(session: Session, run: Run) -> Changes | None:
    """The run against the one before it; None where it is the first of its kind.

    Parts of a split count by themselves, the split whole does not.
    """
    previous = (
        None if run.previous_run_id is None else session.get(ClusteringRun, run.previous_run_id)
    )
    if previous is None:
        return None
    counts = session.execute(
        select(*(func.count().filter(change_condition(name)) for name in CHANGES)).where(
            Cluster.run_id == run.id, Cluster.state != "split"
        )
    ).one()
    later, member = aliased(Cluster), aliased(ClusterMember)
    has_unlabelled = (
        exists()
        .where(member.cluster_id == Cluster.id, Glitch.id == member.glitch_id)
        .where(Glitch.class_id.is_(None))
        .correlate(Cluster)
    )
    labelled, decided, lost = session.execute(
        select(
            func.count().filter(~has_unlabelled),
            func.count().filter(has_unlabelled, Cluster.state != "flagged"),
            func.count().filter(has_unlabelled, Cluster.state == "flagged"),
        ).where(
            Cluster.run_id == previous.id,
            Cluster.state != "split",
            ~exists().where(later.run_id == run.id, later.identity == Cluster.identity),
        )
    ).one()
    new, grown, shrunk, same = (int(number) for number in counts)
    return Changes(
        previous.created_at, new, grown, shrunk, same, int(labelled), int(decided), int(lost)
    )
