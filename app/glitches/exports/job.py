"""The job of kind ``export``: write parts of some ten thousand rows, then join them.

A part is written under a temporary name and renamed, so that a killed worker leaves no incomplete
part. Parts are read at different times, so a glitch labelled meanwhile may appear with its former
label.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from app.core.storage import arriving_file, storage_of
from app.glitches.exports.service import (
    about_cluster,
    clean_up_exports,
    export_ids,
    export_rows,
    filters_from_json,
    folder_of,
    format_named,
    result_path,
)
from app.jobs.records import Chunk, ChunkPlan, ChunkResult, JobContext, JobRecord
from glitch.tables.exports.columns import FETCHED

PART_ROWS = 20_000


class ExportHandler:
    """The ``JobHandler`` of exports; it has no state."""

    def plan(self, session: Session, job: JobRecord, context: JobContext) -> Iterator[ChunkPlan]:
        """Plan ranges of ids of the glitches that pass, and remove outdated exports."""
        keep = timedelta(hours=context.settings.keep_exports_hours)
        clean_up_exports(session, context.data_dir, keep)
        filters = filters_from_json(job.parameters["filters"])
        with closing(export_ids(session, filters, PART_ROWS)) as parts:
            for ids in parts:
                context.heartbeat()
                yield ChunkPlan({"first": str(ids[0]), "last": str(ids[-1])}, units=len(ids))

    def run_chunk(
        self, session: Session, job: JobRecord, chunk: Chunk, context: JobContext
    ) -> ChunkResult:
        """Write the rows of one range."""
        export_format = format_named(job.parameters["format"])
        id_range = UUID(chunk.payload["first"]), UUID(chunk.payload["last"])
        filters = filters_from_json(job.parameters["filters"])
        path = folder_of(context.data_dir, job.id) / f"part-{chunk.ordinal:08d}.done"
        path.parent.mkdir(parents=True, exist_ok=True)
        with (
            closing(
                export_rows(
                    session,
                    filters,
                    base=context.settings.base_url,
                    within=id_range,
                    with_latents=export_format.has_latents,
                )
            ) as rows,
            arriving_file(path.parent) as (_, part),
        ):
            export_format.write_part(_with_heartbeat(rows, context), part)
            part.replace(path)
        storage_of(context.data_dir).keep(path)
        return ChunkResult()

    def finish(self, session: Session, job: JobRecord, context: JobContext) -> Mapping[str, Any]:
        """Join the parts to one file, and return where to fetch it."""
        export_format = format_named(job.parameters["format"])
        path = result_path(context.data_dir, job.id, export_format)
        path.parent.mkdir(parents=True, exist_ok=True)
        storage = storage_of(context.data_dir)
        names = storage.names(path.parent)
        parts = [path.parent / name for name in names if name.endswith(".done")]
        if parts or path.name not in names:  # otherwise an earlier attempt joined them
            for part in parts:
                storage.fetch(part)
                context.heartbeat()
            filters = filters_from_json(job.parameters["filters"])
            with arriving_file(path.parent) as (_, whole):
                export_format.join(parts, whole, about_cluster(session, filters))
                whole.replace(path)
            storage.keep(path)
            context.heartbeat()
        storage.fetch(path)
        for part in parts:
            storage.remove(part)
        kept_until = datetime.now(UTC) + timedelta(hours=context.settings.keep_exports_hours)
        return {
            "format": export_format.name,
            "rows": job.total,
            "bytes": path.stat().st_size,
            "href": f"/exports/{job.id}",
            "kept_until": kept_until.isoformat(timespec="minutes"),
        }


def _with_heartbeat(rows: Iterable[Any], context: JobContext) -> Iterator[Any]:
    """Yield the rows, with a heartbeat for each block."""
    for number, row in enumerate(rows):
        if number % FETCHED == 0:
            context.heartbeat()
        yield row
