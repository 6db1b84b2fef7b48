"""`/exports`: the catalogue as a file for gwpy and other tools, directly or as a job."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Response
from fastapi.responses import FileResponse, StreamingResponse
from pydantic import Field

from app.glitches.api import Filters
from app.glitches.exports.service import format_named, start_export
from app.jobs import schemas as job_schemas
from app.server.answers import export_answer, exported_answer
from app.server.request_scope import Reader, RuntimeDep, SessionDep, Submitter, TablePlace

router = APIRouter(prefix="/exports", tags=["catalogue"])

_CONTENT: dict[str, dict[str, str]] = {
    "text/csv": {},
    "application/x-hdf5": {},
    "application/xml": {},
}


class ExportQuery(Filters):
    """Filters and format."""

    format: Literal["csv", "hdf5", "ligolw"] = Field(
        default="csv", description="csv, hdf5 or ligolw."
    )


@router.get(
    "",
    summary="The catalogue as a table",
    response_class=StreamingResponse,
    responses={200: {"content": _CONTENT}},
    dependencies=[TablePlace],
)
def export(
    runtime: RuntimeDep, session: SessionDep, _: Reader, query: Annotated[ExportQuery, Query()]
) -> Response:
    """Takes the filters of `GET /glitches`; columns have Gravity Spy's names, latest stored last.

    CSV has any number of rows. The other formats are refused above 50,000 rows: use `POST
    /exports`.
    """
    return export_answer(runtime, session, query.parsed(), format_named(query.format), "glitches")


@router.post("", summary="Export the catalogue as a job", status_code=202)
def new_export(session: SessionDep, principal: Submitter, body: ExportQuery) -> job_schemas.Job:
    """Takes the filters of `GET /glitches` as JSON. The job's result states where the file is.

    Identical requests share one job while it is open.
    """
    return job_schemas.job(start_export(session, body.parsed(), body.format, principal=principal))


@router.get(
    "/{job_id}",
    summary="The file of an export",
    response_class=FileResponse,
    responses={200: {"content": _CONTENT}},
)
def exported(runtime: RuntimeDep, session: SessionDep, _: Reader, job_id: UUID) -> FileResponse:
    """The file of an export job, kept for a limited time. 409 while the job is running."""
    return exported_answer(runtime, session, job_id)
