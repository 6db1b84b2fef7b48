"""The JSON of reviews: what may be asked for, and the history."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from app.clusters.review import log
from app.clusters.review.scene import MOST_MEMBERS
from app.clusters.review.service import ReviewOutcome
from app.core.events.log import Redo, Undo
from app.core.events.schemas import (
    ActRequest,
    LoggedEvent,
    Name,
    RedoRequest,
    Remark,
    UndoRequest,
    in_common,
)
from app.core.model import Model

_Members = Annotated[tuple[UUID, ...], Field(min_length=1, max_length=MOST_MEMBERS)]


class PromoteRequest(ActRequest):
    """Make the cluster a new class, suggested to its unlabelled members."""

    action: Literal["promote"]
    class_name: Name = Field(description="1 to 64 letters, digits and underscores.")
    description: Annotated[str, Field(max_length=2000)] = ""


class MergeRequest(ActRequest):
    """Say that it is a known class, suggested to its unlabelled members."""

    action: Literal["merge"]
    class_name: Name


class DismissRequest(ActRequest):
    """Say that it is nothing of interest."""

    action: Literal["dismiss"]
    is_of_look: bool = Field(
        default=False,
        description="Later clusters that look so are dismissed too, not only this one.",
    )


class SplitRequest(ActRequest):
    """Make these members a cluster of their own."""

    action: Literal["split"]
    member_ids: _Members


class AssignRequest(ActRequest):
    """Label these members."""

    action: Literal["assign"]
    class_name: Name
    member_ids: _Members


class AcceptRequest(ActRequest):
    """Make suggestions labels: of these members, or all where none is named."""

    action: Literal["accept"]
    member_ids: Annotated[tuple[UUID, ...], Field(max_length=MOST_MEMBERS)] = ()


class CommentRequest(ActRequest):
    """Leave a remark; it is never too late for one."""

    action: Literal["comment"]
    text: Remark


ReviewRequest = Annotated[
    PromoteRequest
    | MergeRequest
    | DismissRequest
    | SplitRequest
    | AssignRequest
    | AcceptRequest
    | CommentRequest
    | UndoRequest
    | RedoRequest,
    Field(discriminator="action"),
]

_ACTIONS: dict[str, type[log.Action]] = {
    "promote": log.Promote,
    "merge": log.Merge,
    "dismiss": log.Dismiss,
    "split": log.Split,
    "assign": log.Assign,
    "accept": log.Accept,
    "comment": log.Comment,
    "undo": Undo,
    "redo": Redo,
}


def parsed(body: ReviewRequest) -> log.Action:
    """The action as services take it."""
    return _ACTIONS[body.action](**body.asked())


class ReviewEvent(LoggedEvent):
    """Something that was done to a cluster."""

    kind: str = Field(
        description="promote, merge, split, dismiss, assign, accept, comment, undo or redo."
    )
    cluster_id: UUID = Field(description="The cluster as the run of that day found it.")
    class_name: str | None
    n_glitches: int | None
    text: str | None = Field(description="The comment, or the remark that was given with the act.")


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


def history(known: log.Log) -> History:
    """The history."""
    return History(
        items=[_event(known, event) for event in known.events], last_event_id=known.last_id
    )


def reviewed(outcome: ReviewOutcome, known: log.Log) -> Reviewed:
    """What a review led to."""
    return Reviewed(
        cluster_id=outcome.cluster_id,
        state=outcome.state,
        suggestions=outcome.n_suggested,
        event_id=outcome.event.id,
        history=history(known),
    )


def _event(known: log.Log, event: log.EventRecord) -> ReviewEvent:
    payload = event.payload
    return ReviewEvent(
        **in_common(known, event),
        cluster_id=event.cluster_id,
        class_name=payload.get("class_name"),
        n_glitches=payload.get("n_glitches"),
        text=payload.get("text") or payload.get("remark"),
    )
