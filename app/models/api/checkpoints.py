"""`/checkpoints`: the published models, and which of them is active."""

from typing import Annotated

from fastapi import APIRouter, Response
from fastapi import Path as InPath
from pydantic import Field

from app.core.model import ListOf, Model
from app.jobs import schemas as job_schemas
from app.models.checkpoints import list_checkpoints
from app.models.records import Checkpoint
from app.models.reembed import find_checkpoint_named, switch_checkpoint
from app.server.request_scope import Admin, Reader, SessionDep

router = APIRouter(tags=["catalogue"])


@router.get("/checkpoints", summary="The published models")
def checkpoints(session: SessionDep, _: Reader) -> ListOf[Checkpoint]:
    """Latest first. The active one embeds uploads."""
    return ListOf(items=list(list_checkpoints(session)))


class Switch(Model):
    """A checkpoint to be activated."""

    checkpoint: Checkpoint
    job: job_schemas.Job | None = Field(
        description="Job that embeds the catalogue and then switches; null if the "
        "checkpoint is active."
    )


@router.post(
    "/checkpoints/{name}/activate",
    summary="Activate a published model",
    responses={202: {"model": Switch, "description": "A job embeds the catalogue first"}},
)
def activated(
    response: Response,
    session: SessionDep,
    principal: Admin,
    name: Annotated[str, InPath(max_length=200, description="Its name, or its digest.")],
) -> Switch:
    """200 if every glitch has an embedding under it; otherwise 202 with a job that embeds first.

    The former checkpoint is used until the job switches, in one transaction. To go back, activate
    the former one. Needs the role admin.
    """
    target = find_checkpoint_named(session, name)
    record, job = switch_checkpoint(session, target.id, principal.name)
    response.status_code = 200 if job is None else 202
    return Switch(checkpoint=record, job=None if job is None else job_schemas.job(job))
