"""The JSON of classes: what may be asked for, the history, and one class in figures."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from app.api import render
from app.api.schemas import Glitch, GlitchClass, Model
from app.services.lifecycle import log
from app.services.lifecycle.overview import Occurrence, Portrait
from app.services.lifecycle.service import LONGEST_REMARK
from app.services.records import ClassRecord

# Names and texts are checked by the services, which say what is wrong with them.
_Name = Annotated[str, Field(max_length=20_000)]
_EventId = Annotated[int, Field(ge=1, le=2**62)]


class _Request(Model):
    last_event_id: Annotated[int, Field(ge=0, le=2**62)] = Field(
        description="`last_event_id` of the history as you saw it; 0 for none. If something "
        "happened since, the answer is 409 with who did what."
    )
    remark: Annotated[str, Field(max_length=4 * LONGEST_REMARK)] = Field(
        default="", description="Why; kept with the event."
    )


class RenameRequest(_Request):
    """Give a class of ours another name; its labels follow."""

    action: Literal["rename"]
    name: _Name


class DescribeRequest(_Request):
    """Say what it looks like and where it comes from."""

    action: Literal["describe"]
    description: Annotated[str, Field(max_length=20_000)]


class StateRequest(_Request):
    """Retire it, bring it back, mark it dormant or a candidate."""

    action: Literal["state"]
    state: Annotated[str, Field(max_length=100)] = Field(
        description="active, dormant, candidate or retired."
    )


class MoveRequest(_Request):
    """Make it a sub-class."""

    action: Literal["move"]
    parent: _Name | None = Field(description="The class above; null for none.")


class ExemplarsRequest(_Request):
    """Choose the glitches that show it best."""

    action: Literal["exemplars"]
    glitch_ids: Annotated[tuple[UUID, ...], Field(max_length=1000)] = Field(
        description="Best first, at most 12; none leaves the choice to the service."
    )


class MergeClassRequest(_Request):
    """Label all its glitches as another class, and retire it. Needs the role admin."""

    action: Literal["merge"]
    into: _Name


class UndoChangeRequest(_Request):
    """Take back the last change that stands."""

    action: Literal["undo"]
    event_id: _EventId


class RedoChangeRequest(_Request):
    """Do again what was taken back last."""

    action: Literal["redo"]
    event_id: _EventId


ChangeRequest = Annotated[
    RenameRequest
    | DescribeRequest
    | StateRequest
    | MoveRequest
    | ExemplarsRequest
    | MergeClassRequest
    | UndoChangeRequest
    | RedoChangeRequest,
    Field(discriminator="action"),
]

_CHANGES: dict[str, type[log.Change]] = {
    "rename": log.Rename,
    "describe": log.Describe,
    "state": log.SetState,
    "move": log.Move,
    "exemplars": log.ChooseExemplars,
    "merge": log.MergeInto,
    "undo": log.UndoChange,
    "redo": log.RedoChange,
}


def parsed(body: ChangeRequest) -> log.Change:
    """The change as services take it."""
    return _CHANGES[body.action](**body.model_dump(exclude={"action", "last_event_id", "remark"}))


class ClassEvent(Model):
    """Something that was done to a class."""

    id: int
    kind: str = Field(
        description="create, rename, describe, state, move, exemplars, merge, undo or redo."
    )
    summary: str = Field(description="What was done, in a few words.")
    author: str
    created_at: datetime
    remark: str | None
    undoes_event_id: int | None
    is_in_force: bool = Field(description="False for what was taken back.")
    may_undo: bool
    may_redo: bool


class ClassHistory(Model):
    """What was done to a class, oldest first."""

    items: list[ClassEvent]
    last_event_id: int = Field(description="Send it along with what you do next.")


class NearbyClass(Model):
    """Another class, and how near its middle lies."""

    name: str
    state: str
    distance: float = Field(description="Chord between mean directions, 0 to 2.")


class ClassDetail(GlitchClass):
    """A class with how often it occurs and what it looks like."""

    glitches: int = Field(description="Labelled so now, simulated ones included.")
    simulated: int
    by_ifo: dict[str, int] = Field(description="Measured ones by detector.")
    first_gps_time: str | None
    last_gps_time: str | None
    nearest_classes: list[NearbyClass]
    exemplars: list[Glitch] = Field(description="Chosen by staff, else those nearest its middle.")
    last_event_id: int


class Changed(Model):
    """What a change led to."""

    glitch_class: GlitchClass | None = Field(description="Null where it was taken back.")
    event_id: int
    history: ClassHistory


def history(known: log.ClassLog) -> ClassHistory:
    """The history."""
    return ClassHistory(
        items=[_event(known, event) for event in known.events], last_event_id=known.last_id
    )


def detail(
    base: str, record: ClassRecord, seen: Occurrence, shown: Portrait, known: log.ClassLog
) -> ClassDetail:
    """One class in figures."""
    return ClassDetail(
        **render.glitch_class(record).model_dump(),
        glitches=seen.total,
        simulated=seen.simulated,
        by_ifo=dict(seen.by_ifo),
        first_gps_time=render.decimal_string(seen.first),
        last_gps_time=render.decimal_string(seen.last),
        nearest_classes=[
            NearbyClass(name=one.name, state=one.state, distance=one.distance)
            for one in shown.nearest
        ],
        exemplars=[render.glitch_item(base, one) for one in shown.exemplars],
        last_event_id=known.last_id,
    )


def _event(known: log.ClassLog, event: log.ClassEventRecord) -> ClassEvent:
    return ClassEvent(
        id=event.id,
        kind="redo" if known.is_redo(event) else event.kind,
        summary=log.describe(known, event),
        author=event.author,
        created_at=event.created_at,
        remark=event.payload.get("remark"),
        undoes_event_id=event.undoes_event_id,
        is_in_force=known.root_of[event.id] in known.standing,
        may_undo=known.may_undo(event.id),
        may_redo=known.may_redo(event.id),
    )
