"""What label audits give: frozen dataclasses, never ORM rows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.clusters.records import ClusterRecord
from app.glitches.records import GlitchRecord


@dataclass(frozen=True)
class AuditRecord:
    """One audit of all labels, as it was finished."""

    id: UUID  # of the job that made it
    checkpoint: str  # the model whose latent space was looked at
    n_voters: int  # neighbours asked of each glitch
    n_labelled: int  # labelled glitches with an embedding
    n_audited: int  # those with enough labelled neighbours of their detector and kind
    n_doubtful: int  # findings that still stand: the label is what it was
    author: str
    created_at: datetime
    finished_at: datetime
    is_current: bool  # false where another model serves by now


@dataclass(frozen=True)
class AuditedGlitch:
    """A glitch of which more neighbours carry one other label than carry its own."""

    glitch: GlitchRecord
    suggestion: str  # the commonest label among the neighbours
    n_agreeing: int  # neighbours with the glitch's own label, or a class above or below it
    n_suggesting: int
    n_neighbours: int

    @property
    def margin(self) -> int:
        """Votes by which the suggestion leads; higher deserves a look sooner."""
        return self.n_suggesting - self.n_agreeing


@dataclass(frozen=True)
class AuditedCluster:
    """A cluster whose labelled members do not agree."""

    cluster: ClusterRecord
    label: str  # the commonest among its labelled members
    n_labelled: int
    purity: float  # share of the labelled that carry that label
    score: float  # (1 - purity) x labelled members; higher deserves a look sooner


@dataclass(frozen=True)
class DoubtedClass:
    """A class and how many of its labels an audit doubts."""

    name: str
    n_doubtful: int
    n_labelled: int
