"""The current cluster of an identity: the newest, from its latest run or a split made since."""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import ColumnElement, Select, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session

from app.clusters.records import ClusteringParameters
from app.clusters.tables import Cluster, ClusteringRun
from app.core.database import is_any_of

Kind = ClusteringParameters | ClusteringRun  # what is clustered: scope, origin and detector


def is_of_kind(kind: Kind) -> list[ColumnElement[bool]]:
    """Return the conditions that a run has the same scope, origin and detector."""
    return [
        ClusteringRun.scope == kind.scope,
        ClusteringRun.is_simulated.is_(kind.is_simulated),
        ClusteringRun.ifo.is_not_distinct_from(kind.ifo),
    ]


def current_clusters(*conditions: ColumnElement[bool]) -> Select[Cluster]:
    """Select the newest cluster of each identity among those that meet the conditions.

    Conditions may also be about the cluster's run.
    """
    return (
        select(Cluster)
        .join(ClusteringRun, ClusteringRun.id == Cluster.run_id)
        .where(Cluster.state != "split", *conditions)
        .ext(distinct_on(Cluster.identity))
        .order_by(Cluster.identity, Cluster.id.desc())
    )


def current_cluster(session: Session, identity: UUID) -> Cluster:
    """Return the current cluster of this identity.

    Parts that were split off have other identities.
    """
    return session.scalars(current_clusters(Cluster.identity == identity)).one()


def current_by_identity(
    session: Session, identities: Collection[UUID], *conditions: ColumnElement[bool]
) -> dict[UUID, Cluster]:
    """Return the current cluster of each identity that has one under the conditions."""
    rows = session.scalars(current_clusters(is_any_of(Cluster.identity, identities), *conditions))
    return {row.identity: row for row in rows}
