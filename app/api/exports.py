"""`GET /exports`: the catalogue as a file that gwpy and others read."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response
from fastapi.responses import FileResponse, StreamingResponse
from pydantic import Field
from starlette.background import BackgroundTask

from app.api.deps import Reader, RuntimeDep, SessionDep
from app.api.glitches import Filters
from app.services.exports import csv_lines, export_rows, write_hdf5
from app.services.records import GlitchFilters
from app.services.runtime import Runtime

router = APIRouter(tags=["catalogue"])


class ExportQuery(Filters):
    """Which glitches, in which format."""

    format: Literal["csv", "hdf5"] = Field(default="csv", description="csv or hdf5.")


@router.get(
    "/exports",
    summary="The catalogue as a table",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/csv": {}, "application/x-hdf5": {}}}},
)
def export(
    runtime: RuntimeDep,
    session: SessionDep,
    _: Reader,
    query: Annotated[ExportQuery, Query()],
) -> Response:
    """The filters of `GET /glitches`; columns in Gravity Spy's names, by time of storing.

    It streams in bounded memory whatever the number of rows, so that no job is needed.
    """
    filters = query.parsed()
    rows = export_rows(session, filters)  # refuses senseless filters before the answer begins
    if query.format == "csv":
        name = "attachment; filename=glitches.csv"
        return StreamingResponse(
            _csv(runtime, filters), media_type="text/csv", headers={"Content-Disposition": name}
        )
    with tempfile.NamedTemporaryFile(prefix="glitch-export-", suffix=".h5", delete=False) as file:
        path = Path(file.name)
    try:
        write_hdf5(rows, path)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return FileResponse(
        path,
        media_type="application/x-hdf5",
        filename="glitches.h5",
        background=BackgroundTask(path.unlink, missing_ok=True),
    )


def _csv(runtime: Runtime, filters: GlitchFilters) -> Iterator[str]:
    """In a transaction of its own: the request's ends before the answer is sent."""
    with runtime.sessions() as session:
        yield from csv_lines(export_rows(session, filters))
