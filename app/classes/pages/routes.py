"""The pages of all classes and of one class, with its history and actions."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from app.classes.log import Change
from app.classes.naming import class_named, create_class, current_name, find_class
from app.classes.pages.view import ClassForm, class_href, class_page_of, classes_page_of
from app.classes.service import change_class, get_class, get_class_named
from app.core.errors import ConflictError, InvalidRequestError, NotFoundError, PermissionDeniedError
from app.core.events import request_of
from app.frame.deps import CsrfChecked, LongText, PageRoute, Reader
from app.frame.failures import see_other, status_of
from app.frame.render import render
from app.server.request_scope import SessionDep

router = APIRouter(route_class=PageRoute)

_NO_REMARK = frozenset({"undo", "redo"})


@router.get("/classes")
def classes(request: Request, session: SessionDep, _: Reader) -> Response:
    """All classes, with their numbers of glitches."""
    return render(request, classes_page_of(session))


@router.post("/classes", dependencies=[CsrfChecked])
def add(
    *,
    request: Request,
    session: SessionDep,
    principal: Reader,
    name: LongText = "",
    description: LongText = "",
) -> Response:
    """Add a class; errors are shown in the form."""
    try:
        with session.begin_nested():
            made = create_class(
                session, name.strip(), description=description.strip(), author=principal
            )
    except (InvalidRequestError, ConflictError) as error:
        page = classes_page_of(
            session, error=str(error), typed_name=name, typed_description=description
        )
        return render(request, page, status=status_of(error))
    return see_other(class_href(made.id), done="class-added")


@router.get("/classes/{which}")
def one_class(
    *,
    request: Request,
    session: SessionDep,
    principal: Reader,
    which: str,
    after: str | None = None,
    page: int = 1,
) -> Response:
    """The page of one class.

    The address contains the class's id, which does not change when the class is renamed; addresses
    with a current or former name are redirected.
    """
    if not (which.isascii() and which.isdigit() and len(which) < 10):
        known = which if find_class(session, which) else current_name(session, which)
        return see_other(class_href(get_class_named(session, known or which).id))
    record = get_class(session, int(which))
    after = (after or "")[:500] or None
    number = max(page, 1) if after else 1
    return render(request, class_page_of(session, record, principal, after=after, number=number))


@router.post("/classes/{class_id}/change", dependencies=[CsrfChecked])
def change(
    *,
    request: Request,
    session: SessionDep,
    principal: Reader,
    class_id: int,
    typed: Annotated[ClassForm, Depends()],
) -> Response:
    """Apply an action to a class; errors are shown in the form, with the latest state."""
    record, act = get_class(session, class_id), typed.act
    common = {
        "last_event_id": typed.last_event_id,
        "remark": "" if act in _NO_REMARK else typed.text,
    }
    into = class_named(session, typed.into) or typed.into.strip()
    fields: dict[str, tuple[str, dict[str, Any]]] = {
        "rename": ("rename", {"name": typed.name.strip()}),
        "describe": ("describe", {"description": typed.description.strip()}),
        "move": ("move", {"parent": typed.parent.strip() or None}),
        "retire": ("state", {"state": "retired"}),
        "reactivate": ("state", {"state": "active"}),
        "dormant": ("state", {"state": "dormant"}),
        "exemplars": ("exemplars", {"glitch_ids": typed.member}),
        "merge": ("merge", {"into": into}),
        "undo": ("undo", {"event_id": typed.event_id}),
        "redo": ("redo", {"event_id": typed.event_id}),
    }
    if act not in fields:
        raise NotFoundError("There is no such action: go back to the class and choose another.")
    try:
        action, values = fields[act]
        action_request = request_of(Change, action, **values, **common)
        outcome = change_class(session, class_id, action_request, author=principal)
    except (InvalidRequestError, ConflictError, PermissionDeniedError) as error:
        form = None if act in _NO_REMARK or act == "exemplars" else typed
        page = class_page_of(session, record, principal, error=str(error), typed=form)
        return render(request, page, status=status_of(error))
    if outcome.record is None:
        return see_other("/ui/classes", done="undone")
    notice = {"undo": "undone", "redo": "redone"}.get(act, "class-changed")
    return see_other(class_href(class_id), done=notice)
