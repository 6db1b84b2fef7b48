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
    """Actions on a cluster in all its clusterings, oldest first."""

    items: list[ReviewEvent]
    last_event_id: int = Field(description="To be sent with the next action.")


class Reviewed(Model):
    """Result of a review."""

    cluster_id: UUID = Field(description="The cluster that continues it.")
    state: str
    suggestions: int = Field(description="Suggested labels that wait to be accepted.")
    event_id: int
    history: History


router = APIRouter(prefix="/clusters", tags=["clusters"])


@router.get("/{cluster_id}/history", summary="History of a cluster")
def cluster_history(session: SessionDep, _: Reader, cluster_id: UUID) -> History:
    """Every action with its author, undone ones included, in all clusterings that found it."""
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
