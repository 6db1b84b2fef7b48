"""The JSON of classes: what may be asked for, the history, and one class in figures."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from app.classes import log
from app.classes.overview import Occurrence, Portrait
from app.classes.records import GlitchClass
from app.core.events.log import Redo, Undo
from app.core.events.schemas import (
    ActRequest,
    LoggedEvent,
    Name,
    RedoRequest,
    UndoRequest,
    in_common,
)
from app.core.model import Model
from app.glitches import render
from app.glitches.schemas import Glitch
from glitch.gps import plain_seconds


class NewClass(Model):
    """A class of ours. What a name may be is checked by the service, which says what is wrong."""

    name: Annotated[str, Field(max_length=20_000)]
    description: Annotated[str, Field(min_length=1, max_length=20_000)]


class RenameRequest(ActRequest):
    """Give a class of ours another name; its labels follow."""

    action: Literal["rename"]
    name: Name


class DescribeRequest(ActRequest):
    """Say what it looks like and where it comes from."""

    action: Literal["describe"]
    description: Annotated[str, Field(max_length=20_000)]


class StateRequest(ActRequest):
    """Retire it, bring it back, mark it dormant or a candidate."""

    action: Literal["state"]
    state: Annotated[str, Field(max_length=100)] = Field(
        description="active, dormant, candidate or retired."
    )


class MoveRequest(ActRequest):
    """Make it a sub-class."""

    action: Literal["move"]
    parent: Name | None = Field(description="The class above; null for none.")


class ExemplarsRequest(ActRequest):
    """Choose the glitches that show it best."""

    action: Literal["exemplars"]
    glitch_ids: Annotated[tuple[UUID, ...], Field(max_length=1000)] = Field(
        description="Best first, at most 12; none leaves the choice to the service."
    )


class MergeClassRequest(ActRequest):
    """Label all its glitches as another class, and retire it. Needs the role admin."""

    action: Literal["merge"]
    into: Name


ChangeRequest = Annotated[
    RenameRequest
    | DescribeRequest
    | StateRequest
    | MoveRequest
    | ExemplarsRequest
    | MergeClassRequest
    | UndoRequest
    | RedoRequest,
    Field(discriminator="action"),
]


_CHANGES: dict[str, type[log.Change]] = {
    "rename": log.Rename,
    "describe": log.Describe,
    "state": log.SetState,
    "move": log.Move,
    "exemplars": log.ChooseExemplars,
    "merge": log.MergeInto,
    "undo": Undo,
    "redo": Redo,
}


def parsed(body: ChangeRequest) -> log.Change:
    """The change as services take it."""
    return _CHANGES[body.action](**body.asked())


class ClassEvent(LoggedEvent):
    """Something that was done to a class."""

    kind: str = Field(
        description="create, rename, describe, state, move, exemplars, merge, undo or redo."
    )
    remark: str | None


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
    base: str, record: GlitchClass, seen: Occurrence, shown: Portrait, known: log.ClassLog
) -> ClassDetail:
    """One class in figures."""
    return ClassDetail(
        **record.model_dump(),
        glitches=seen.total,
        simulated=seen.simulated,
        by_ifo=dict(seen.by_ifo),
        first_gps_time=None if seen.first is None else plain_seconds(seen.first),
        last_gps_time=None if seen.last is None else plain_seconds(seen.last),
        nearest_classes=[
            NearbyClass(name=one.name, state=one.state, distance=one.distance)
            for one in shown.nearest
        ],
        exemplars=[render.glitch_item(base, one) for one in shown.exemplars],
        last_event_id=known.last_id,
    )


def _event(known: log.ClassLog, event: log.ClassEventRecord) -> ClassEvent:
    return ClassEvent(**in_common(known, event), remark=event.payload.get("remark"))
