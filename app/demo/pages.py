"""The demonstration's two buttons: load and remove."""

from fastapi import APIRouter, Response

from app.demo.service import remove_demonstration, start_demonstration
from app.frame.deps import Admin, CsrfChecked, PageRoute
from app.frame.failures import see_other
from app.server.request_scope import SessionDep

router = APIRouter(route_class=PageRoute)


@router.post("/demonstration", dependencies=[CsrfChecked])
def load(session: SessionDep, principal: Admin) -> Response:
    """Start the load; the first page shows its progress."""
    start_demonstration(session, principal=principal)
    return see_other("/ui/clusters")


@router.post("/demonstration/remove", dependencies=[CsrfChecked])
def remove(session: SessionDep, principal: Admin) -> Response:
    """Remove the demonstration, so that the user can start with their own data."""
    remove_demonstration(session, principal=principal)
    return see_other("/ui/clusters", done="demo-removed")
