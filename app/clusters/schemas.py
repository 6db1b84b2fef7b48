"""The JSON of clusterings, clusters and the label audit."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from app.clusters.records import ClusteringParameters, MemberRecord, RunRecord
from app.core.schemas import Model
from app.glitches import render
from app.glitches.schemas import Glitch


class NewRun(Model):
    """What to cluster and how."""

    fdr: Annotated[float, Field(allow_inf_nan=False)] = Field(
        default=0.1, description="Nominal false-discovery rate of what is flagged, in (0, 1)."
    )
    min_cluster_size: int = Field(
        default=5, description="Fewer glitches are no cluster; 3 or more."
    )
    ifo: Annotated[str, Field(max_length=10, pattern=r"^[^\x00]*$")] | None = Field(
        default=None, description="Only this detector."
    )
    scope: Literal["novel", "everything"] = Field(
        default="novel", description="What is flagged as novel, or labelled and unlabelled alike."
    )
    simulated: bool = Field(default=False, description="The simulated glitches, not the real ones.")
    dormant_days: int = Field(
        default=60,
        description="Days with data and without a known class after which it counts as dormant; "
        "one that occurs again within as many is reported.",
    )

    def parsed(self) -> ClusteringParameters:
        """The parameters as services take them."""
        return ClusteringParameters(
            fdr=self.fdr,
            min_cluster_size=self.min_cluster_size,
            ifo=self.ifo,
            scope=self.scope,
            is_simulated=self.simulated,
            dormant_days=self.dormant_days,
        )


class Run(Model):
    """One clustering of the catalogue."""

    id: UUID
    job_id: UUID | None
    previous_run_id: UUID | None = Field(description="The one it was compared with.")
    scope: str
    ifo: str | None
    is_simulated: bool
    fdr: float
    min_cluster_size: int
    p_threshold: float | None = Field(description="The largest p-value that was flagged.")
    n_judged: int = Field(description="Unlabelled glitches that were tested for novelty.")
    n_unjudged: int = Field(description="That could not be.")
    n_flagged: int
    n_clustered: int
    n_noise: int = Field(description="Clustered glitches that are in no cluster.")
    n_clusters: int
    detail: str = Field(description="What was found and what was left out, in sentences.")
    findings: list[dict[str, Any]] = Field(
        description="The same as records: `kind` says which other fields there are."
    )
    author: str
    created_at: datetime


class Cluster(Model):
    """Glitches that look alike, as one run found them."""

    id: UUID
    run_id: UUID
    identity: UUID = Field(description="The same for the same cluster in every run.")
    previous_id: UUID | None = Field(description="The same cluster in the run before.")
    overlap: float | None = Field(description="Jaccard index with it; higher is more the same.")
    size: int
    stability: float = Field(description="0 to 1; higher is more stable.")
    significance: float | None = Field(
        description="Chance that known glitches alone give as many; lower is rarer."
    )
    may_be_chance: bool = Field(description="Whether that chance is above 0.01.")
    medoid_id: UUID | None
    state: str = Field(description="flagged, promoted, merged, dismissed, or split.")
    summary: dict[str, Any] = Field(
        description="Detectors, times, rate, nearest classes, how often it occurs."
    )
    created_at: datetime


class Member(Model):
    """A glitch in a cluster."""

    glitch: Glitch
    probability: float = Field(description="0 to 1; higher belongs more surely.")
    distance: float = Field(description="To the medoid, chord between directions, 0 to 2.")
    is_exemplar: bool


class TimeBin(Model):
    """A stretch of time."""

    gps_start: float
    gps_end: float
    count: int = Field(description="Glitches that look like the cluster.")
    total: int = Field(description="All glitches of the catalogue then.")


class RunCount(Model):
    """An observing run."""

    observing_run: str
    count: int
    total: int


class SeenBefore(Model):
    """How often a look occurred."""

    threshold: float = Field(description="Cosine distance to the medoid within which it is alike.")
    count: int
    untimed: int = Field(description="Of them without a GPS time, in no bin.")
    width_s: float = Field(description="Of a bin: a minute, hour, day, week, month or year.")
    bins: list[TimeBin] = Field(description="Without gaps over the catalogue's GPS range.")
    runs: list[RunCount]


def run(record: RunRecord) -> Run:
    """One clustering."""
    fields = {name: one for name, one in vars(record).items() if name != "checkpoint_id"}
    found = [one.as_json() for one in record.findings]
    return Run(**fields | {"detail": record.detail, "findings": found})


def member(base: str, record: MemberRecord) -> Member:
    """One member."""
    return Member(
        glitch=render.glitch_item(base, record.glitch),
        probability=record.probability,
        distance=record.distance,
        is_exemplar=record.is_exemplar,
    )
