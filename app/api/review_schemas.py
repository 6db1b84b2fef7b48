"""The JSON of reviews: what may be asked for, and the history."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from app.api.schemas import Model
from app.services.reviews import log
from app.services.reviews.scene import LONGEST_TEXT, MOST_MEMBERS
from app.services.reviews.service import ReviewOutcome

# Names and texts are checked by the services, which say what is wrong with them.
_Name = Annotated[str, Field(max_length=20_000)]
_Text = Annotated[str, Field(max_length=4 * LONGEST_TEXT)]
_Members = Annotated[tuple[UUID, ...], Field(min_length=1, max_length=MOST_MEMBERS)]
_EventId = Annotated[int, Field(ge=1, le=2**62)]


class _Request(Model):
    last_event_id: Annotated[int, Field(ge=0, le=2**62)] = Field(
        description="`last_event_id` of the history as you saw it; 0 for none. If something "
        "happened since, the answer is 409 with who did what."
    )
    remark: _Text = Field(default="", description="Why; kept with the event.")


class PromoteRequest(_Request):
    """Make the cluster a new class, suggested to its unlabelled members."""

    action: Literal["promote"]
    class_name: _Name = Field(description="1 to 64 letters, digits and underscores.")
    description: Annotated[str, Field(max_length=2000)] = ""


class MergeRequest(_Request):
    """Say that it is a known class, suggested to its unlabelled members."""

    action: Literal["merge"]
    class_name: _Name


class DismissRequest(_Request):
    """Say that it is nothing of interest."""

    action: Literal["dismiss"]


class SplitRequest(_Request):
    """Make these members a cluster of their own."""

    action: Literal["split"]
    member_ids: _Members


class AssignRequest(_Request):
    """Label these members."""

    action: Literal["assign"]
    class_name: _Name
    member_ids: _Members


class AcceptRequest(_Request):
    """Make suggestions labels: of these members, or all where none is named."""

    action: Literal["accept"]
    member_ids: Annotated[tuple[UUID, ...], Field(max_length=MOST_MEMBERS)] = ()


class CommentRequest(_Request):
    """Leave a remark; it is never too late for one."""

    action: Literal["comment"]
    text: _Text


class UndoRequest(_Request):
    """Take back the last act that stands, or a comment."""

    action: Literal["undo"]
    event_id: _EventId


class RedoRequest(_Request):
    """Do again what was taken back last."""

    action: Literal["redo"]
    event_id: _EventId


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
    "undo": log.Undo,
    "redo": log.Redo,
}


def parsed(body: ReviewRequest) -> log.Action:
    """The action as services take it."""
    return _ACTIONS[body.action](**body.model_dump(exclude={"action", "last_event_id", "remark"}))


class ReviewEvent(Model):
    """Something that was done to a cluster."""

    id: int
    kind: str = Field(
        description="promote, merge, split, dismiss, assign, accept, comment, undo or redo."
    )
    summary: str = Field(description="What was done, in a few words.")
    author: str
    created_at: datetime
    cluster_id: UUID = Field(description="The cluster as the run of that day found it.")
    class_name: str | None
    n_glitches: int | None
    text: str | None = Field(description="The comment, or the remark that was given with the act.")
    undoes_event_id: int | None
    is_in_force: bool = Field(description="False for what was taken back.")
    may_undo: bool
    may_redo: bool


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
        id=event.id,
        kind="redo" if known.is_redo(event) else event.kind,
        summary=log.describe(known, event),
        author=event.author,
        created_at=event.created_at,
        cluster_id=event.cluster_id,
        class_name=payload.get("class_name"),
        n_glitches=payload.get("n_glitches"),
        text=payload.get("text") or payload.get("remark"),
        undoes_event_id=event.undoes_event_id,
        is_in_force=known.root_of[event.id] in known.standing,
        may_undo=known.may_undo(event.id),
        may_redo=known.may_redo(event.id),
    )
