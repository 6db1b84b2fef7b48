"""Records of the map's services."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from uuid import UUID

from pydantic import Field

from app.core.model import Model
from app.jobs.records import JobRecord

KIND = "project"
SEED = 20_160_601  # of UMAP: the same catalogue, the same map
LAID_OUT_AT_MOST = 50_000  # glitches that UMAP itself lays out; the others join them
FEWEST = 3  # glitches below which a map says nothing


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
    """Whether there is a map, how far it is behind the catalogue, and what is done about it."""

    checkpoint: str
    projection: Projection | None  # None: none was drawn for the active checkpoint
    n_embedded: int
    job: JobRecord | None  # one that is open, or else the latest if it failed

    @property
    def n_unplaced(self) -> int:
        """Glitches of the catalogue that are not on the map yet."""
        return max(0, self.n_embedded - (self.projection.n_points if self.projection else 0))


@dataclass(frozen=True)
class MapFiles:
    """The columns of a map, built and kept on disk under the version that they show."""

    version: str  # changes with whatever the columns show
    points: Path  # zstd-compressed
    ids: Path  # 16 bytes a glitch, in the order of the points


class BulkLabel(Model):
    """Labels given to a selection in one action."""

    id: UUID
    label: str
    n_glitches: int
    author: str
    created_at: datetime
    undone_at: datetime | None
    undone_by: str | None
