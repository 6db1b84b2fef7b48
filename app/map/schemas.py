"""The map as JSON: how it stands, what is asked for, labels given in bulk."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import Field

from app.core.schemas import ClassName, Model
from app.jobs.schemas import Job, job
from app.map.bulk import MOST_AT_ONCE
from app.map.records import LAID_OUT_AT_MOST, BulkLabelRecord, MapState


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


class Projection(Model):
    """A map that was drawn."""

    id: int
    n_laid_out: int = Field(description="Glitches that UMAP laid out itself.")
    n_points: int
    author: str
    created_at: datetime


class State(Model):
    """How the map stands."""

    checkpoint: str
    projection: Projection | None = Field(description="null: it was not drawn yet.")
    n_embedded: int
    n_unplaced: int = Field(description="Glitches that are not on it yet.")
    job: Job | None = Field(description="What is at work on it, or why it failed.")


class Selection(Model):
    """Glitches to label at once."""

    glitch_ids: list[UUID] = Field(min_length=1, max_length=MOST_AT_ONCE)
    label: ClassName = Field(description="The name of a class; GET /classes lists them.")


class BulkLabel(Model):
    """Labels that were given at once."""

    id: UUID
    label: str
    n_glitches: int
    author: str
    created_at: datetime
    undone_at: datetime | None
    undone_by: str | None


def state(found: MapState) -> State:
    """The record as JSON."""
    return State(
        checkpoint=found.checkpoint,
        projection=found.projection and Projection.model_validate(found.projection),
        n_embedded=found.n_embedded,
        n_unplaced=found.n_unplaced,
        job=None if found.job is None else job(found.job),
    )


def bulk_label(record: BulkLabelRecord) -> BulkLabel:
    """The record as JSON."""
    return BulkLabel(
        id=record.id,
        label=record.class_name,
        n_glitches=record.n_glitches,
        author=record.author,
        created_at=record.created_at,
        undone_at=record.undone_at,
        undone_by=record.undone_by,
    )
