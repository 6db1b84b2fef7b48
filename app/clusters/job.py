"""The job of kind ``cluster``: one clustering is one transaction, that of the job's success.

So a job that failed or was cancelled, at whatever moment, leaves no clusters behind.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy.orm import Session

from app.clusters.records import ClusteringParameters
from app.clusters.run import run_clustering
from app.jobs.records import Chunk, JobRecord
from app.jobs.registry import ChunkPlan, ChunkResult, JobContext


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
        session: Session,  # noqa: ARG002
        job: JobRecord,  # noqa: ARG002
        chunk: Chunk,  # noqa: ARG002
        context: JobContext,  # noqa: ARG002
    ) -> ChunkResult:
        """Nothing: what a part stores outlives a cancel, and half a clustering is none."""
        return ChunkResult()

    def finish(self, session: Session, job: JobRecord, context: JobContext) -> Mapping[str, Any]:
        """Cluster and store the run; which it is, and what it found."""
        run = run_clustering(
            session,
            ClusteringParameters(**job.parameters),
            author=job.author,
            job_id=job.id,
            heartbeat=context.heartbeat,
        )
        context.heartbeat()  # cancelled meanwhile: nothing of it is kept
        return {
            "run": str(run.id),
            "flagged": run.n_flagged,
            "clusters": run.n_clusters,
            "detail": run.detail,
        }


HANDLER = ClusterHandler()
