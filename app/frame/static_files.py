"""Public files: the frame's static files, and the HTTP interface documentation.

Static files are cached for ever under a name that changes with their content. Swagger UI renders
`/docs` from them.
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
    """One file, by its name in a fixed table: no path of a visitor reaches the disk."""
    content = static_files().get(name)
    if content is None:
        return Response("There is no such file.\n", 404, media_type="text/plain")
    # A page from before an upgrade asks for the old digest: serve it, but do not let it be kept.
    caching = FOR_EVER if digest == static_digest() else "no-store"
    suffix = name[name.rindex(".") :]
    headers = {"Cache-Control": caching, "X-Content-Type-Options": "nosniff"}
    return Response(content, media_type=MEDIA_TYPES[suffix], headers=headers)


@docs_router.get("/docs")
def api_docs(request: Request) -> Response:
    """Open to everyone, as the document that it shows is."""
    # Swagger UI draws its icons as pictures that stand in its style sheet.
    return render(request, ApiDocsPage(), has_own_pictures=True)
