"""`/clusters`: have the catalogue clustered, look at what came out."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request

from app.clusters import schemas as cluster_schemas
from app.clusters.occurrences import seen_before
from app.clusters.records import Cluster, Run, SeenBefore
from app.clusters.service import (
    get_cluster,
    list_clusters,
    list_members,
    list_runs,
    start_clustering,
)
from app.core.model import ListOf
from app.jobs import schemas as job_schemas
from app.server import request_scope
from app.server.callers import Cursor, Reader, SessionDep, Submitter

router = APIRouter(prefix="/clusters", tags=["clusters"])

Limit = Annotated[int, Query(description="How many on a page, 1 to 500.")]


@router.post("/runs", summary="Cluster what is novel", status_code=202)
def new_run(
    session: SessionDep, principal: Submitter, body: cluster_schemas.NewRun
) -> job_schemas.Job:
    """Starts a job; its result names the run. The same request while it is open is the same job."""
    return job_schemas.job(start_clustering(session, body.parsed(), principal=principal))


@router.get("/runs", summary="Clusterings, latest first")
def runs(session: SessionDep, _: Reader, limit: Limit = 50, cursor: Cursor = None) -> ListOf[Run]:
    """What each flagged and found, in figures and in sentences."""
    page = list_runs(session, limit=limit, cursor=cursor)
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
    page = list_clusters(
        session,
        run_id=run,
        identity=identity,
        state=state,
        ifo=ifo,
        min_size=min_size,
        limit=limit,
        cursor=cursor,
    )
    return ListOf[Cluster].model_validate(page)


@router.get("/{cluster_id}", summary="One cluster")
def cluster(session: SessionDep, _: Reader, cluster_id: UUID) -> Cluster:
    """Where it lies, when it occurs, how sure it is."""
    return get_cluster(session, cluster_id)


@router.get("/{cluster_id}/seen-before", summary="How often this look occurred, over time")
def seen(session: SessionDep, _: Reader, cluster_id: UUID) -> SeenBefore:
    """Glitches of the whole catalogue, labelled or not, that are as near to its middle as it is."""
    return seen_before(session, cluster_id)


@router.get("/{cluster_id}/members", summary="The glitches of a cluster")
def members(
    *,
    request: Request,
    session: SessionDep,
    _: Reader,
    cluster_id: UUID,
    exemplar: Annotated[
        bool | None, Query(description="Only the few that show it from core to edge.")
    ] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> ListOf[cluster_schemas.Member]:
    """From the medoid outwards."""
    page = list_members(session, cluster_id, is_exemplar=exemplar, limit=limit, cursor=cursor)
    base = request_scope.base_url(request)
    return ListOf(items=[cluster_schemas.member(base, one) for one in page.items], next=page.next)
