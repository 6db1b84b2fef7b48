"""The catalogue, a selection of it, or a cluster, as a file: what a reviewer takes elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from uuid import UUID

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse, StreamingResponse
from starlette.background import BackgroundTask

from app.services.clusters.service import get_cluster
from app.services.errors import InvalidRequestError
from app.services.exports.direct import write_export
from app.services.exports.formats import csv_lines, format_named
from app.services.exports.rows import count_rows, export_rows
from app.services.records import GlitchFilters
from app.services.runtime import Runtime
from app.web.deps import ForReaders, PageRoute, RuntimeDep, SessionDep
from app.web.query import parse_catalogue_query

router = APIRouter(route_class=PageRoute)


@router.get("/exports", dependencies=[ForReaders])
def export(
    *,
    request: Request,
    runtime: RuntimeDep,
    session: SessionDep,
    format: str = "csv",  # noqa: A002  (the name in the address)
    cluster: UUID | None = None,
) -> Response:
    """The glitches that pass the catalogue's filters, those of one cluster if one is named."""
    query = parse_catalogue_query(request.query_params)
    if query.errors:
        raise InvalidRequestError(" ".join(query.errors))
    filters, name = query.filters, "glitches"
    if cluster is not None:
        filters = replace(filters, cluster_id=get_cluster(session, cluster).id)
        name = f"cluster-{cluster}"
    wanted = format_named(format)
    file_name = f"{name}.{wanted.suffix}"
    if wanted.name == "csv":
        count_rows(session, filters, most=1)  # refuses senseless filters before the answer begins
        headers = {"Content-Disposition": f'attachment; filename="{file_name}"'}
        lines = _csv(runtime, filters)
        return StreamingResponse(lines, media_type="text/csv", headers=headers)
    path = write_export(session, filters, wanted)
    return FileResponse(
        path,
        media_type=wanted.media_type,
        filename=file_name,
        background=BackgroundTask(path.unlink, missing_ok=True),
    )


def _csv(runtime: Runtime, filters: GlitchFilters) -> Iterator[str]:
    """In a transaction of its own: the request's ends before the answer is sent."""
    with runtime.sessions() as session:
        yield from csv_lines(export_rows(session, filters))
