"""What the services of clusters take and give: frozen dataclasses, never ORM rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from app.clusters.findings import Finding
from app.clusters.tables import SCOPES
from app.core.errors import InvalidRequestError
from app.glitches.records import GlitchRecord
from app.glitches.selection import check_ifo
from glitch.clustering import LEAST_CLUSTER_SIZE
from glitch.novelty.false_discovery import MAY_BE_CHANCE, check_fdr

LARGEST_MIN_CLUSTER_SIZE = 10_000
DORMANT_DAYS = 60
MOST_DORMANT_DAYS = 10_000


@dataclass(frozen=True)
class ClusteringParameters:
    """What to cluster and how."""

    fdr: float = 0.1  # nominal false-discovery rate of what is flagged as novel
    min_cluster_size: int = 5
    ifo: str | None = None  # only this detector; all if None
    scope: str = "novel"  # or "everything": labelled and not, novel or not
    is_simulated: bool = False  # the simulated glitches, else the real ones
    dormant_days: int = DORMANT_DAYS  # days with data and without a class: then it is dormant

    def check(self) -> None:
        """Refuse what no clustering can be made with.

        Raises:
            InvalidRequestError: with the value that would do.
            GlitchError: if the false-discovery rate is none.
        """
        check_fdr(self.fdr)
        if not LEAST_CLUSTER_SIZE <= self.min_cluster_size <= LARGEST_MIN_CLUSTER_SIZE:
            raise InvalidRequestError(
                f"The minimum cluster size must lie between {LEAST_CLUSTER_SIZE} and "
                f"{LARGEST_MIN_CLUSTER_SIZE}, not {self.min_cluster_size}."
            )
        if not 1 <= self.dormant_days <= MOST_DORMANT_DAYS:
            raise InvalidRequestError(
                f"dormant_days must lie between 1 and {MOST_DORMANT_DAYS}, not "
                f"{self.dormant_days}: 60 days with data are usual.",
                field="dormant_days",
            )
        if self.ifo is not None:
            check_ifo(self.ifo)
        if self.scope not in SCOPES:
            raise InvalidRequestError(
                f"There is no scope {self.scope[:40]!r}: give one of {', '.join(SCOPES)}."
            )


@dataclass(frozen=True)
class RunRecord:
    """One clustering of the catalogue."""

    id: UUID
    job_id: UUID | None
    checkpoint_id: int
    previous_run_id: UUID | None
    scope: str
    ifo: str | None
    is_simulated: bool
    fdr: float
    min_cluster_size: int
    p_threshold: float | None  # the largest p-value flagged; None if nothing was
    n_judged: int
    n_unjudged: int
    n_flagged: int
    n_clustered: int
    n_noise: int
    n_clusters: int
    findings: tuple[Finding, ...]
    author: str
    created_at: datetime

    @property
    def detail(self) -> str:
        """What was found, in sentences."""
        return " ".join(one.sentence for one in self.findings)


@dataclass(frozen=True)
class ClusterRecord:
    """Glitches that look alike, as one run found them."""

    id: UUID
    run_id: UUID
    identity: UUID  # the same for the same cluster in every run
    previous_id: UUID | None
    overlap: float | None  # Jaccard index with the previous one; higher is more the same
    size: int
    stability: float  # in [0, 1]; higher is more stable
    significance: float | None  # chance that known glitches alone give it; lower is rarer
    medoid_id: UUID | None
    state: str  # one of app.clusters.tables.CLUSTER_STATES
    summary: Mapping[str, Any]
    created_at: datetime

    @property
    def may_be_chance(self) -> bool:
        """Whether known glitches alone would give as many now and then."""
        return self.significance is not None and self.significance > MAY_BE_CHANCE


@dataclass(frozen=True)
class MemberRecord:
    """A glitch in a cluster."""

    glitch: GlitchRecord
    probability: float  # in [0, 1]; higher belongs more surely
    distance: float  # to the medoid, chord between directions, 0 to 2
    is_exemplar: bool
