"""`/label-audit`: start an audit of all labels and read its findings."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import Field

from app.classes.audit import service
from app.classes.audit.records import Audit, AuditedGlitch, ImpureCluster
from app.core.model import ListOf, Model
from app.glitches import schemas as glitch_schemas
from app.glitches.records import Label
from app.jobs import schemas as job_schemas
from app.server.request_scope import BaseUrl, Cursor, Reader, SessionDep, Submitter

router = APIRouter(prefix="/label-audit", tags=["clusters"])

Limit = Annotated[int, Query(description="How many on a page, 1 to 200.")]
Run = Annotated[UUID | None, Query(description="Clusters of this run; default: the latest.")]
_Name = Annotated[str | None, Query(max_length=100)]


class NewAudit(Model):
    """Parameters of an audit."""

    n_voters: int = Field(
        default=service.VOTERS,
        description="Number of nearest labelled glitches that vote on each, 1 to 50.",
    )


class Keep(Model):
    """The label to confirm."""

    label: str | None = Field(
        default=None,
        max_length=100,
        description="The label shown to you; the answer is 409 if the glitch has another by now. "
        "Default: its current label.",
    )


class DoubtfulGlitch(Model):
    """A glitch whose neighbours have one other label more often than its own."""

    glitch: glitch_schemas.Glitch
    suggestion: str
    n_agreeing: int
    n_suggesting: int
    n_neighbours: int
    margin: int = Field(description="Number of votes by which the suggested label leads.")


class Summary(Model):
    """The latest audit, and the first entries of both lists."""

    audit: Audit | None = Field(description="Null where none was made: `POST /label-audit`.")
    clusters: list[ImpureCluster]
    glitches: list[DoubtfulGlitch]


@router.post("", summary="Audit all labels", status_code=202)
def new_audit(session: SessionDep, principal: Submitter, body: NewAudit) -> job_schemas.Job:
    """Starts a job. Identical requests share one open job."""
    return job_schemas.job(
        service.start_audit(session, principal=principal, n_voters=body.n_voters)
    )


@router.get("", summary="Labels that deserve a second look")
def label_audit(
    base: BaseUrl, session: SessionDep, _: Reader, run: Run = None, limit: Limit = 50
) -> Summary:
    """Impure clusters, and glitches unlike their own label, the most doubtful first."""
    clusters = service.list_impure_clusters(session, run_id=run, limit=limit)
    glitches = service.list_doubtful_glitches(session, limit=limit)
    return Summary(
        audit=service.latest_audit(session),
        clusters=list(clusters.items),
        glitches=[_glitch(base, one) for one in glitches.items],
    )


@router.get("/glitches", summary="Glitches whose neighbours contradict their label")
def doubtful_glitches(
    *,
    base: BaseUrl,
    session: SessionDep,
    _: Reader,
    ifo: Annotated[str | None, Query(max_length=10)] = None,
    label: _Name = None,
    suggestion: _Name = None,
    origin: _Name = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> ListOf[DoubtfulGlitch]:
    """Of the latest audit, largest lead of the other label first; not those relabelled since."""
    page = service.list_doubtful_glitches(
        session,
        ifo=ifo,
        label=label,
        suggestion=suggestion,
        origin=origin,
        limit=limit,
        cursor=cursor,
    )
    return ListOf(items=[_glitch(base, one) for one in page.items], next=page.next)


@router.post("/glitches/{glitch_id}/keep", summary="Confirm a label", status_code=201)
def keep(
    session: SessionDep, principal: Submitter, glitch_id: UUID, body: Keep | None = None
) -> Label:
    """No audit lists the glitch again while it has this label. Revoking the answer undoes it."""
    shown = None if body is None else body.label
    return service.keep_label(session, glitch_id, shown, author=principal)


@router.get("/clusters", summary="Clusters whose labelled members disagree")
def impure_clusters(
    session: SessionDep, _: Reader, run: Run = None, limit: Limit = 50, cursor: Cursor = None
) -> ListOf[ImpureCluster]:
    """By (1 - purity) x labelled members, the worst first."""
    page = service.list_impure_clusters(session, run_id=run, limit=limit, cursor=cursor)
    return ListOf[ImpureCluster].model_validate(page)


def _glitch(base: str, record: AuditedGlitch) -> DoubtfulGlitch:
    known = vars(record) | {"glitch": glitch_schemas.glitch_item(base, record.glitch)}
    return DoubtfulGlitch(**known, margin=record.margin)
