"""What the model makes of a glitch, as pictures for the pages; its four windows."""

from fastapi import APIRouter, Request, Response

from app.frame.deps import ForReaders, PageRoute
from app.glitches.pages.glitch import find_or_refuse
from app.glitches.service import list_views
from app.models.pictures import four_windows, plan_comparison, plan_strip
from app.server.answers import painted_answer
from app.server.request_scope import SessionDep

router = APIRouter(route_class=PageRoute)


@router.get("/glitches/{public_id}/reconstruction/{duration_s}.png", dependencies=[ForReaders])
def reconstruction(
    *,
    request: Request,
    session: SessionDep,
    public_id: str,
    duration_s: float,
    checkpoint: int | None = None,
) -> Response:
    """One view as the model paints it."""
    glitch = find_or_refuse(session, public_id)
    plan = plan_comparison(session, glitch.id, duration_s, "reconstruction", checkpoint)
    return painted_answer(request, plan)


@router.get("/glitches/{public_id}/residual/{duration_s}.png", dependencies=[ForReaders])
def residual(
    *,
    request: Request,
    session: SessionDep,
    public_id: str,
    duration_s: float,
    checkpoint: int | None = None,
) -> Response:
    """What was seen less what the model paints."""
    glitch = find_or_refuse(session, public_id)
    plan = plan_comparison(session, glitch.id, duration_s, "residual", checkpoint)
    return painted_answer(request, plan)


@router.get("/glitches/{public_id}/traversals/{unit}.png", dependencies=[ForReaders])
def strip(
    *,
    request: Request,
    session: SessionDep,
    public_id: str,
    unit: int,
    low: float = -3.0,
    high: float = 3.0,
    duration: float = 1.0,
    checkpoint: int | None = None,
) -> Response:
    """Views painted while one latent moves."""
    glitch = find_or_refuse(session, public_id)
    plan = plan_strip(
        session, glitch.id, unit, duration_s=duration, low=low, high=high, checkpoint_id=checkpoint
    )
    return painted_answer(request, plan)


@router.get("/glitches/{public_id}/windows.png", dependencies=[ForReaders])
def windows(session: SessionDep, public_id: str) -> Response:
    """All four windows beside each other; one that is absent is hatched."""
    glitch = find_or_refuse(session, public_id)
    content = four_windows(list_views(session, glitch.id))
    headers = {"Cache-Control": "private, max-age=86400"}
    return Response(content, media_type="image/png", headers=headers)
