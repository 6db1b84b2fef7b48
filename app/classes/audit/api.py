"""`/label-audit`: have all labels audited, and read what deserves a second look."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request
from pydantic import Field

from app.classes.audit.records import AuditedCluster as ClusterRecord
from app.classes.audit.records import AuditedGlitch as GlitchRecord
from app.classes.audit.records import AuditRecord
from app.classes.audit.service import (
    VOTERS,
    keep_label,
    latest_audit,
    list_doubtful_glitches,
    list_impure_clusters,
    start_audit,
)
from app.clusters import schemas as cluster_schemas
from app.core import schemas as core_schemas
from app.glitches import render
from app.glitches import schemas as glitch_schemas
from app.jobs import schemas as job_schemas
from app.server import request_scope
from app.server.callers import Cursor, Reader, SessionDep, Submitter

router = APIRouter(prefix="/label-audit", tags=["clusters"])

Limit = Annotated[int, Query(description="How many on a page, 1 to 200.")]
Run = Annotated[UUID | None, Query(description="Clusters of this run; default: the latest.")]
_Name = Annotated[str | None, Query(max_length=100)]


class NewAudit(core_schemas.Model):
    """How to audit."""

    n_voters: int = Field(
        default=VOTERS, description="How many nearest labelled glitches to ask of each, 1 to 50."
    )


class Audit(core_schemas.Model):
    """One audit of all labels."""

    id: UUID = Field(description="Of the job that made it.")
    checkpoint: str
    n_voters: int
    n_labelled: int = Field(description="Labelled glitches with an embedding.")
    n_audited: int = Field(
        description="Those with enough labelled neighbours of their detector and kind."
    )
    n_doubtful: int = Field(description="Findings whose label still is what it was.")
    author: str
    created_at: datetime
    finished_at: datetime
    is_current: bool = Field(description="False where another model serves by now.")


class DoubtfulGlitch(core_schemas.Model):
    """A glitch of which more neighbours carry one other label than carry its own."""

    glitch: glitch_schemas.Glitch
    suggestion: str
    n_agreeing: int
    n_suggesting: int
    n_neighbours: int
    margin: int = Field(description="Votes by which the suggestion leads.")


class ImpureCluster(core_schemas.Model):
    """A cluster whose labelled members do not agree."""

    cluster: cluster_schemas.Cluster
    label: str = Field(description="The commonest among its labelled members.")
    n_labelled: int
    purity: float
    score: float = Field(description="(1 - purity) x labelled members.")


class Summary(core_schemas.Model):
    """The latest audit, and the heads of both lists."""

    audit: Audit | None = Field(description="Null where none was made: `POST /label-audit`.")
    clusters: list[ImpureCluster]
    glitches: list[DoubtfulGlitch]


@router.post("", summary="Audit all labels", status_code=202)
def new_audit(session: SessionDep, principal: Submitter, body: NewAudit) -> job_schemas.Job:
    """Starts a job. The same request while it is open is the same job."""
    return job_schemas.job(start_audit(session, principal=principal, n_voters=body.n_voters))


@router.get("", summary="Labels that deserve a second look")
def label_audit(
    request: Request,
    session: SessionDep,
    _: Reader,
    run: Run = None,
    limit: Limit = 50,
) -> Summary:
    """Impure clusters, and glitches unlike their own label, the most doubtful first."""
    found = latest_audit(session)
    base = request_scope.base_url(request)
    clusters = list_impure_clusters(session, run_id=run, limit=limit)
    glitches = list_doubtful_glitches(session, limit=limit)
    return Summary(
        audit=found and _audit(found),
        clusters=[_cluster(one) for one in clusters.items],
        glitches=[_glitch(base, one) for one in glitches.items],
    )


@router.get("/glitches", summary="Glitches whose neighbours contradict their label")
def doubtful_glitches(
    *,
    request: Request,
    session: SessionDep,
    _: Reader,
    ifo: Annotated[str | None, Query(max_length=10)] = None,
    label: _Name = None,
    suggestion: _Name = None,
    origin: _Name = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> core_schemas.ListOf[DoubtfulGlitch]:
    """Of the latest audit, largest lead of the other label first; not those relabelled since."""
    page = list_doubtful_glitches(
        session,
        ifo=ifo,
        label=label,
        suggestion=suggestion,
        origin=origin,
        limit=limit,
        cursor=cursor,
    )
    base = request_scope.base_url(request)
    return core_schemas.ListOf(items=[_glitch(base, one) for one in page.items], next=page.next)


@router.post("/glitches/{glitch_id}/keep", summary="Say that a label is right", status_code=201)
def keep(session: SessionDep, principal: Submitter, glitch_id: UUID) -> glitch_schemas.Label:
    """No audit lists the glitch again while it has that label. Revoke the answer to undo it."""
    return glitch_schemas.Label.model_validate(keep_label(session, glitch_id, author=principal))


@router.get("/clusters", summary="Clusters whose labelled members disagree")
def impure_clusters(
    session: SessionDep, _: Reader, run: Run = None, limit: Limit = 50, cursor: Cursor = None
) -> core_schemas.ListOf[ImpureCluster]:
    """By (1 - purity) x labelled members, the worst first."""
    page = list_impure_clusters(session, run_id=run, limit=limit, cursor=cursor)
    return core_schemas.ListOf(items=[_cluster(one) for one in page.items], next=page.next)


def _audit(record: AuditRecord) -> Audit:
    return Audit.model_validate(record)


def _glitch(base: str, record: GlitchRecord) -> DoubtfulGlitch:
    return DoubtfulGlitch(
        glitch=render.glitch_item(base, record.glitch),
        suggestion=record.suggestion,
        n_agreeing=record.n_agreeing,
        n_suggesting=record.n_suggesting,
        n_neighbours=record.n_neighbours,
        margin=record.margin,
    )


def _cluster(record: ClusterRecord) -> ImpureCluster:
    return ImpureCluster(
        cluster=cluster_schemas.Cluster.model_validate(record.cluster),
        label=record.label,
        n_labelled=record.n_labelled,
        purity=record.purity,
        score=record.score,
    )
