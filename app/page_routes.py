"""All pages under ``/ui``, in the router of ``create_web_router``."""

from fastapi import APIRouter, Depends, Response
from fastapi.responses import RedirectResponse

from app.batches.pages import routes as batch
from app.classes import pages as classes
from app.classes.audit.pages import routes as label_audit
from app.clusters.pages import routes as clusters
from app.core.errors import NotFoundError
from app.demo import pages as demo
from app.digest import pages as digest
from app.frame import login, tokens
from app.frame import static_files as static
from app.frame.deps import PageRoute
from app.frame.render import SAID
from app.glitches.exports import pages as exports
from app.glitches.pages import catalogue, files, glitch, search, upload
from app.jobs.pages import routes as jobs
from app.map.pages import routes as map_routes
from app.models.pages import checkpoints, pictures
from app.server.form_fields import CheckQuery, takes_any

PREFIX = "/ui"
HOME = "/ui/clusters"


def create_web_router() -> APIRouter:
    """Create the router of all pages, and of the redirects to the first page.

    Pages are not in the OpenAPI document.
    """
    web = APIRouter(include_in_schema=False, dependencies=[Depends(CheckQuery(SAID))])
    for path in ("/", PREFIX, f"{PREFIX}/"):
        web.add_api_route(path, _to_pages)
    web.include_router(static.docs_router)
    parts = (
        *(clusters, catalogue, glitch, files, pictures, upload, batch, jobs, label_audit),
        *(map_routes, exports, search, demo, digest, classes, checkpoints, tokens, login, static),
    )
    for part in parts:
        web.include_router(part.router, prefix=PREFIX)
    # Last, because it matches every remaining address.
    nowhere = APIRouter(route_class=PageRoute)
    nowhere.add_api_route("/{path:path}", _nowhere)
    web.include_router(nowhere, prefix=PREFIX)
    return web


def _to_pages() -> Response:
    return RedirectResponse(HOME, status_code=307)


@takes_any
def _nowhere(path: str) -> Response:
    raise NotFoundError(f"There is no page {PREFIX}/{path[:100]}: follow a link, or search above.")
