"""`/checkpoints`, and pictures that the model generates for a glitch or a cluster."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from fastapi import Path as InPath
from pydantic import Field

from app.core.model import ListOf, Model
from app.jobs import schemas as job_schemas
from app.models.checkpoints import list_checkpoints
from app.models.pictures import plan_comparison, plan_strip
from app.models.records import Checkpoint, Plane
from app.models.reembed import find_checkpoint_named, switch_checkpoint
from app.models.traversals import (
    TraversalRanges,
    cluster_plane,
    cluster_traversals,
    glitch_traversals,
)
from app.server.answers import painted_answer
from app.server.request_scope import Admin, BaseUrl, Reader, SessionDep
from glitch.traversals import UnitRange, steps_between

router = APIRouter(tags=["catalogue"])
picture_router = APIRouter(tags=["glitches"])
cluster_router = APIRouter(tags=["clusters"])


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


class Unit(Model):
    """One latent."""

    unit: int
    value: float = Field(description="Value of the glitch or of the medoid.")
    steps: list[float] = Field(description="Value of the latent in each image.")
    others: tuple[float, float] = Field(description="Central 90 % of the other glitches.")
    group: tuple[float, float] | None = Field(description="Central 90 % of the members.")
    difference: float | None = Field(
        description="Standardised difference of the means; above 0: higher in the cluster."
    )
    nats: float | None = Field(description="KL of the latent for this glitch, in nats.")
    picture: str


class Traversals(Model):
    """Latents to vary, and inactive ones."""

    glitch_id: UUID = Field(description="Glitch from whose vector the images start.")
    checkpoint: str
    units: list[Unit] = Field(description="Most informative first.")
    n_active: int
    dead: list[int] = Field(description="Latents that hardly differ between glitches.")
    n_others: int = Field(
        description="Number of glitches compared with; a sample if there are many."
    )
    reason: str | None = Field(description="Why there are none.")


def traversals(base: str, found: TraversalRanges) -> Traversals:
    """Convert to the model of the API."""
    facts = {name: getattr(found, name) for name in Traversals.model_fields.keys() - {"units"}}
    return Traversals(**facts, units=[_unit(base, found, one) for one in found.ranges])


def _unit(base: str, result: TraversalRanges, unit: UnitRange) -> Unit:
    query = f"low={unit.low:.4g}&high={unit.high:.4g}&checkpoint={result.checkpoint_id}"
    facts = {name: getattr(unit, name) for name in Unit.model_fields.keys() - {"steps", "picture"}}
    return Unit(
        **facts,
        steps=list(steps_between(unit.low, unit.high)),
        picture=f"{base}/glitches/{result.glitch_id}/traversals/{unit.unit}.png?{query}",
    )


Duration = Annotated[float, Field(gt=0, le=60)]
CheckpointNumber = Annotated[
    int | None, Query(ge=1, le=2**31 - 1, description="Its number; default: the active one.")
]
_PNG = {200: {"content": {"image/png": {}}}, 304: {"description": "Not changed"}}


@picture_router.get(
    "/glitches/{glitch_id}/reconstruction/{duration}.png",
    summary="Reconstruction of one view",
    response_class=Response,
    responses=_PNG,  # type: ignore[arg-type]  # FastAPI's own type is wider than it says
)
def reconstruction(
    *,
    request: Request,
    session: SessionDep,
    _: Reader,
    glitch_id: UUID,
    duration: Duration,
    checkpoint: CheckpointNumber = None,
) -> Response:
    """From the posterior mean, in the colours of the view. Rows that were not measured are grey."""
    plan = plan_comparison(session, glitch_id, duration, "reconstruction", checkpoint)
    return painted_answer(request, plan)


@picture_router.get(
    "/glitches/{glitch_id}/residual/{duration}.png",
    summary="Residual of one view",
    response_class=Response,
    responses=_PNG,  # type: ignore[arg-type]
)
def residual(
    *,
    request: Request,
    session: SessionDep,
    _: Reader,
    glitch_id: UUID,
    duration: Duration,
    checkpoint: CheckpointNumber = None,
) -> Response:
    """View minus reconstruction: white is zero, red positive, blue negative; limits ±10.2 of
    energy.
    """
    plan = plan_comparison(session, glitch_id, duration, "residual", checkpoint)
    return painted_answer(request, plan)


@picture_router.get(
    "/glitches/{glitch_id}/traversals", summary="Most informative latents of a glitch"
)
def glitch_units(base: BaseUrl, session: SessionDep, _: Reader, glitch_id: UUID) -> Traversals:
    """Under the active checkpoint, each with images of its effect."""
    result = glitch_traversals(session, glitch_id)
    return traversals(base, result)


@picture_router.get(
    "/glitches/{glitch_id}/traversals/{unit}.png",
    summary="Images of one latent varied",
    response_class=Response,
    responses=_PNG,  # type: ignore[arg-type]
)
def strip(
    *,
    request: Request,
    session: SessionDep,
    _: Reader,
    glitch_id: UUID,
    unit: Annotated[int, Field(ge=0, le=10_000)],
    low: Annotated[float, Query(description="First value, in sigmas of the prior.")] = -3.0,
    high: Annotated[float, Query(description="Last value.")] = 3.0,
    duration: Annotated[float, Query(gt=0, le=60, description="Window, in seconds.")] = 1.0,
    checkpoint: CheckpointNumber = None,
) -> Response:
    """Seven views side by side; all other latents are those of the glitch."""
    plan = plan_strip(
        session, glitch_id, unit, duration_s=duration, low=low, high=high, checkpoint_id=checkpoint
    )
    return painted_answer(request, plan)


@cluster_router.get(
    "/clusters/{cluster_id}/traversals", summary="Latents that distinguish a cluster"
)
def cluster_units(base: BaseUrl, session: SessionDep, _: Reader, cluster_id: UUID) -> Traversals:
    """By standardised difference from the other glitches. The images start from the medoid."""
    result = cluster_traversals(session, cluster_id)
    return traversals(base, result)


@cluster_router.get("/clusters/{cluster_id}/plane", summary="Members of a cluster in a plane")
def plane(session: SessionDep, _: Reader, cluster_id: UUID) -> Plane:
    """Coordinates along the two leading principal components of their directions."""
    return cluster_plane(session, cluster_id)
