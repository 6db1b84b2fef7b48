"""`/demonstration`: load and remove simulated glitches."""

from fastapi import APIRouter
from pydantic import Field

from app.core.model import Model
from app.demo.service import remove_demonstration, start_demonstration
from app.jobs import schemas as job_schemas
from app.server.request_scope import Admin, SessionDep

router = APIRouter(prefix="/demonstration", tags=["demonstration"])


class Removed(Model):
    """What was removed."""

    glitches: int = Field(description="Number of simulated glitches removed.")


@router.post("", summary="Load the demonstration", status_code=202)
def load(session: SessionDep, principal: Admin) -> job_schemas.Job:
    """Simulated glitches, most of them labelled; workers then cluster, audit and map them.

    Glitches that are already stored are skipped. Needs the role admin.
    """
    return job_schemas.job(start_demonstration(session, principal=principal))


@router.delete("", summary="Remove the demonstration")
def remove(session: SessionDep, principal: Admin) -> Removed:
    """Remove the simulated glitches, their clusters, findings and map. Needs the role admin."""
    return Removed(glitches=remove_demonstration(session, principal=principal))
