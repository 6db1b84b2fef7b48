"""`/docs`: the HTTP interface, rendered by Swagger UI from the service's own files."""

from fastapi import APIRouter, Request, Response

from app.frame.contexts import ApiDocsPage
from app.frame.deps import PageRoute
from app.frame.render import render

router = APIRouter(route_class=PageRoute)


@router.get("/docs")
def api_docs(request: Request) -> Response:
    """Open to everyone, as the document that it shows is."""
    # Swagger UI draws its icons as pictures that stand in its style sheet.
    return render(request, ApiDocsPage(), has_own_pictures=True)
