"""The job of kind ``cluster``: one clustering is one transaction, that of the job's success.

So a job that failed or was cancelled, at whatever moment, leaves no clusters behind.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from app.clusters.records import ClusteringParameters
from app.clusters.run import run_clustering
from app.jobs.records import JobRecord
from app.jobs.registry import JobContext, OneTransaction
from app.jobs.service import create_job


class ClusterHandler(OneTransaction):
    """Clusters the catalogue as the job's parameters say."""

    def check(self, job: JobRecord) -> None:
        """Refuse parameters that no clustering can be made with."""
        ClusteringParameters(**job.parameters).check()

    def finish(self, session: Session, job: JobRecord, context: JobContext) -> Mapping[str, Any]:
        """Cluster and store the run; which it is, and what it found."""
        run = run_clustering(
            session,
            ClusteringParameters(**job.parameters),
            author=job.author,
            job_id=job.id,
            heartbeat=context.heartbeat,
            encoder=context.encoder,
        )
        if run.n_flagged and context.settings.sends_digest:
            create_job(session, "digest", {}, job.author, key=str(run.id))
        context.heartbeat()  # cancelled meanwhile: nothing of it is kept
        return {
            "run": str(run.id),
            "flagged": run.n_flagged,
            "clusters": run.n_clusters,
            "detail": run.detail,
        }


HANDLER = ClusterHandler()
