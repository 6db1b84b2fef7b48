"""The review history of a cluster: possible actions, and recorded actions in words."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from app.core import events
from app.core.model import Model

MAX_MEMBERS = 10_000  # in one action
_Members = Annotated[tuple[UUID, ...], Field(min_length=1, max_length=MAX_MEMBERS)]


class PromoteRequest(events.ActRequest):
    """Make the cluster a new class, which is suggested for its unlabelled members."""

    action: Literal["promote"]
    class_name: events.Name = Field(description="1 to 64 letters, digits and underscores.")
    description: Annotated[str, Field(max_length=2000)] = ""


class MergeRequest(events.ActRequest):
    """Merge into a known class, which is suggested for its unlabelled members."""

    action: Literal["merge"]
    class_name: events.Name


class DismissRequest(events.ActRequest):
    """Dismiss the cluster as not of interest."""

    action: Literal["dismiss"]
    is_of_look: bool = Field(
        default=False, description="Whether later clusters of the same kind are dismissed too."
    )


class SplitRequest(events.ActRequest):
    """Make these members a cluster of their own."""

    action: Literal["split"]
    member_ids: _Members


class AssignRequest(events.ActRequest):
    """Label these members."""

    action: Literal["assign"]
    class_name: events.Name
    member_ids: _Members


class AcceptRequest(events.ActRequest):
    """Turn suggestions into labels, for these members or for all."""

    action: Literal["accept"]
    member_ids: Annotated[tuple[UUID, ...], Field(max_length=MAX_MEMBERS)] = ()


class CommentRequest(events.ActRequest):
    """Add a comment; always possible."""

    action: Literal["comment"]
    text: events.Remark


Action = (
    PromoteRequest
    | MergeRequest
    | DismissRequest
    | SplitRequest
    | AssignRequest
    | AcceptRequest
    | CommentRequest
    | events.UndoRequest
    | events.RedoRequest
)


class ReviewEvent(events.LoggedEvent):
    """One action on a cluster."""

    kind: str = Field(
        description="promote, merge, split, dismiss, assign, accept, comment, undo or redo."
    )
    cluster_id: UUID = Field(description="The cluster as the clustering at that time found it.")
    class_name: str | None
    n_glitches: int | None
    text: str | None = Field(description="The comment, or the remark given with the action.")


Log = events.EventLog[ReviewEvent]


class History(events.HistoryOf[ReviewEvent]):
    """Actions on a cluster in all its clusterings, oldest first."""


class Reviewed(Model):
    """Result of a review."""

    cluster_id: UUID = Field(description="The cluster that continues it.")
    state: str
    suggestions: int = Field(description="Suggested labels that wait to be accepted.")
    event_id: int
    history: History


def replay(rows: Sequence[Any]) -> Log:
    """Build the history from rows of the event table, oldest first."""
    return events.replay_events(
        rows,
        lambda row, common: ReviewEvent(
            **common,
            cluster_id=row.cluster_id,
            class_name=row.payload.get("class_name"),
            n_glitches=row.payload.get("n_glitches"),
            text=row.payload.get("text") or row.payload.get("remark"),
        ),
        thing="cluster",
        describe_act=_describe_act,
    )


def _describe_act(act: Any) -> str:
    is_of_look = act.payload.get("asked", {}).get("is_of_look", False)
    name, number = act.payload.get("class_name"), act.payload.get("n_glitches", 0)
    return {
        "promote": f"named the new class {name}",
        "merge": f"merged it into {name}",
        "dismiss": "dismissed its look" if is_of_look else "dismissed it",
        "split": f"split off {number:,} members",
        "assign": f"labelled {number:,} as {name}",
        "accept": f"accepted {name} for {number:,}",
        "comment": "commented",
    }[act.kind]
