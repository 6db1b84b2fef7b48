"""The tables of clustering: runs, clusters, members, review events and suggested labels.

A run never changes what an earlier one stored. A cluster keeps its ``identity`` from run to run:
the later cluster that shares most members with an earlier one inherits it. Review events record
every action on a cluster; suggested labels wait until a reviewer accepts them.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import CheckConstraint, ForeignKey, Index, Integer, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.classes.tables import GlitchClass
from app.clusters.findings import doubt_of, sentences, trust_sentence
from app.core.database import Base, one_of, uuid7
from app.core.events import EventRow
from app.glitches.tables import Glitch, GlitchKey
from app.jobs.tables import Job
from app.models.tables import Checkpoint
from glitch.novelty.false_discovery import MAY_BE_CHANCE

CLUSTER_STATES = ("flagged", "promoted", "merged", "dismissed", "split")
SCOPES = ("novel", "everything")


class ClusteringRun(Base):
    """One clustering of the catalogue under one checkpoint."""

    __tablename__ = "clustering_run"
    __table_args__ = (
        CheckConstraint(one_of("scope", SCOPES), name="scope"),
        CheckConstraint("fdr > 0 AND fdr < 1", name="fdr"),
        CheckConstraint("min_cluster_size >= 2", name="min_cluster_size"),
        Index("ix_clustering_run_created_at_id", "created_at", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    job_id: Mapped[UUID | None] = mapped_column(ForeignKey(Job.id, ondelete="SET NULL"), index=True)
    checkpoint_id: Mapped[int] = mapped_column(ForeignKey(Checkpoint.id))
    previous_run_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("clustering_run.id", ondelete="SET NULL")
    )
    scope: Mapped[str]  # what was clustered: novel glitches, or everything
    ifo: Mapped[str | None]  # only glitches of this detector; all if null
    is_simulated: Mapped[bool]  # simulated and real glitches are never clustered together
    fdr: Mapped[float]  # nominal false-discovery rate
    min_cluster_size: Mapped[int]
    p_threshold: Mapped[float | None]  # the largest p-value that was flagged
    n_judged: Mapped[int]  # glitches that were tested for novelty
    n_unjudged: Mapped[int]  # glitches that could not be tested
    n_flagged: Mapped[int]  # novel at that false-discovery rate
    n_clustered: Mapped[int]  # input of the clustering
    n_noise: Mapped[int]  # clustered glitches that are in no cluster
    n_clusters: Mapped[int]
    # What was found, and what was left out and why (``app.clusters.findings``).
    findings: Mapped[list[Any]] = mapped_column(JSONB, server_default=text("'[]'"))
    author: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    @property
    def detail(self) -> str:
        """The findings, in sentences."""
        return " ".join(sentences(self.findings))


class Cluster(Base):
    """Similar glitches that one run found. ``summary`` is for reading, not for queries."""

    __tablename__ = "cluster"
    __table_args__ = (
        CheckConstraint(one_of("state", CLUSTER_STATES), name="state"),
        CheckConstraint("size >= 1", name="size"),
        CheckConstraint("stability BETWEEN 0 AND 1", name="stability"),
        CheckConstraint("significance BETWEEN 0 AND 1", name="significance"),
        Index("ix_cluster_run_id_id", "run_id", "id"),
        Index("ix_cluster_identity_id", "identity", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    run_id: Mapped[UUID] = mapped_column(ForeignKey("clustering_run.id", ondelete="CASCADE"))
    identity: Mapped[UUID]  # the same for the same cluster in every run
    previous_id: Mapped[UUID | None] = mapped_column(ForeignKey("cluster.id", ondelete="SET NULL"))
    overlap: Mapped[float | None]  # Jaccard index with the previous cluster; 1 means equal
    size: Mapped[int] = mapped_column(Integer)
    stability: Mapped[float]  # in [0, 1]; higher is more stable
    significance: Mapped[float | None]  # chance that known glitches alone give as many
    medoid_id: Mapped[UUID | None] = mapped_column(
        ForeignKey(Glitch.id, ondelete="SET NULL"), index=True
    )
    state: Mapped[str] = mapped_column(server_default=text("'flagged'"))
    summary: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    run: Mapped[ClusteringRun] = relationship(viewonly=True)

    @property
    def doubt(self) -> str | None:
        """Why the false-discovery rate of its run may not hold; None if nothing speaks against."""
        return doubt_of(self.run.findings)

    @property
    def fdr(self) -> float | None:
        """False-discovery rate at which its members were flagged; None if they were not tested."""
        return None if self.significance is None else self.run.fdr

    @property
    def trust(self) -> str | None:
        """How alike its members really are, in a sentence."""
        return trust_sentence(self.size, self.summary.get("trust", {})) or None

    @property
    def may_be_chance(self) -> bool:
        """Whether known glitches alone would sometimes give as many."""
        return self.significance is not None and self.significance > MAY_BE_CHANCE


class ClusterMember(Base):
    """A glitch in a cluster."""

    __tablename__ = "cluster_member"
    __table_args__ = (CheckConstraint("probability BETWEEN 0 AND 1", name="probability"),)

    cluster_id: Mapped[UUID] = mapped_column(
        ForeignKey("cluster.id", ondelete="CASCADE"), primary_key=True
    )
    glitch_id: Mapped[GlitchKey] = mapped_column(index=True)
    probability: Mapped[float]  # of membership, 0 to 1
    distance: Mapped[float]  # to the medoid: chord between directions, 0 to 2
    is_exemplar: Mapped[bool]
    # For members that the test flagged: the class of their nearest known glitches.
    predicted_id: Mapped[int | None]


EVENT_KINDS = ("promote", "merge", "split", "dismiss", "assign", "comment", "accept", "undo")


class ReviewEvent(EventRow, Base):
    """An action on a cluster.

    ``cluster_id`` is not a foreign key: a run may be deleted, but its history stays.
    """

    __tablename__ = "review_event"
    __table_args__ = (
        sa.CheckConstraint(one_of("kind", EVENT_KINDS), name="kind"),
        sa.CheckConstraint("(kind = 'undo') = (undoes_event_id IS NOT NULL)", name="undo"),
        sa.Index("ix_review_event_identity_id", "identity", "id"),
    )

    identity: Mapped[UUID]  # of the cluster, the same in every run
    cluster_id: Mapped[UUID]  # the cluster in the latest run at that time


class LabelSuggestion(Base):
    """A class that the review of a cluster suggests for a member, until somebody accepts it.

    It is not a label: the glitch does not become a reference, and filters by class do not find it.
    Rows are deleted when they are used; the review events keep the history.
    """

    __tablename__ = "label_suggestion"
    identity: Mapped[UUID] = mapped_column(primary_key=True)
    glitch_id: Mapped[GlitchKey] = mapped_column(index=True)
    class_id: Mapped[int] = mapped_column(sa.ForeignKey(GlitchClass.id), index=True)
    event_id: Mapped[int] = mapped_column(sa.ForeignKey("review_event.id"), index=True)
