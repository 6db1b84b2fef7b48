"""The job of kind ``cluster``: one chunk, because one clustering is one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.services.clusters.records import ClusteringParameters
from app.services.clusters.run import run_clustering
from app.services.jobs.records import Chunk, JobRecord
from app.services.jobs.registry import ChunkPlan, ChunkResult, JobContext
from app.store.cluster_models import ClusteringRun


class ClusterHandler:
    """Clusters the catalogue as the job's parameters say."""

    def plan(
        self,
        session: Session,  # noqa: ARG002  (the protocol's)
        job: JobRecord,
        context: JobContext,  # noqa: ARG002
    ) -> Iterable[ChunkPlan]:
        """One chunk, if the parameters can be."""
        ClusteringParameters(**job.parameters).check()
        return [ChunkPlan()]

    def run_chunk(
        self,
        session: Session,
        job: JobRecord,
        chunk: Chunk,  # noqa: ARG002
        context: JobContext,
    ) -> ChunkResult:
        """Cluster, and store the run."""
        context.heartbeat()
        run_clustering(
            session, ClusteringParameters(**job.parameters), author=job.author, job_id=job.id
        )
        context.heartbeat()  # cancelled meanwhile: nothing of it is kept
        return ChunkResult()

    def finish(
        self,
        session: Session,
        job: JobRecord,
        context: JobContext,  # noqa: ARG002
    ) -> Mapping[str, Any]:
        """Which run it is, and what it found."""
        run = session.scalars(select(ClusteringRun).where(ClusteringRun.job_id == job.id)).one()
        return {
            "run": str(run.id),
            "flagged": run.n_flagged,
            "clusters": run.n_clusters,
            "detail": run.detail,
        }


HANDLER = ClusterHandler()
