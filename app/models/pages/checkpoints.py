"""The published models: their measures, and which of them serves."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from app.core.access import require_role
from app.core.errors import ConflictError
from app.core.principals import Role
from app.frame.deps import CsrfChecked, PageRoute, Reader, VisitorDep
from app.frame.failures import see_other
from app.frame.render import render
from app.models.pages.view import checkpoints_page_of
from app.models.reembed import switch_checkpoint
from app.server.request_scope import SessionDep

router = APIRouter(route_class=PageRoute)


@router.get("/checkpoints")
def checkpoints(
    request: Request, session: SessionDep, visitor: VisitorDep, principal: Reader
) -> Response:
    """The published models, latest first."""
    return render(request, checkpoints_page_of(session, principal), visitor)


@router.post("/checkpoints/{checkpoint_id}/activate", dependencies=[CsrfChecked])
def activate(
    request: Request,
    session: SessionDep,
    visitor: VisitorDep,
    principal: Reader,
    checkpoint_id: int,
) -> Response:
    """Let a model serve, at once or after a job; going back is the same."""
    require_role(principal, Role.ADMIN)
    try:
        _, job = switch_checkpoint(session, checkpoint_id, principal.name)
    except ConflictError as error:
        page = checkpoints_page_of(session, principal, error=str(error))
        return render(request, page, visitor, status=409)
    return see_other(f"/ui/checkpoints?done={'switched' if job is None else 'switching'}")
