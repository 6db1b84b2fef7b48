"""The map as JSON: how it stands, what is asked for, labels given in bulk."""

from __future__ import annotations

from typing import Literal, Self
from uuid import UUID

from pydantic import Field, model_validator

from app.core.model import ClassName, Model
from app.jobs.schemas import Job, job
from app.map.bulk import MOST_AT_ONCE
from app.map.records import LAID_OUT_AT_MOST, MapState, Projection
from app.map.region import Region


class MapOrder(Model):
    """What a worker is to do."""

    act: Literal["draw", "place"] = Field(
        default="draw",
        description="`draw`: lay everything out again; `place`: add newcomers, moving nothing.",
    )
    sample: int = Field(
        default=LAID_OUT_AT_MOST,
        ge=0,
        le=2_000_000_000,
        description="For `draw`: how many glitches UMAP lays out itself; the others join them.",
    )


class State(Model):
    """How the map stands."""

    checkpoint: str
    projection: Projection | None = Field(description="null: it was not drawn yet.")
    n_embedded: int
    n_unplaced: int = Field(description="Glitches that are not on it yet.")
    job: Job | None = Field(description="What is at work on it, or why it failed.")


class Points(Model):
    """Glitches, by their ids or by a region of the map."""

    glitch_ids: list[UUID] | None = Field(default=None, min_length=1, max_length=MOST_AT_ONCE)
    region: Region | None = Field(default=None, description="Instead of ids.")

    @model_validator(mode="after")
    def _are_meant_once(self) -> Self:
        if (self.glitch_ids is None) == (self.region is None):
            raise ValueError("give either glitch_ids or region")
        return self


class Selection(Points):
    """Glitches to label at once."""

    label: ClassName = Field(description="The name of a class; GET /classes lists them.")
    is_new: bool = Field(default=False, description="Make the class; an undo takes it back too.")


class PointsFound(Model):
    """The glitches of a region."""

    n_glitches: int
    glitch_ids: list[UUID]


class NewCluster(Model):
    """A cluster that was put together."""

    id: UUID = Field(description="GET /clusters/{id} has it.")


def state(found: MapState) -> State:
    """The record as JSON."""
    return State(
        checkpoint=found.checkpoint,
        projection=found.projection,
        n_embedded=found.n_embedded,
        n_unplaced=found.n_unplaced,
        job=None if found.job is None else job(found.job),
    )
