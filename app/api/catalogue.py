"""`/classes` and `/checkpoints`."""

from __future__ import annotations

from fastapi import APIRouter

from app.api import render, schemas
from app.api.deps import Reader, Reviewer, SessionDep
from app.services.checkpoints import list_checkpoints
from app.services.classes import create_class, list_classes

router = APIRouter(tags=["catalogue"])


@router.get("/classes", summary="The classes of glitches")
def classes(session: SessionDep, _: Reader) -> schemas.ListOf[schemas.GlitchClass]:
    """Gravity Spy's and ours, by name."""
    return schemas.ListOf(items=[render.glitch_class(one) for one in list_classes(session)])


@router.post("/classes", summary="Add a class of ours", status_code=201)
def new_class(
    session: SessionDep, principal: Reviewer, body: schemas.NewClass
) -> schemas.GlitchClass:
    """Needs the role reviewer."""
    made = create_class(session, body.name, description=body.description, author=principal)
    return render.glitch_class(made)


@router.get("/checkpoints", summary="The published models")
def checkpoints(session: SessionDep, _: Reader) -> schemas.ListOf[schemas.Checkpoint]:
    """Latest first; one of them is active and embeds what is uploaded."""
    return schemas.ListOf(items=[render.checkpoint(one) for one in list_checkpoints(session)])
