"""The JSON of clusterings, clusters and the label audit."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from app.clusters.records import ClusteringParameters, MemberRecord
from app.core.model import Model
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


class Member(Model):
    """A glitch in a cluster."""

    glitch: Glitch
    probability: float = Field(description="0 to 1; higher belongs more surely.")
    distance: float = Field(description="To the medoid, chord between directions, 0 to 2.")
    is_exemplar: bool


def member(base: str, record: MemberRecord) -> Member:
    """One member."""
    return Member(
        glitch=render.glitch_item(base, record.glitch),
        probability=record.probability,
        distance=record.distance,
        is_exemplar=record.is_exemplar,
    )
