"""Where an act of a review takes place, and what every act may ask of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from app.clusters.review.log import MOST_MEMBERS, Log, replay
from app.clusters.tables import Cluster, ClusterMember, ReviewEvent
from app.core.access import Principal
from app.core.database import is_any_of
from app.core.errors import ConflictError, InvalidRequestError

Memory = dict[str, Any]


@dataclass(frozen=True)
class Scene:
    """Where an act takes place."""

    session: Session
    cluster: Cluster  # the latest of its identity, locked
    author: Principal
    event_id: int  # of the act itself, also while it is undone or redone


def require_flagged(scene: Scene) -> None:
    """Refuse what can be done to a cluster once only.

    Raises:
        ConflictError: if the cluster was reviewed; says what to do.
    """
    state = scene.cluster.state
    if state != "flagged":
        raise ConflictError(f"This cluster is {state} already: undo that first.")


def set_state(scene: Scene, state: str) -> None:
    """Of the cluster in every run that found it; parts of a split keep theirs."""
    scene.session.execute(
        update(Cluster)
        .where(Cluster.identity == scene.cluster.identity, Cluster.state != "split")
        .values(state=state)
        .execution_options(synchronize_session=False)
    )
    scene.session.refresh(scene.cluster)


def members_named(session: Session, cluster: Cluster, member_ids: Sequence[UUID]) -> list[UUID]:
    """These members without repetition, in the order of their ids.

    Raises:
        InvalidRequestError: none, too many, or some that are no members.
    """
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


def read_log(session: Session, identity: UUID) -> Log:
    """The log of the clusters of this identity."""
    rows = session.scalars(
        select(ReviewEvent).where(ReviewEvent.identity == identity).order_by(ReviewEvent.id)
    )
    return replay(rows.all())
