"""`/map`: every glitch as a point, in columns; draw the map; label a selection."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import FileResponse, StreamingResponse
from pydantic import Field, model_validator

from app.clusters.chosen import cluster_by_hand
from app.core.model import ClassName, ListOf, Model
from app.jobs import schemas as job_schemas
from app.map.columns import map_files
from app.map.records import MAX_LAID_OUT, BulkLabel, Projection
from app.map.region import Region, resolve
from app.map.service import (
    MAX_AT_ONCE,
    label_selection,
    list_bulk_labels,
    map_state,
    start_drawing,
    start_placing,
    undo_selection,
)
from app.server.answers import map_answer, map_ids_answer
from app.server.request_scope import Reader, Reviewer, RuntimeDep, SessionDep, Submitter


class MapOrder(Model):
    """What to do with the map."""

    act: Literal["draw", "place"] = Field(
        default="draw",
        description="`draw`: lay everything out again; `place`: add newcomers, moving nothing.",
    )
    sample: int = Field(
        default=MAX_LAID_OUT,
        ge=0,
        le=2_000_000_000,
        description="For `draw`: how many glitches UMAP lays out itself; the others join them.",
    )


class State(Model):
    """State of the map."""

    checkpoint: str
    projection: Projection | None = Field(description="Null if it has not been drawn yet.")
    n_embedded: int
    n_unplaced: int = Field(description="Number of glitches not on it yet.")
    job: job_schemas.Job | None = Field(
        description="Its current job, or the last one if it failed."
    )


class Points(Model):
    """Glitches, by their ids or by a region of the map."""

    glitch_ids: list[UUID] | None = Field(default=None, min_length=1, max_length=MAX_AT_ONCE)
    region: Region | None = Field(default=None, description="Alternative to ids.")

    @model_validator(mode="after")
    def _are_meant_once(self) -> Self:
        if (self.glitch_ids is None) == (self.region is None):
            raise ValueError("give either glitch_ids or region")
        return self


class Selection(Points):
    """Glitches to label at once."""

    label: ClassName = Field(description="The name of a class; GET /classes lists them.")
    is_new: bool = Field(
        default=False, description="Whether to create the class; an undo withdraws it."
    )


class PointsFound(Model):
    """The glitches of a region."""

    n_glitches: int
    glitch_ids: list[UUID]


class NewCluster(Model):
    """A cluster made by hand."""

    id: UUID = Field(description="As in GET /clusters/{id}.")


router = APIRouter(prefix="/map", tags=["map"])

_FILE: dict[int | str, dict[str, Any]] = {200: {"content": {"application/octet-stream": {}}}}


@router.post("", summary="Draw the map, or place new glitches on it", status_code=202)
def order(session: SessionDep, principal: Submitter, body: MapOrder) -> job_schemas.Job:
    """Starts a job. Identical requests share one open job; the old map stays in use."""
    if body.act == "place":
        return job_schemas.job(start_placing(session, principal=principal))
    return job_schemas.job(start_drawing(session, principal=principal, sample=body.sample))


@router.get("/state", summary="State of the map")
def state(session: SessionDep, _: Reader) -> State:
    """Whether there is a map, how many glitches it lacks, and its current job."""
    current = map_state(session)
    job = None if current.job is None else job_schemas.job(current.job)
    return State(**(vars(current) | {"n_unplaced": current.n_unplaced, "job": job}))


@router.get("", summary="All points, in columns", response_class=StreamingResponse, responses=_FILE)
def points(request: Request, runtime: RuntimeDep, session: SessionDep, _: Reader) -> Response:
    """One little-endian buffer with a JSON header that describes it. The response has an ETag."""
    return map_answer(request, map_files(session, runtime.settings.data_dir))


@router.get("/ids", summary="The ids of the points", response_class=FileResponse, responses=_FILE)
def ids(
    runtime: RuntimeDep,
    _: Reader,
    version: Annotated[str, Query(max_length=64, description="`version` of the points' header.")],
) -> Response:
    """16 bytes for each glitch, in the order of the points of this version."""
    return map_ids_answer(runtime, version)


@router.post("/region", summary="The glitches of a region")
def region(runtime: RuntimeDep, _: Reader, body: Region) -> PointsFound:
    """Glitches within a polygon of this version of the map, except those left out."""
    chosen = resolve(runtime.settings.data_dir, body)
    return PointsFound(n_glitches=len(chosen.ids), glitch_ids=chosen.ids)


@router.post("/labels", summary="Label a selection", status_code=201)
def label(
    runtime: RuntimeDep, session: SessionDep, principal: Reviewer, body: Selection
) -> BulkLabel:
    """All of them or none, in one transaction that can be undone."""
    ids = _ids(runtime.settings.data_dir, body)
    return label_selection(session, ids, body.label, reviewer=principal, is_new=body.is_new)


@router.post("/clusters", summary="Make a selection a cluster", status_code=201)
def cluster(
    runtime: RuntimeDep, session: SessionDep, principal: Reviewer, body: Points
) -> NewCluster:
    """It is reviewed with the clusters of the latest clustering."""
    ids = _ids(runtime.settings.data_dir, body)
    return NewCluster(id=cluster_by_hand(session, ids, author=principal))


@router.get("/labels", summary="Labelled selections, latest first")
def labelled(
    session: SessionDep,
    _: Reader,
    limit: Annotated[int, Query(ge=1, le=500, description="How many, 1 to 500.")] = 50,
) -> ListOf[BulkLabel]:
    """With author, and who undid them."""
    return ListOf(items=list(list_bulk_labels(session, limit=limit)))


@router.post("/labels/{bulk_id}/undo", summary="Undo the labels of a selection")
def undo(session: SessionDep, principal: Reviewer, bulk_id: UUID) -> BulkLabel:
    """Each glitch has its former label again, unless it was labelled since."""
    return undo_selection(session, bulk_id, reviewer=principal)


def _ids(data_dir: Path, points: Points) -> list[UUID]:
    if points.region is not None:
        return resolve(data_dir, points.region).ids
    return points.glitch_ids or []
