"""Responses that are files: images, exports and the map, for API and pages."""

import tempfile
from collections.abc import Generator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from uuid import UUID

from fastapi import Request, Response
from fastapi.responses import FileResponse, StreamingResponse
from sqlalchemy.orm import Session
from starlette.background import BackgroundTask

from app.glitches.exports.service import (
    about_cluster,
    count_rows,
    export_file,
    export_rows,
    refuse_large,
)
from app.glitches.records import GlitchFilters
from app.map.columns import coding_for, files_of_version, headers_for, is_known, stream
from app.map.records import MapFiles
from app.models.pictures import PicturePlan
from app.server.admission import AdmittedStream
from app.server.request_scope import runtime_of
from app.server.runtime import Runtime
from glitch.tables.exports.formats import Format, csv_lines


def write_export(session: Session, filters: GlitchFilters, file_format: Format, base: str) -> Path:
    """Write the glitches that pass the filters to a temporary file, which the caller removes.

    ``base`` is the address of the service, for links to the glitches' pages.
    """
    refuse_large(session, filters, file_format)
    with tempfile.TemporaryDirectory(prefix="glitch-export-") as folder:
        part = Path(folder) / "part"
        with closing(
            export_rows(session, filters, base=base, with_latents=file_format.has_latents)
        ) as rows:
            file_format.write_part(rows, part)
        with tempfile.NamedTemporaryFile(prefix="glitch-export-", delete=False) as file:
            path = Path(file.name)
        try:
            file_format.join([part], path, about_cluster(session, filters))
        except BaseException:
            path.unlink(missing_ok=True)
            raise
    return path


_BINARY = "application/octet-stream"


def painted_answer(request: Request, plan: PicturePlan) -> Response:
    """Return the picture as a PNG, or 304 if the client already has it."""
    # The picture at this address changes with the active checkpoint, so clients revalidate.
    headers = {"ETag": plan.etag, "Cache-Control": "private, no-cache"}
    if plan.etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    encoder = runtime_of(request).encoders.get(plan.checkpoint)
    content = plan.draw(encoder.painter)
    return Response(content, media_type="image/png", headers=headers)


def export_answer(
    runtime: Runtime, session: Session, filters: GlitchFilters, file_format: Format, name: str
) -> Response:
    """Return a file download of the glitches that pass the filters.

    CSV is streamed in constant memory for any number of rows; other formats are written first.
    """
    file_name = f"{name}.{file_format.suffix}"
    if file_format.is_streamed:
        count_rows(session, filters, most=1)  # refuses invalid filters before the response begins
        return AdmittedStream(
            runtime.admissions.tables,
            _csv(runtime, filters),
            media_type="text/csv",
            headers={"Content-Disposition": f'attachment; filename="{file_name}"'},
        )
    path = write_export(session, filters, file_format, runtime.settings.base_url)
    return FileResponse(
        path,
        media_type=file_format.media_type,
        filename=file_name,
        background=BackgroundTask(path.unlink, missing_ok=True),
    )


def exported_answer(runtime: Runtime, session: Session, job_id: UUID) -> FileResponse:
    """Return the file written by an export job."""
    settings = runtime.settings
    keep = timedelta(hours=settings.keep_exports_hours)
    path, file_format, until = export_file(session, job_id, settings.data_dir, keep)
    return FileResponse(
        path,
        media_type=file_format.media_type,
        filename=f"glitches.{file_format.suffix}",
        headers={"Expires": until.strftime("%a, %d %b %Y %H:%M:%S GMT")},
    )


def map_answer(request: Request, files: MapFiles) -> Response:
    """Return the points of the map in a coding that the client accepts, or 304 if it has them."""
    coding = coding_for(request.headers.get("accept-encoding", ""))
    headers = headers_for(files, coding)
    if is_known(request.headers.get("if-none-match", ""), files, coding):
        return Response(status_code=304, headers=headers)
    return StreamingResponse(stream(files.points, coding), media_type=_BINARY, headers=headers)


def map_ids_answer(runtime: Runtime, version: str) -> FileResponse:
    """Return the ids of a map version's points, which never change."""
    path = files_of_version(runtime.settings.data_dir, version).ids
    headers = {"Cache-Control": "private, max-age=86400"}
    return FileResponse(path, media_type=_BINARY, headers=headers)


def _csv(runtime: Runtime, filters: GlitchFilters) -> Generator[str]:
    """Yield CSV rows in a separate transaction, because the request's ends before sending."""
    base = runtime.settings.base_url
    with runtime.sessions() as session, closing(export_rows(session, filters, base=base)) as rows:
        yield from csv_lines(rows)
