"""Records of the cluster services, most of them returned by the API."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import Field

from app.clusters.tables import SCOPES
from app.core.errors import InvalidRequestError, check_choice
from app.core.model import Model
from app.glitches.records import GlitchRecord
from app.glitches.selection import check_ifo
from glitch.clustering import MIN_CLUSTER_SIZE
from glitch.novelty.false_discovery import check_fdr

LARGEST_MIN_CLUSTER_SIZE = 10_000
DORMANT_DAYS = 60
MAX_DORMANT_DAYS = 10_000


@dataclass(frozen=True)
class ClusteringParameters:
    """Parameters of a clustering."""

    fdr: float = 0.1  # nominal false-discovery rate of what is flagged as novel
    min_cluster_size: int = 5
    ifo: str | None = None  # only this detector; all if None
    scope: str = "novel"  # or "everything": labelled or not, novel or not
    is_simulated: bool = False  # cluster simulated instead of real glitches
    dormant_days: int = DORMANT_DAYS  # days with data, but without a class: then it is dormant

    def of_run(self) -> dict[str, Any]:
        """Return those that are stored with the run."""
        return {name: value for name, value in vars(self).items() if name != "dormant_days"}

    def check(self) -> None:
        """Refuse parameters with which no clustering is possible."""
        check_fdr(self.fdr)
        if not MIN_CLUSTER_SIZE <= self.min_cluster_size <= LARGEST_MIN_CLUSTER_SIZE:
            raise InvalidRequestError(
                f"The minimum cluster size must lie between {MIN_CLUSTER_SIZE} and "
                f"{LARGEST_MIN_CLUSTER_SIZE}, not {self.min_cluster_size}."
            )
        if not 1 <= self.dormant_days <= MAX_DORMANT_DAYS:
            raise InvalidRequestError(
                f"dormant_days must lie between 1 and {MAX_DORMANT_DAYS}, not "
                f"{self.dormant_days}: 60 days with data are usual.",
                field="dormant_days",
            )
        if self.ifo is not None:
            check_ifo(self.ifo)
        check_choice(self.scope, SCOPES, "scope")


def population(scope: str, ifo: str | None, *, is_simulated: bool) -> str:
    """Say what a run clusters, for example "H1" or "all detectors (labelled or not)"."""
    kind = ifo or "all detectors"
    if is_simulated:
        kind = f"simulated {ifo or 'glitches'}"
    return kind if scope == "novel" else f"{kind} (labelled or not)"


class Run(Model):
    """One clustering of the catalogue."""

    id: UUID
    job_id: UUID | None
    checkpoint_id: int = Field(exclude=True)
    previous_run_id: UUID | None = Field(
        description="The earlier clustering that it was compared with."
    )
    scope: str
    ifo: str | None
    is_simulated: bool
    fdr: float
    min_cluster_size: int
    p_threshold: float | None = Field(description="The largest p-value that was flagged.")
    n_judged: int = Field(description="Unlabelled glitches that were tested for novelty.")
    n_unjudged: int = Field(description="Unlabelled glitches that could not be tested.")
    n_flagged: int
    n_clustered: int
    n_noise: int = Field(description="Clustered glitches that are in no cluster.")
    n_clusters: int
    detail: str = Field(description="Findings and omissions, in sentences.")
    findings: list[dict[str, Any]] = Field(
        description="The same as records: `kind` says which other fields there are."
    )
    author: str
    created_at: datetime


class Cluster(Model):
    """Similar glitches, as one clustering found them."""

    id: UUID
    run_id: UUID
    identity: UUID = Field(description="Equal for the same cluster in every clustering.")
    previous_id: UUID | None = Field(
        description="The same cluster in the latest earlier clustering of its kind that found it."
    )
    overlap: float | None = Field(
        description="Jaccard index with the previous cluster; 1 means equal."
    )
    size: int
    stability: float = Field(description="0 to 1; higher is more stable.")
    significance: float | None = Field(
        description="Probability that known glitches alone give as many; lower is rarer. For a "
        "part of a cluster that a reviewer's decision divided, that of the whole."
    )
    may_be_chance: bool = Field(description="Whether `significance` is above 0.01.")
    fdr: float | None = Field(
        description="False-discovery rate at which its members were flagged; null if they were not "
        "tested (a clustering of everything) or the cluster was made by hand."
    )
    trust: str | None = Field(
        description="How far the cluster can be trusted: times, windows, faint members, "
        "nearest classes."
    )
    doubt: str | None = Field(
        description="Why the false-discovery rate of its run may not hold: the labels seem not to "
        "be a fair sample, or changed and were not used for judging yet. Null if no check failed, "
        "which proves nothing."
    )
    medoid_id: UUID | None
    state: str = Field(description="flagged, promoted, merged, dismissed, or split.")
    summary: dict[str, Any] = Field(description="Detectors, times, rate and nearest classes.")
    created_at: datetime


@dataclass(frozen=True)
class MemberRecord:
    """A glitch in a cluster."""

    glitch: GlitchRecord
    probability: float  # of membership, in [0, 1]
    distance: float  # to the medoid, chord between directions, 0 to 2
    is_exemplar: bool


class TimeBin(Model):
    """A bin of time."""

    gps_start: float
    gps_end: float
    count: int = Field(description="Number of glitches like the cluster.")
    total: int = Field(description="Number of all glitches of the catalogue.")


class RunCount(Model):
    """An observing run, or the break before, between or after them."""

    observing_run: str
    count: int
    total: int


class SeenBefore(Model):
    """Occurrences of a kind of glitch."""

    threshold: float = Field(
        description="Cosine distance to the medoid within which a glitch counts."
    )
    count: int
    untimed: int = Field(description="Number without GPS time, in no bin.")
    width_s: float = Field(description="Width of a bin: a minute, hour, day, week, month or year.")
    bins: tuple[TimeBin, ...] = Field(description="Without gaps over the catalogue's GPS range.")
    runs: tuple[RunCount, ...]
