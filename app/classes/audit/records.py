"""Results of label audits, most of them returned by the API."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from pydantic import Field

from app.clusters.records import Cluster
from app.core.model import Model
from app.glitches.records import GlitchRecord


class Audit(Model):
    """One audit of all labels."""

    id: UUID = Field(description="Id of the job that made it.")
    checkpoint: str
    n_voters: int
    n_labelled: int = Field(description="Number of labelled glitches with an embedding.")
    n_audited: int = Field(
        description="Number of glitches with enough labelled neighbours of their detector and kind."
    )
    n_doubtful: int = Field(description="Number of findings whose label has not changed since.")
    author: str
    created_at: datetime
    finished_at: datetime
    is_current: bool = Field(description="False if another model is active now.")


@dataclass(frozen=True)
class AuditedGlitch:
    """A glitch whose neighbours have one other label more often than its own."""

    glitch: GlitchRecord
    suggestion: str  # the most frequent label among the neighbours
    n_agreeing: int  # neighbours with the glitch's own label, or a class above or below it
    n_suggesting: int
    n_neighbours: int

    @property
    def margin(self) -> int:
        """Votes by which the suggestion leads; higher is more doubtful."""
        return self.n_suggesting - self.n_agreeing


class ImpureCluster(Model):
    """A cluster whose labelled members disagree."""

    cluster: Cluster
    label: str = Field(description="Most frequent label among the members.")
    n_labelled: int
    purity: float
    score: float = Field(description="(1 - purity) x labelled members.")


@dataclass(frozen=True)
class DoubtedClass:
    """A class and the number of its labels that an audit doubts."""

    name: str
    n_doubtful: int
    n_labelled: int
