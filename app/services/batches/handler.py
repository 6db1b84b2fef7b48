"""The job kind ``ingest``: plan a batch, read and store it chunk by chunk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.services.batches.keeping import clear_work, upload_path, work_folder
from app.services.batches.open_data import OpenData, open_data_folder
from app.services.batches.options import BatchOptions
from app.services.batches.planning import (
    CONTENT,
    PICTURES,
    REFUSED,
    STACK,
    TRIGGERS,
    BatchPlanner,
)
from app.services.batches.reading import (
    ReadGlitch,
    StrainRoots,
    read_arrays,
    read_pictures,
    read_stack,
    read_triggers,
)
from app.services.checkpoints import active_checkpoint, hold_active_checkpoint
from app.services.errors import BusyError, ConflictError, InvalidRequestError
from app.services.ingest import insert_glitch
from app.services.jobs.records import Chunk, JobRecord
from app.services.jobs.registry import ChunkPlan, ChunkResult, ItemResult, JobContext
from app.services.labels import append_label
from app.services.novelty import request_judging
from app.services.projection.service import request_placing
from app.services.records import (
    CheckpointRecord,
    EncodingLike,
    GlitchMetadata,
    Principal,
    Role,
)
from app.services.upload import ParsedUpload
from app.store.job_models import JobItem

if TYPE_CHECKING:
    from glitch.views import Preprocessing

LABEL_SOURCE = "batch"


class IngestHandler:
    """A ``JobHandler``; holds nothing between calls."""

    def plan(self, session: Session, job: JobRecord, context: JobContext) -> Iterator[ChunkPlan]:
        """The batch's glitches in chunks; what is refused comes last, each with its reason."""
        folder = work_folder(context.data_dir, job.id)
        options = BatchOptions.from_json(job.parameters)
        yield from BatchPlanner(session, options, context, folder).chunks()

    def run_chunk(
        self, session: Session, job: JobRecord, chunk: Chunk, context: JobContext
    ) -> ChunkResult:
        """Read, encode together, store one by one."""
        if chunk.payload["kind"] == REFUSED:
            return ChunkResult(_refused(chunk))
        checkpoint = active_checkpoint(session)
        encoder = context.encoder(checkpoint.digest)
        results: list[ItemResult] = []
        good: list[tuple[ReadGlitch, ParsedUpload]] = []
        for read in _read(job, chunk, context, encoder.preprocessing):
            if read.upload is None:
                reason = read.failure or "It cannot be read."
                results.append(ItemResult(read.position, "failed", reason))
            else:
                good.append((read, read.upload))
            context.heartbeat()
        encodings = encoder.encode([upload.views for _, upload in good])
        context.heartbeat()
        if hold_active_checkpoint(session).id != checkpoint.id:
            raise BusyError("Another checkpoint became active meanwhile: this part is done again.")
        origin = job.parameters.get("origin") or chunk.payload.get("origin")
        author = Principal(UUID(int=0), job.author, Role.SUBMITTER)
        for (read, upload), encoding in zip(good, encodings, strict=True):
            one = _store(
                session,
                read,
                upload,
                encoding,
                checkpoint=checkpoint,
                origin=origin,
                author=author,
            )
            results.append(one)
            context.heartbeat()
        return ChunkResult(results)

    def finish(self, session: Session, job: JobRecord, context: JobContext) -> Mapping[str, Any]:
        """How many glitches the batch has; what was unpacked goes unless a retry could need it."""
        counts = session.execute(
            select(JobItem.state, func.count())
            .where(JobItem.job_id == job.id)
            .group_by(JobItem.state)
        )
        by_state = {state: count for state, count in counts}  # noqa: C416  (rows are no pairs)
        if not by_state.get("failed"):
            clear_work(context.data_dir, job.id)
        request_placing(session)  # on the map, if there is one
        if by_state.get("done"):
            request_judging(session, job.author)  # what came first had little to be judged by
        return {
            "stored": by_state.get("done", 0),
            "known": by_state.get("skipped", 0),
            "failed": by_state.get("failed", 0),
        }


HANDLER = IngestHandler()


def _read(
    job: JobRecord, chunk: Chunk, context: JobContext, preprocessing: Preprocessing
) -> Iterator[ReadGlitch]:
    options = BatchOptions.from_json(job.parameters)
    folder = work_folder(context.data_dir, job.id)
    payload = chunk.payload
    source: Path = (
        folder / CONTENT
        if payload["is_unpacked"]
        else upload_path(context.data_dir, options.upload)
    )
    if payload["kind"] == STACK:
        path = folder / payload["stack"] if "stack" in payload else source
        positions = [item.position for item in chunk.items]
        yield from read_stack(path, payload["start"], positions, options.ifo, preprocessing)
        return
    glitches = [(item.position, payload["glitches"][item.position]) for item in chunk.items]
    if payload["kind"] == TRIGGERS:
        url = context.settings.gwosc_url
        roots = StrainRoots(
            folder,
            context.settings.strain_dir,
            OpenData(url, open_data_folder(context.data_dir), options.sample_rate_hz)
            if url
            else None,
            options.channel,
            options.sample_rate_hz,
            context.settings.device,
        )
        yield from read_triggers(roots, glitches, preprocessing)
    elif payload["kind"] == PICTURES:
        pictures = [one for one in glitches if "members" in one[1]]
        arrays = [one for one in glitches if "file" in one[1]]
        yield from read_pictures(source, pictures, preprocessing)
        yield from read_arrays(folder, arrays, preprocessing)


def _refused(chunk: Chunk) -> list[ItemResult]:
    return [
        ItemResult(item.position, "skipped" if one["is_harmless"] else "failed", one["reason"])
        for item in chunk.items
        for one in [chunk.payload["glitches"][item.position]]
    ]


def _store(
    session: Session,
    read: ReadGlitch,
    upload: ParsedUpload,
    encoding: EncodingLike,
    *,
    checkpoint: CheckpointRecord,
    origin: str | None,
    author: Principal,
) -> ItemResult:
    """Store one glitch; what contradicts the catalogue is undone alone."""
    metadata = GlitchMetadata(
        origin=origin or ("gravityspy" if upload.gravityspy_id else "upload"),
        ifo=upload.ifo,
        channel=upload.channel,
        gps_time=upload.gps_time,
        snr=upload.snr,
        peak_frequency=upload.peak_frequency,
        duration=upload.duration,
        bandwidth=upload.bandwidth,
        q=upload.q,
        gravityspy_id=upload.gravityspy_id,
    )
    try:
        with session.begin_nested():
            stored = insert_glitch(
                session,
                views=upload.views,
                encoding=encoding,
                checkpoint=checkpoint,
                metadata=metadata,
            )
    except (InvalidRequestError, ConflictError) as error:
        return ItemResult(read.position, "failed", str(error))
    notes = [read.note] if read.note else []
    if read.label is not None and stored.glitch.label != read.label:
        try:
            with session.begin_nested():
                append_label(
                    session, stored.glitch.id, read.label, author=author, source=LABEL_SOURCE
                )
        except (InvalidRequestError, ConflictError) as error:
            notes.append(f"Stored without its label: {error}")
    if not stored.is_new:
        notes.insert(0, "It was known already.")
    state = "done" if stored.is_new else "skipped"
    return ItemResult(read.position, state, " ".join(notes) or None, stored.glitch.id)
