"""`/clusters`: start a clustering, read its result, and review clusters."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import Field

from app.clusters import service
from app.clusters.occurrences import seen_before
from app.clusters.records import Cluster, ClusteringParameters, Run, SeenBefore
from app.clusters.review.log import Action, History, Reviewed
from app.clusters.review.service import history, review
from app.core.model import ListOf, Model
from app.glitches.schemas import Glitch, glitch_item
from app.jobs import schemas as job_schemas
from app.server.request_scope import BaseUrl, Cursor, Reader, Reviewer, SessionDep, Submitter


class NewRun(Model):
    """Parameters of a clustering."""

    fdr: Annotated[float, Field(allow_inf_nan=False)] = Field(
        default=0.1, description="Nominal false-discovery rate of what is flagged, in (0, 1)."
    )
    min_cluster_size: int = Field(default=5, description="Smallest size of a cluster; at least 3.")
    ifo: Annotated[str, Field(max_length=10, pattern=r"^[^\x00]*$")] | None = Field(
        default=None, description="Only this detector."
    )
    scope: Literal["novel", "everything"] = Field(
        default="novel", description="What is flagged as novel, or labelled and unlabelled alike."
    )
    simulated: bool = Field(
        default=False, description="Whether to cluster simulated instead of real glitches."
    )
    dormant_days: int = Field(
        default=60,
        description="Days with data and without a known class after which it counts as dormant; "
        "one that occurs again within as many is reported.",
    )

    def parsed(self) -> ClusteringParameters:
        """The parameters as services take them."""
        same = self.model_dump(exclude={"simulated"})
        return ClusteringParameters(**same, is_simulated=self.simulated)


class Member(Model):
    """A glitch in a cluster."""

    glitch: Glitch
    probability: float = Field(description="Probability of membership, 0 to 1.")
    distance: float = Field(description="Distance to the medoid: chord between directions, 0 to 2.")
    is_exemplar: bool


router = APIRouter(prefix="/clusters", tags=["clusters"])

Limit = Annotated[int, Query(description="How many on a page, 1 to 500.")]


@router.post("/runs", summary="Start a clustering", status_code=202)
def new_run(session: SessionDep, principal: Submitter, body: NewRun) -> job_schemas.Job:
    """Starts a job; its result names the run. Identical requests share one open job."""
    return job_schemas.job(service.start_clustering(session, body.parsed(), principal=principal))


@router.get("/runs", summary="Clusterings, latest first")
def runs(session: SessionDep, _: Reader, limit: Limit = 50, cursor: Cursor = None) -> ListOf[Run]:
    """Figures and findings of each clustering."""
    page = service.list_runs(session, limit=limit, cursor=cursor)
    return ListOf[Run].model_validate(page)


@router.get("", summary="Clusters, largest first")
def clusters(
    *,
    session: SessionDep,
    _: Reader,
    run: Annotated[UUID | None, Query(description="Of this run; default: the latest.")] = None,
    identity: Annotated[
        UUID | None, Query(description="One cluster through all runs; see `identity`.")
    ] = None,
    state: Annotated[str | None, Query(max_length=40)] = None,
    ifo: Annotated[str | None, Query(max_length=10, description="With members of it.")] = None,
    min_size: Annotated[int | None, Query(ge=0, le=2_000_000_000)] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> ListOf[Cluster]:
    """One page; pass `next` as `cursor`, with the same filters, to get the page after it."""
    filters = service.ClusterFilters(state, ifo, min_size)
    page = service.list_clusters(
        session, filters, run_id=run, identity=identity, limit=limit, cursor=cursor
    )
    return ListOf[Cluster].model_validate(page)


@router.get("/{cluster_id}", summary="One cluster")
def cluster(session: SessionDep, _: Reader, cluster_id: UUID) -> Cluster:
    """Nearest classes, times, significance and stability."""
    return service.get_cluster(session, cluster_id)


@router.get("/{cluster_id}/seen-before", summary="Occurrences of this kind over time")
def seen(session: SessionDep, _: Reader, cluster_id: UUID) -> SeenBefore:
    """Glitches of the catalogue, labelled or not, that are as near to the medoid as the members."""
    return seen_before(session, cluster_id)


@router.get("/{cluster_id}/members", summary="The glitches of a cluster")
def members(
    *,
    base: BaseUrl,
    session: SessionDep,
    _: Reader,
    cluster_id: UUID,
    exemplar: Annotated[
        bool | None, Query(description="Only the exemplars, from core to edge.")
    ] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> ListOf[Member]:
    """Ordered by distance from the medoid."""
    page = service.list_members(
        session, cluster_id, is_exemplar=exemplar, limit=limit, cursor=cursor
    )
    shown = [
        Member(**(vars(one) | {"glitch": glitch_item(base, one.glitch)})) for one in page.items
    ]
    return ListOf(items=shown, next=page.next)


ReviewRequest = Annotated[Action, Field(discriminator="action")]


@router.get("/{cluster_id}/history", summary="History of a cluster")
def cluster_history(session: SessionDep, _: Reader, cluster_id: UUID) -> History:
    """Every action with its author, undone ones included, in all clusterings that found it."""
    return History.of(history(session, cluster_id))


@router.post("/{cluster_id}/review", summary="Review a cluster")
def review_cluster(
    session: SessionDep, principal: Reviewer, cluster_id: UUID, body: ReviewRequest
) -> Reviewed:
    """Name, merge, split, dismiss, assign, accept, comment, undo, redo. Needs the role reviewer."""
    return review(session, cluster_id, body, author=principal)
