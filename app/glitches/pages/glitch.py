"""One glitch: its page and its labels."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Form, Request, Response
from sqlalchemy.orm import Session

from app.classes.naming import class_meant, list_classes, no_class
from app.core.errors import InvalidRequestError, NotFoundError
from app.frame.deps import CsrfChecked, PageRoute, Reader, Submitter
from app.frame.failures import see_other
from app.frame.render import render
from app.frame.words import glitch_href
from app.glitches.labels import append_label, list_labels, revoke_label
from app.glitches.pages.query import parse_catalogue_query
from app.glitches.pages.view import SEEN, SHOWS, find_or_refuse, glitch_page_of
from app.server.request_scope import SessionDep, base_url, runtime_of

router = APIRouter(route_class=PageRoute)

LONGEST_LABEL = 100


@router.get("/glitches/{public_id}")
def glitch_page(
    request: Request, session: SessionDep, principal: Reader, public_id: str
) -> Response:
    """The page of one glitch, by our id or Gravity Spy's."""
    params = request.query_params
    show = params.get("show", SEEN)
    page = glitch_page_of(
        session,
        find_or_refuse(session, public_id),
        principal,
        base=base_url(request),
        near=parse_catalogue_query(params),
        show=show if show in SHOWS else SEEN,
        templates=runtime_of(request).settings.links,
    )
    return render(request, page, status=400 if page.near_errors else 200)


@router.post("/glitches/{public_id}/labels", dependencies=[CsrfChecked])
def add_label(
    *,
    request: Request,
    session: SessionDep,
    principal: Submitter,
    public_id: str,
    class_name: Annotated[str, Form()] = "",
) -> Response:
    """Append a label; what is wrong with it is said beside the field."""
    glitch = find_or_refuse(session, public_id)
    name, error = _meant(session, class_name.strip())
    if error is None:
        append_label(session, glitch.id, name, author=principal)
        return see_other(glitch_href(glitch.id), done="labelled")
    page = glitch_page_of(
        session,
        glitch,
        principal,
        base=base_url(request),
        templates=runtime_of(request).settings.links,
        label_error=error,
        label_typed=name[:LONGEST_LABEL],
    )
    return render(request, page, status=400)


def _meant(session: Session, typed: str) -> tuple[str, str | None]:
    """The class that was typed, or what was typed and what is wrong with it."""
    if not typed:
        return typed, "Type the name of a class, or choose one from the list."
    if len(typed) > LONGEST_LABEL:
        return (
            typed,
            f"A class name has at most {LONGEST_LABEL} characters; this has {len(typed)}.",
        )
    try:
        name = class_meant(session, typed)
    except InvalidRequestError as error:
        return typed, str(error)
    if name not in {record.name for record in list_classes(session)}:
        return typed, no_class(session, typed)
    return name, None


@router.post("/glitches/{public_id}/labels/{label_id}/revoke", dependencies=[CsrfChecked])
def take_label_back(
    session: SessionDep, principal: Submitter, public_id: str, label_id: UUID
) -> Response:
    """Revoke a label: its author may, or a reviewer."""
    glitch = find_or_refuse(session, public_id)
    if all(label.id != label_id for label in list_labels(session, glitch.id)):
        raise NotFoundError("This glitch has no such label: reload its page to see which it has.")
    revoke_label(session, label_id, principal=principal)
    return see_other(glitch_href(glitch.id), done="revoked")
