"""Records of the map's services."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from uuid import UUID

from pydantic import Field

from app.core.model import Model
from app.jobs.records import JobRecord

KIND = "project"
SEED = 20_160_601  # of UMAP, so that equal catalogues give equal maps
MAX_LAID_OUT = 50_000  # glitches that UMAP lays out; the others are placed among them
MIN_GLITCHES = 3  # glitches that a map needs


class Projection(Model):
    """A drawn map."""

    id: int
    checkpoint_id: int = Field(exclude=True)
    n_laid_out: int = Field(description="Glitches that UMAP laid out itself.")
    n_points: int
    author: str
    created_at: datetime


@dataclass(frozen=True)
class MapState:
    """The current map, how many glitches it lacks, and the job that changes it."""

    checkpoint: str
    projection: Projection | None  # None if none was drawn for the active checkpoint
    n_embedded: int
    job: JobRecord | None  # the latest job, if it is open or failed

    @property
    def n_unplaced(self) -> int:
        """Number of glitches in the catalogue that are not on the map yet."""
        return max(0, self.n_embedded - (self.projection.n_points if self.projection else 0))


@dataclass(frozen=True)
class MapFiles:
    """The columns of a map, stored on disk under their version."""

    version: str  # changes when the content changes
    points: Path  # zstd-compressed
    ids: Path  # 16 bytes per glitch, in the order of the points


class BulkLabel(Model):
    """Labels given to a selection in one action."""

    id: UUID
    label: str
    n_glitches: int
    author: str
    created_at: datetime
    undone_at: datetime | None
    undone_by: str | None
