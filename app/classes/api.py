"""`/classes`: the classes of glitches, and what staff do to them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi import Path as InPath

from app.classes import schemas as class_schemas
from app.classes.naming import create_class, list_classes
from app.classes.overview import occurrence_of, portrait
from app.classes.records import GlitchClass
from app.classes.service import change_class, class_history, get_class_named
from app.core.model import ListOf
from app.server import request_scope
from app.server.callers import Reader, Reviewer, SessionDep

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
def new_class(
    session: SessionDep, principal: Reviewer, body: class_schemas.NewClass
) -> GlitchClass:
    """Needs the role reviewer."""
    return create_class(session, body.name, description=body.description, author=principal)


@router.get("/{name}", summary="One class")
def glitch_class(
    request: Request, session: SessionDep, _: Reader, name: ClassPath
) -> class_schemas.ClassDetail:
    """How often it occurs, where it lies, which glitches show it."""
    found = get_class_named(session, name)
    return class_schemas.detail(
        request_scope.base_url(request),
        found,
        occurrence_of(session, found.id),
        portrait(session, found),
        class_history(session, found.id),
    )


@router.get("/{name}/history", summary="What was done to a class")
def history(session: SessionDep, _: Reader, name: ClassPath) -> class_schemas.ClassHistory:
    """Every act with its author, undone ones included, oldest first."""
    return class_schemas.history(class_history(session, get_class_named(session, name).id))


@router.post("/{name}/changes", summary="Change a class")
def change(
    session: SessionDep,
    principal: Reviewer,
    name: ClassPath,
    body: class_schemas.ChangeRequest,
) -> class_schemas.Changed:
    """Rename, describe, retire, move, choose exemplars, merge, undo, redo. Reviewer or admin."""
    outcome = change_class(
        session,
        get_class_named(session, name).id,
        class_schemas.parsed(body),
        author=principal,
        last_event_id=body.last_event_id,
        remark=body.remark,
    )
    return class_schemas.Changed(
        glitch_class=outcome.record,
        event_id=outcome.event.id,
        history=class_schemas.history(class_history(session, outcome.event.class_id)),
    )
