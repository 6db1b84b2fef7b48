"""`/classes`: the classes of glitches and the actions on them."""

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi import Path as InPath
from pydantic import Field

from app.classes.log import Change
from app.classes.naming import create_class, list_classes
from app.classes.overview import occurrence_of, portrait
from app.classes.records import Changed, ClassHistory, GlitchClass, NearbyClass
from app.classes.service import change_class, class_history, get_class_named, history_shown
from app.core.model import ListOf, Model
from app.glitches.schemas import Glitch, glitch_item
from app.server.request_scope import BaseUrl, Reader, Reviewer, SessionDep
from glitch.gps import plain_seconds


class NewClass(Model):
    """A new class. The service checks its name."""

    name: Annotated[str, Field(max_length=20_000)]
    description: Annotated[str, Field(min_length=1, max_length=20_000)]


ChangeRequest = Annotated[Change, Field(discriminator="action")]


class ClassDetail(GlitchClass):
    """A class with its counts and exemplars."""

    glitches: int = Field(
        description="Number of glitches with this label, simulated ones included."
    )
    simulated: int
    by_ifo: dict[str, int] = Field(description="Real glitches by detector.")
    first_gps_time: str | None
    last_gps_time: str | None
    nearest_classes: list[NearbyClass]
    exemplars: list[Glitch] = Field(
        description="Chosen by reviewers, else those nearest to the middle of the class."
    )
    last_event_id: int


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
    """Gravity Spy's and those added here, by name."""
    listed = [one for one in list_classes(session) if not (usable and one.is_retired)]
    return ListOf(items=listed)


@router.post("", summary="Add a class", status_code=201)
def new_class(session: SessionDep, principal: Reviewer, body: NewClass) -> GlitchClass:
    """Needs the role reviewer."""
    return create_class(session, body.name, description=body.description, author=principal)


@router.get("/{name}", summary="One class")
def glitch_class(base: BaseUrl, session: SessionDep, _: Reader, name: ClassPath) -> ClassDetail:
    """Its counts by detector, nearest classes and exemplars."""
    record = get_class_named(session, name)
    tally, shown = occurrence_of(session, record.id), portrait(session, record)
    return ClassDetail(
        **record.model_dump(),
        glitches=tally.total,
        simulated=tally.simulated,
        by_ifo=dict(tally.by_ifo),
        first_gps_time=None if tally.first is None else plain_seconds(tally.first),
        last_gps_time=None if tally.last is None else plain_seconds(tally.last),
        nearest_classes=list(shown.nearest),
        exemplars=[glitch_item(base, one) for one in shown.exemplars],
        last_event_id=class_history(session, record.id).last_id,
    )


@router.get("/{name}/history", summary="History of a class")
def history(session: SessionDep, _: Reader, name: ClassPath) -> ClassHistory:
    """Every action with its author, oldest first, undone ones included."""
    return ClassHistory.of(history_shown(session, get_class_named(session, name).id))


@router.post("/{name}/changes", summary="Change a class")
def change(
    session: SessionDep, principal: Reviewer, name: ClassPath, body: ChangeRequest
) -> Changed:
    """Rename, describe, retire, move, choose exemplars, merge, undo, redo. Reviewer or admin."""
    class_id = get_class_named(session, name).id
    return change_class(session, class_id, body, author=principal)
