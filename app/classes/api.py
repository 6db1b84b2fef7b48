"""`/classes`: the classes of glitches and the actions on them."""

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi import Path as InPath
from pydantic import Field

from app.classes.log import Change, ClassEvent, ClassLog
from app.classes.naming import create_class, list_classes
from app.classes.overview import occurrence_of, portrait
from app.classes.records import GlitchClass, NearbyClass
from app.classes.service import change_class, class_history, get_class_named, history_shown
from app.core.model import ListOf, Model
from app.glitches.schemas import Glitch, glitch_item
from app.server.request_scope import BaseUrl, Reader, Reviewer, SessionDep
from glitch.gps import plain_seconds


class NewClass(Model):
    """A class of ours. What a name may be is checked by the service, which says what is wrong."""

    name: Annotated[str, Field(max_length=20_000)]
    description: Annotated[str, Field(min_length=1, max_length=20_000)]


ChangeRequest = Annotated[Change, Field(discriminator="action")]


class ClassHistory(Model):
    """What was done to a class, oldest first."""

    items: list[ClassEvent]
    last_event_id: int = Field(description="Send it along with what you do next.")


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


router = APIRouter(prefix="/classes", tags=["catalogue"])

ClassPath = Annotated[str, InPath(max_length=200, description="Its name.")]


@router.get("", summary="The classes of glitches")
def classes(
    session: SessionDep,
    _: Reader,
    usable: Annotated[
        bool, Query(description="Only those that may be given to glitches: not retired ones.")
    ] = False,
) -> ListOf[GlitchClass]:
    """Gravity Spy's and ours, by name."""
    found = [one for one in list_classes(session) if not (usable and one.is_retired)]
    return ListOf(items=found)


@router.post("", summary="Add a class of ours", status_code=201)
def new_class(session: SessionDep, principal: Reviewer, body: NewClass) -> GlitchClass:
    """Needs the role reviewer."""
    return create_class(session, body.name, description=body.description, author=principal)


@router.get("/{name}", summary="One class")
def glitch_class(base: BaseUrl, session: SessionDep, _: Reader, name: ClassPath) -> ClassDetail:
    """How often it occurs, where it lies, which glitches show it."""
    found = get_class_named(session, name)
    seen, shown = occurrence_of(session, found.id), portrait(session, found)
    return ClassDetail(
        **found.model_dump(),
        glitches=seen.total,
        simulated=seen.simulated,
        by_ifo=dict(seen.by_ifo),
        first_gps_time=None if seen.first is None else plain_seconds(seen.first),
        last_gps_time=None if seen.last is None else plain_seconds(seen.last),
        nearest_classes=list(shown.nearest),
        exemplars=[glitch_item(base, one) for one in shown.exemplars],
        last_event_id=class_history(session, found.id).last_id,
    )


@router.get("/{name}/history", summary="What was done to a class")
def history(session: SessionDep, _: Reader, name: ClassPath) -> ClassHistory:
    """Every act with its author, undone ones included, oldest first."""
    return _history(history_shown(session, get_class_named(session, name).id))


@router.post("/{name}/changes", summary="Change a class")
def change(
    session: SessionDep, principal: Reviewer, name: ClassPath, body: ChangeRequest
) -> Changed:
    """Rename, describe, retire, move, choose exemplars, merge, undo, redo. Reviewer or admin."""
    class_id = get_class_named(session, name).id
    outcome = change_class(session, class_id, body, author=principal)
    return Changed(
        glitch_class=outcome.record, event_id=outcome.log.last_id, history=_history(outcome.log)
    )


def _history(log: ClassLog) -> ClassHistory:
    return ClassHistory(items=list(log.events), last_event_id=log.last_id)
