"""The JSON that the histories of clusters and of classes share."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field

from app.core.events import log as event_log
from app.core.events.acts import LONGEST_REMARK
from app.core.model import Model

# Names and texts are checked by the services, which say what is wrong with them.
Name = Annotated[str, Field(max_length=20_000)]
Remark = Annotated[str, Field(max_length=4 * LONGEST_REMARK)]
_EventId = Annotated[int, Field(ge=1, le=2**62)]


class ActRequest(Model):
    """What comes with every act."""

    last_event_id: Annotated[int, Field(ge=0, le=2**62)] = Field(
        description="`last_event_id` of the history as you saw it; 0 for none. If something "
        "happened since, the answer is 409 with who did what."
    )
    remark: Remark = Field(default="", description="Why; kept with the event.")

    def asked(self) -> dict[str, Any]:
        """What is asked for, without what comes with every act."""
        return self.model_dump(exclude={"action", "last_event_id", "remark"})


class UndoRequest(ActRequest):
    """Take back the last act that stands, or a comment."""

    action: Literal["undo"]
    event_id: _EventId


class RedoRequest(ActRequest):
    """Do again what was taken back last."""

    action: Literal["redo"]
    event_id: _EventId


class LoggedEvent(Model):
    """Something that was done."""

    id: int
    kind: str
    summary: str = Field(description="What was done, in a few words.")
    author: str
    created_at: datetime
    undoes_event_id: int | None
    is_in_force: bool = Field(description="False for what was taken back.")
    may_undo: bool
    may_redo: bool


def in_common(log: event_log.EventLog[event_log.EventT], event: event_log.EventT) -> dict[str, Any]:
    """The fields of an event that every history has."""
    return {
        "id": event.id,
        "kind": "redo" if log.is_redo(event) else event.kind,
        "summary": log.tell(event),
        "author": event.author,
        "created_at": event.created_at,
        "undoes_event_id": event.undoes_event_id,
        "is_in_force": log.root_of[event.id] in log.standing,
        "may_undo": log.may_undo(event.id),
        "may_redo": log.may_redo(event.id),
    }
