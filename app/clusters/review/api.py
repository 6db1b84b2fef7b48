"""`/clusters/{id}/review` and its history."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter

from app.clusters.review import schemas as review_schemas
from app.clusters.review.service import history, review
from app.server.callers import Reader, Reviewer, SessionDep

router = APIRouter(prefix="/clusters", tags=["clusters"])


@router.get("/{cluster_id}/history", summary="What reviewers did to a cluster")
def cluster_history(session: SessionDep, _: Reader, cluster_id: UUID) -> review_schemas.History:
    """Every act with its author, undone ones included, in all runs that found this cluster."""
    return review_schemas.history(history(session, cluster_id))


@router.post("/{cluster_id}/review", summary="Review a cluster")
def review_cluster(
    session: SessionDep,
    principal: Reviewer,
    cluster_id: UUID,
    body: review_schemas.ReviewRequest,
) -> review_schemas.Reviewed:
    """Name, merge, split, dismiss, assign, accept, comment, undo, redo. Needs the role reviewer."""
    outcome = review(
        session,
        cluster_id,
        review_schemas.parsed(body),
        author=principal,
        last_event_id=body.last_event_id,
        remark=body.remark,
    )
    return review_schemas.reviewed(outcome, history(session, outcome.cluster_id))
