"""The demonstration's two buttons: load and remove."""

from fastapi import APIRouter, Response

from app.demo.service import remove_demonstration, start_demonstration
from app.frame.deps import AdminVisit, PageRoute
from app.frame.failures import see_other

router = APIRouter(route_class=PageRoute)


@router.post("/demonstration")
def load(visit: AdminVisit) -> Response:
    """Start the load; the first page shows its progress."""
    start_demonstration(visit.session, principal=visit.principal)
    return see_other("/ui/clusters")


@router.post("/demonstration/remove")
def remove(visit: AdminVisit) -> Response:
    """Remove the demonstration, so that the user can start with their own data."""
    remove_demonstration(visit.session, principal=visit.principal)
    return see_other("/ui/clusters", done="demo-removed")
