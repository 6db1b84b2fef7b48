"""Export pages: the catalogue, a selection of it, or a cluster, as a file."""

from dataclasses import replace
from uuid import UUID

from fastapi import APIRouter, Response
from sqlalchemy.orm import Session

from app.clusters.service import get_cluster
from app.core.errors import InvalidRequestError
from app.frame.deps import ForReaders, PageRoute, SubmitterVisit
from app.frame.failures import see_other
from app.glitches.exports.service import format_named, start_export
from app.glitches.pages.query import AddressedQuery, CatalogueQuery
from app.glitches.records import GlitchFilters
from app.jobs.pages.view import job_href
from app.server.answers import export_answer, exported_answer
from app.server.request_scope import RuntimeDep, SessionDep, TablePlace

router = APIRouter(route_class=PageRoute)


@router.get("/exports", dependencies=[TablePlace, ForReaders])
def export(
    *,
    runtime: RuntimeDep,
    session: SessionDep,
    query: AddressedQuery,
    format: str = "csv",  # noqa: A002  (the name in the address)
    cluster: UUID | None = None,
) -> Response:
    """Export the glitches that pass the catalogue's filters, or those of one cluster."""
    filters, name = _selection(query, session, cluster)
    return export_answer(runtime, session, filters, format_named(format), name)


@router.post("/exports")
def start(
    visit: SubmitterVisit,
    query: AddressedQuery,
    format: str = "csv",  # noqa: A002
    cluster: UUID | None = None,
) -> Response:
    """Start a job that writes a large file; the job's page links to the file."""
    filters, _ = _selection(query, visit.session, cluster)
    job = start_export(visit.session, filters, format, principal=visit.principal)
    return see_other(job_href(job), done="export")


@router.get("/exports/{job_id}", dependencies=[ForReaders])
def exported(runtime: RuntimeDep, session: SessionDep, job_id: UUID) -> Response:
    """The file of an export job; its page links here while the file is kept."""
    return exported_answer(runtime, session, job_id)


def _selection(
    query: CatalogueQuery, session: Session, cluster: UUID | None
) -> tuple[GlitchFilters, str]:
    """Filters of the requested selection, and the name of its file."""
    if query.errors:
        raise InvalidRequestError(" ".join(query.errors))
    if cluster is None:
        return query.filters, "glitches"
    cluster_id = get_cluster(session, cluster).id
    return replace(query.filters, cluster_id=cluster_id), f"cluster-{cluster_id}"
