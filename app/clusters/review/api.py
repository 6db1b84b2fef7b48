"""`/clusters/{id}/review` and its history."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter
from pydantic import Field

from app.clusters.review.log import Action, Log, ReviewEvent
from app.clusters.review.service import history, review
from app.core.model import Model
from app.server.request_scope import Reader, Reviewer, SessionDep

ReviewRequest = Annotated[Action, Field(discriminator="action")]


class History(Model):
    """What was done to a cluster in all its runs, oldest first."""

    items: list[ReviewEvent]
    last_event_id: int = Field(description="Send it along with what you do next.")


class Reviewed(Model):
    """What a review led to."""

    cluster_id: UUID = Field(description="The cluster to look at now.")
    state: str
    suggestions: int = Field(description="Suggested labels that wait to be accepted.")
    event_id: int
    history: History


router = APIRouter(prefix="/clusters", tags=["clusters"])


@router.get("/{cluster_id}/history", summary="What reviewers did to a cluster")
def cluster_history(session: SessionDep, _: Reader, cluster_id: UUID) -> History:
    """Every act with its author, undone ones included, in all runs that found this cluster."""
    return _history(history(session, cluster_id))


@router.post("/{cluster_id}/review", summary="Review a cluster")
def review_cluster(
    session: SessionDep, principal: Reviewer, cluster_id: UUID, body: ReviewRequest
) -> Reviewed:
    """Name, merge, split, dismiss, assign, accept, comment, undo, redo. Needs the role reviewer."""
    outcome = review(session, cluster_id, body, author=principal)
    return Reviewed(
        cluster_id=outcome.cluster_id,
        state=outcome.state,
        suggestions=outcome.n_suggested,
        event_id=outcome.log.last_id,
        history=_history(outcome.log),
    )


def _history(log: Log) -> History:
    return History(items=list(log.events), last_event_id=log.last_id)
