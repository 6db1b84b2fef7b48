"""All pages under ``/ui``. The application includes what ``create_web_router`` gives."""

from __future__ import annotations

from fastapi import APIRouter, Response
from fastapi.responses import RedirectResponse

from app.services.errors import NotFoundError
from app.web.deps import PageRoute
from app.web.routes import (
    batch,
    catalogue,
    checkpoints,
    classes,
    clusters,
    exports,
    files,
    glitch,
    jobs,
    label_audit,
    pictures,
    search,
    session,
    static,
    tokens,
    upload,
)
from app.web.routes import map as map_routes

PREFIX = "/ui"
HOME = "/ui/clusters"


def create_web_router() -> APIRouter:
    """The pages, and what leads to the first of them. None is in the OpenAPI document."""
    web = APIRouter(include_in_schema=False)
    for path in ("/", PREFIX, f"{PREFIX}/"):
        web.add_api_route(path, _to_pages)
    parts = (
        *(clusters, catalogue, glitch, files, pictures, upload, batch, jobs, label_audit),
        *(map_routes, exports, search, classes, checkpoints, tokens, session, static),
    )
    for part in parts:
        web.include_router(part.router, prefix=PREFIX)
    # Last, because it takes whatever no page took.
    nowhere = APIRouter(route_class=PageRoute)
    nowhere.add_api_route("/{path:path}", _nowhere)
    web.include_router(nowhere, prefix=PREFIX)
    return web


def _to_pages() -> Response:
    return RedirectResponse(HOME, status_code=307)


def _nowhere(path: str) -> Response:
    raise NotFoundError(f"There is no page {PREFIX}/{path[:100]}: start from the catalogue.")
