"""Public files: the static files of the pages, and the documentation of the HTTP API.

Static files are cached indefinitely under an address that changes with their content. Swagger UI
renders `/docs` from them.
"""

from fastapi import APIRouter, Request, Response

from app.frame.contexts import ApiDocsPage
from app.frame.deps import PageRoute
from app.frame.render import render, static_digest, static_files

router = APIRouter()
docs_router = APIRouter(route_class=PageRoute)

MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
FOR_EVER = "public, max-age=31536000, immutable"


@router.get("/static/{digest}/{name:path}")
def static_file(digest: str, name: str) -> Response:
    """Return a file by its name in a fixed table, so that no request's path reaches the disk."""
    content = static_files().get(name)
    if content is None:
        return Response("There is no such file.\n", 404, media_type="text/plain")
    # A page from before an upgrade uses the old digest: serve the file, but prevent caching.
    caching = FOR_EVER if digest == static_digest() else "no-store"
    suffix = name[name.rindex(".") :]
    headers = {"Cache-Control": caching, "X-Content-Type-Options": "nosniff"}
    return Response(content, media_type=MEDIA_TYPES[suffix], headers=headers)


@docs_router.get("/docs")
def api_docs(request: Request) -> Response:
    """Show the API documentation, which is public like the OpenAPI document."""
    # Swagger UI's style sheet contains its icons as data: images.
    return render(request, ApiDocsPage(), has_own_pictures=True)
