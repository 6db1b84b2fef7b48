"""What the model makes of a glitch or a cluster: painted views, and which latents say something."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from app.core.model import Model
from app.models.pictures import plan_comparison, plan_strip
from app.models.records import Plane
from app.models.traversals import (
    TraversalRanges,
    cluster_plane,
    cluster_traversals,
    glitch_traversals,
)
from app.server.answers import painted_answer
from app.server.request_scope import BaseUrl, Reader, SessionDep
from glitch.traversals import UnitRange, steps_between


class Unit(Model):
    """One latent."""

    unit: int
    value: float = Field(description="Of the glitch, or of the medoid.")
    steps: list[float] = Field(description="The value of each view in the strip.")
    others: tuple[float, float] = Field(description="Middle nine tenths of the other glitches.")
    group: tuple[float, float] | None = Field(description="Middle nine tenths of the members.")
    difference: float | None = Field(
        description="Standardised difference of the means; above 0: higher in the cluster."
    )
    nats: float | None = Field(description="How much it says about the glitch.")
    picture: str


class Traversals(Model):
    """What to move, and what cannot be moved."""

    glitch_id: UUID = Field(description="Whose vector the strips start from.")
    checkpoint: str
    units: list[Unit] = Field(description="The most telling first.")
    n_active: int
    dead: list[int] = Field(description="Latents that hardly move between any two glitches.")
    n_others: int = Field(description="Glitches compared with; a sample where there are many.")
    reason: str | None = Field(description="Why there are none.")


def traversals(base: str, found: TraversalRanges) -> Traversals:
    """As the API answers it."""
    known = {name: getattr(found, name) for name in Traversals.model_fields.keys() - {"units"}}
    return Traversals(**known, units=[_unit(base, found, one) for one in found.ranges])


def _unit(base: str, found: TraversalRanges, one: UnitRange) -> Unit:
    query = f"low={one.low:.4g}&high={one.high:.4g}&checkpoint={found.checkpoint_id}"
    known = {name: getattr(one, name) for name in Unit.model_fields.keys() - {"steps", "picture"}}
    return Unit(
        **known,
        steps=list(steps_between(one.low, one.high)),
        picture=f"{base}/glitches/{found.glitch_id}/traversals/{one.unit}.png?{query}",
    )


router = APIRouter(tags=["glitches"])
cluster_router = APIRouter(tags=["clusters"])

Duration = Annotated[float, Field(gt=0, le=60)]
Checkpoint = Annotated[
    int | None, Query(ge=1, le=2**31 - 1, description="Its number; default: the active one.")
]
_PNG = {200: {"content": {"image/png": {}}}, 304: {"description": "Not changed"}}


@router.get(
    "/glitches/{glitch_id}/reconstruction/{duration}.png",
    summary="One view as the model paints it",
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
    checkpoint: Checkpoint = None,
) -> Response:
    """From the posterior mean, in the colours of the view; rows that were not measured are grey."""
    plan = plan_comparison(session, glitch_id, duration, "reconstruction", checkpoint)
    return painted_answer(request, plan)


@router.get(
    "/glitches/{glitch_id}/residual/{duration}.png",
    summary="What was seen less what the model paints",
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
    checkpoint: Checkpoint = None,
) -> Response:
    """White is zero, red louder than painted, blue fainter; the ends are 10.2 of energy."""
    plan = plan_comparison(session, glitch_id, duration, "residual", checkpoint)
    return painted_answer(request, plan)


@router.get("/glitches/{glitch_id}/traversals", summary="Which latents say most about a glitch")
def glitch_units(base: BaseUrl, session: SessionDep, _: Reader, glitch_id: UUID) -> Traversals:
    """Each with the strip of views that shows what it does, under the active checkpoint."""
    found = glitch_traversals(session, glitch_id)
    return traversals(base, found)


@router.get(
    "/glitches/{glitch_id}/traversals/{unit}.png",
    summary="Views painted while one latent moves",
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
    checkpoint: Checkpoint = None,
) -> Response:
    """Seven views beside each other, all other latents as the glitch has them."""
    plan = plan_strip(
        session, glitch_id, unit, duration_s=duration, low=low, high=high, checkpoint_id=checkpoint
    )
    return painted_answer(request, plan)


@cluster_router.get(
    "/clusters/{cluster_id}/traversals", summary="Which latents set a cluster apart"
)
def cluster_units(base: BaseUrl, session: SessionDep, _: Reader, cluster_id: UUID) -> Traversals:
    """By standardised difference from the other glitches; the strips start from the medoid."""
    found = cluster_traversals(session, cluster_id)
    return traversals(base, found)


@cluster_router.get(
    "/clusters/{cluster_id}/plane", summary="Where the members of a cluster lie in a plane"
)
def plane(session: SessionDep, _: Reader, cluster_id: UUID) -> Plane:
    """Along the two leading principal components of their directions, to split a cluster by eye."""
    return cluster_plane(session, cluster_id)
