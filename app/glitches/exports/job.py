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
from app.jobs.records import Chunk, ChunkPlan, ChunkResult, Work
from glitch.tables.exports.columns import FETCHED

PART_ROWS = 20_000


class ExportHandler:
    """The ``JobHandler`` of exports; it has no state."""

    def plan(self, work: Work) -> Iterator[ChunkPlan]:
        """Plan ranges of ids of the glitches that pass, and remove outdated exports."""
        keep = timedelta(hours=work.settings.keep_exports_hours)
        clean_up_exports(work.session, work.data_dir, keep)
        filters = filters_from_json(work.job.parameters["filters"])
        with closing(export_ids(work.session, filters, PART_ROWS)) as parts:
            for ids in parts:
                work.heartbeat()
                yield ChunkPlan({"first": str(ids[0]), "last": str(ids[-1])}, units=len(ids))

    def run_chunk(self, work: Work, chunk: Chunk) -> ChunkResult:
        """Write the rows of one range."""
        export_format = format_named(work.job.parameters["format"])
        id_range = UUID(chunk.payload["first"]), UUID(chunk.payload["last"])
        filters = filters_from_json(work.job.parameters["filters"])
        path = folder_of(work.data_dir, work.job.id) / f"part-{chunk.ordinal:08d}.done"
        path.parent.mkdir(parents=True, exist_ok=True)
        with (
            closing(
                export_rows(
                    work.session,
                    filters,
                    base=work.settings.base_url,
                    within=id_range,
                    with_latents=export_format.has_latents,
                )
            ) as rows,
            arriving_file(path.parent) as (_, part),
        ):
            export_format.write_part(_with_heartbeat(rows, work), part)
            part.replace(path)
        storage_of(work.data_dir).keep(path)
        return ChunkResult()

    def finish(self, work: Work) -> Mapping[str, Any]:
        """Join the parts to one file, and return where to fetch it."""
        export_format = format_named(work.job.parameters["format"])
        path = result_path(work.data_dir, work.job.id, export_format)
        path.parent.mkdir(parents=True, exist_ok=True)
        storage = storage_of(work.data_dir)
        names = storage.names(path.parent)
        parts = [path.parent / name for name in names if name.endswith(".done")]
        if parts or path.name not in names:  # otherwise an earlier attempt joined them
            for part in parts:
                storage.fetch(part)
                work.heartbeat()
            filters = filters_from_json(work.job.parameters["filters"])
            with arriving_file(path.parent) as (_, whole):
                export_format.join(parts, whole, about_cluster(work.session, filters))
                whole.replace(path)
            storage.keep(path)
            work.heartbeat()
        storage.fetch(path)
        for part in parts:
            storage.remove(part)
        kept_until = datetime.now(UTC) + timedelta(hours=work.settings.keep_exports_hours)
        return {
            "format": export_format.name,
            "rows": work.job.total,
            "bytes": path.stat().st_size,
            "href": f"/exports/{work.job.id}",
            "kept_until": kept_until.isoformat(timespec="minutes"),
        }


def _with_heartbeat(rows: Iterable[Any], work: Work) -> Iterator[Any]:
    """Yield the rows, with a heartbeat for each block."""
    for number, row in enumerate(rows):
        if number % FETCHED == 0:
            work.heartbeat()
        yield row
