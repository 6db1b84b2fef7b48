"""Records of checkpoints."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import Field

from app.core.model import Model


class Checkpoint(Model):
    """A published model."""

    name: str
    digest: str
    preprocessing_digest: str
    latent_size: int
    is_active: bool
    created_at: datetime
    manifest: dict[str, Any]


class CheckpointRecord(Checkpoint):
    """The same with its number in the database."""

    id: int


class Point(Model):
    """One member."""

    id: UUID
    x: float
    y: float
    distance: float = Field(description="Distance to the medoid.")
    snr: float | None
    peak_frequency: float | None
    gps_time: float | None
    ifo: str | None


class Plane(Model):
    """Members in the plane, from the medoid outwards."""

    points: list[Point]
    shares: tuple[float, float] = Field(description="Shares of the variance along x and y.")
    size: int = Field(
        description="Size of the cluster; larger than the number of points if it is very large."
    )
