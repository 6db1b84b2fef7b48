"""The job kind ``ingest``: plan a batch, read and store it chunk by chunk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.batches.datafind import DataFind
from app.batches.open_data import OpenData, open_data_folder
from app.batches.options import BatchOptions
from app.batches.payload import (
    BATCH_CHUNK,
    NotReadChunk,
    OfPictures,
    OfTrigger,
    OfViews,
    ReadChunk,
    StackChunk,
    StoredChunk,
    TableChunk,
    TriggersChunk,
)
from app.batches.planning import CONTENT, BatchPlanner
from app.batches.reading import (
    ReadGlitch,
    StrainRoots,
    read_arrays,
    read_fetched,
    read_pictures,
    read_stack,
    read_triggers,
)
from app.batches.storage import clear_work, upload_path, work_folder
from app.batches.strain_index import UPLOADED
from app.batches.wanted import Wanted
from app.classes.naming import plain_class_name
from app.core.access import Principal, Role
from app.core.errors import BusyError, ConflictError, InvalidRequestError, ServiceError
from app.core.storage import storage_of
from app.glitches.data_quality import add_flags
from app.glitches.ingest import NewGlitch, insert_glitches
from app.glitches.labels import append_labels
from app.glitches.records import GlitchMetadata, StoredGlitch
from app.glitches.selection import get_glitches
from app.glitches.upload import ParsedUpload, parse_scales
from app.jobs.records import Chunk, ChunkPlan, ChunkResult, ItemResult, JobContext, JobRecord
from app.jobs.tables import JobItem
from app.map.service import request_placing
from app.models.checkpoints import active_checkpoint, hold_active
from app.novelty import request_judging
from glitch.novelty import Judgement

if TYPE_CHECKING:
    from glitch.views import Preprocessing

LABEL_SOURCE = "batch"
_NOT_JUDGED_AGAIN = Judgement(None, None, False, "Nothing was stored, so nothing was judged.")


class IngestHandler:
    """A ``JobHandler``; holds nothing between calls."""

    def plan(self, session: Session, job: JobRecord, context: JobContext) -> Iterator[ChunkPlan]:
        """The batch's glitches in chunks; what is refused comes last, each with its reason."""
        folder = work_folder(context.data_dir, job.id)
        options = BatchOptions(**job.parameters)
        yield from BatchPlanner(session, options, context, folder).chunks()
        storage_of(context.data_dir).keep(folder)

    def run_chunk(
        self, session: Session, job: JobRecord, chunk: Chunk, context: JobContext
    ) -> ChunkResult:
        """Read, encode and store together; one that cannot be spoils no other."""
        planned = BATCH_CHUNK.validate_python(chunk.payload)
        if isinstance(planned, NotReadChunk):
            return ChunkResult(_not_read(chunk, planned))
        if isinstance(planned, StoredChunk):
            return ChunkResult(_known(session, chunk, planned, job.author))
        options = BatchOptions(**job.parameters)
        checkpoint = active_checkpoint(session)
        encoder = context.encoder(checkpoint.digest)
        results: list[ItemResult] = []
        good: list[tuple[ReadGlitch, ParsedUpload]] = []
        for read in _read(job, chunk, planned, context, encoder.preprocessing):
            if read.upload is None:
                reason = read.failure or "It cannot be read."
                results.append(ItemResult(read.position, "failed", reason))
            else:
                good.append((read, read.upload))
            context.heartbeat()
        encodings = encoder.encode([upload.views for _, upload in good])
        context.heartbeat()
        if not hold_active(session, checkpoint.id):
            raise BusyError("Another checkpoint became active meanwhile: this part is done again.")
        origin = job.parameters.get("origin")
        stored = insert_glitches(
            session,
            [
                NewGlitch(upload.views, encoding, _metadata(upload, origin or read.origin))
                for (read, upload), encoding in zip(good, encodings, strict=True)
            ],
            checkpoint=checkpoint,
        )
        context.heartbeat()
        reads = [read for read, _ in good]
        refused = _label(session, reads, stored, job.author, options.references)
        _mark(session, reads, stored)
        results += _told(reads, stored, refused)
        return ChunkResult(results)

    def finish(self, session: Session, job: JobRecord, context: JobContext) -> Mapping[str, Any]:
        """How many glitches the batch has; what was unpacked goes unless a retry could need it."""
        counts = session.execute(
            select(JobItem.state, func.count(), func.count(JobItem.glitch_id))
            .where(JobItem.job_id == job.id)
            .group_by(JobItem.state)
        ).all()
        by_state = {state: count for state, count, _ in counts}
        known = {state: glitches for state, _, glitches in counts}.get("skipped", 0)
        if not by_state.get("failed"):
            clear_work(context.data_dir, job.id)
        request_placing(session)  # on the map, if there is one
        if by_state.get("done"):
            request_judging(session, job.author)  # what came first had little to be judged by
        return {
            "stored": by_state.get("done", 0),
            "known": known,  # without what was passed over, such as an operating system's litter
            "failed": by_state.get("failed", 0),
        }


HANDLER = IngestHandler()


def _read(
    job: JobRecord,
    chunk: Chunk,
    planned: ReadChunk,
    context: JobContext,
    preprocessing: Preprocessing,
) -> Iterator[ReadGlitch]:
    options = BatchOptions(**job.parameters)
    folder = work_folder(context.data_dir, job.id)
    storage = storage_of(context.data_dir)
    if planned.is_unpacked:
        source = folder / CONTENT
        storage.fetch(source)
    else:
        source = upload_path(context.data_dir, options.upload)
    positions = [item.position for item in chunk.items]
    for name in _unpacked(planned, positions):
        storage.fetch(folder / name)
    if isinstance(planned, StackChunk):
        path = folder / planned.stack if planned.stack else source
        yield from read_stack(path, planned.start, positions, options.ifo, preprocessing)
    elif isinstance(planned, TriggersChunk):
        settings = context.settings
        remote: list[DataFind | OpenData] = []
        if settings.datafind_url:
            remote.append(DataFind(settings.datafind_url, settings.frame_types))
        if settings.gwosc_url:
            kept_in = open_data_folder(context.data_dir)
            remote.append(OpenData(settings.gwosc_url, kept_in, options.sample_rate_hz))
        roots = StrainRoots(
            folder,
            context.settings.strain_dir,
            remote,
            options.channel,
            options.sample_rate_hz,
            context.settings.device,
            options.centre,
        )
        triggers = [(at, planned.glitches[at]) for at in positions]
        yield from read_triggers(roots, triggers, preprocessing)
    elif isinstance(planned, TableChunk):
        if options.references is not None:
            rows = [(at, planned.glitches[at]) for at in positions]
            yield from read_fetched(options.references.picture_host, rows, preprocessing)
    else:
        asked = [(at, planned.glitches[at]) for at in positions]
        pictures = [(at, one) for at, one in asked if isinstance(one, OfPictures)]
        arrays = [(at, one) for at, one in asked if isinstance(one, OfViews)]
        scales = parse_scales(options.energy_max, options.frequency_range)
        yield from read_pictures(source, pictures, preprocessing, scales)
        yield from read_arrays(folder, arrays, preprocessing)


def _unpacked(planned: ReadChunk, positions: Sequence[int]) -> set[str]:
    """Files that the planning unpacked and these glitches of a chunk need."""
    if isinstance(planned, StackChunk):
        return {planned.stack} if planned.stack else set()
    names: set[str] = set()
    for one in (planned.glitches[at] for at in positions):
        if isinstance(one, OfViews):
            names.add(one.file)
        elif isinstance(one, OfTrigger) and not isinstance(one.strain, str):
            names |= {place.path for place in one.strain if place.root == UPLOADED}
    return names


def _not_read(chunk: Chunk, planned: NotReadChunk) -> list[ItemResult]:
    return [
        ItemResult(item.position, "skipped" if one.is_harmless else "failed", one.reason)
        for item in chunk.items
        for one in [planned.glitches[item.position]]
    ]


def _known(
    session: Session, chunk: Chunk, planned: StoredChunk, author_name: str
) -> list[ItemResult]:
    """Rows of our own exports: nothing is stored again; a label that was changed is given."""
    rows = {item.position: planned.glitches[item.position] for item in chunk.items}
    found = {one.id: one for one in get_glitches(session, [row.glitch for row in rows.values()])}
    results: list[ItemResult] = []
    reads: list[ReadGlitch] = []
    stored: list[StoredGlitch | ServiceError] = []
    for position, row in rows.items():
        glitch = found.get(row.glitch)
        if glitch is None:
            reason = "The glitch was deleted meanwhile: send the batch again."
            results.append(ItemResult(position, "failed", reason))
            continue
        about = row.model_dump(include={"label", "confidence", "data_quality"})
        reads.append(ReadGlitch(position, **about))
        stored.append(StoredGlitch(glitch, False, _NOT_JUDGED_AGAIN))
    _mark(session, reads, stored)
    return results + list(_told(reads, stored, _label(session, reads, stored, author_name)))


def _metadata(upload: ParsedUpload, origin: str | None) -> GlitchMetadata:
    said = origin or ("gravityspy" if upload.gravityspy_id else "upload")
    return GlitchMetadata(origin=said, **upload.facts())


def _label(
    session: Session,
    reads: list[ReadGlitch],
    stored: list[StoredGlitch | ServiceError],
    author_name: str,
    references: Wanted | None = None,
) -> dict[str, str]:
    """Give the labels of the batch, those of one class together; why not, by class.

    Those of a published archive are given to what nobody has labelled: people know better.
    """
    source = LABEL_SOURCE if references is None else references.source
    author = Principal(UUID(int=0), author_name, Role.SUBMITTER)
    wanted: dict[str, dict[UUID, float | None]] = {}
    for read, one in zip(reads, stored, strict=True):
        if not isinstance(one, StoredGlitch) or read.label is None:
            continue
        has_any = references is not None and one.glitch.label is not None
        is_same = _is_labelled(one, read.label) and read.confidence in (
            None,
            one.glitch.ml_confidence,
        )
        if not has_any and not is_same:
            wanted.setdefault(read.label, {})[one.glitch.id] = read.confidence
    refused: dict[str, str] = {}
    for name, given in sorted(wanted.items()):
        try:
            with session.begin_nested():
                append_labels(
                    session, list(given), name, author=author, source=source, confidences=given
                )
        except (InvalidRequestError, ConflictError) as error:
            refused[name] = f"Stored without its label: {error}"
    return refused


def _mark(
    session: Session, reads: list[ReadGlitch], stored: list[StoredGlitch | ServiceError]
) -> None:
    """Keep the flags that were active, beside those that are kept already."""
    marks: dict[UUID, set[str]] = {}
    for read, one in zip(reads, stored, strict=True):
        if isinstance(one, StoredGlitch) and read.data_quality is not None:
            marks.setdefault(one.glitch.id, set()).update(read.data_quality.split())
    add_flags(session, marks)


def _is_labelled(stored: StoredGlitch, name: str | None) -> bool:
    current = stored.glitch.label
    return (
        name is not None
        and current is not None
        and plain_class_name(name) == plain_class_name(current)
    )


def _told(
    reads: list[ReadGlitch], stored: list[StoredGlitch | ServiceError], refused: dict[str, str]
) -> Iterator[ItemResult]:
    """What became of each."""
    for read, one in zip(reads, stored, strict=True):
        if not isinstance(one, StoredGlitch):
            yield ItemResult(read.position, "failed", str(one))
            continue
        notes = [] if one.is_new else ["It was known already."]
        notes += [read.note] if read.note else []
        if read.label in refused and not _is_labelled(one, read.label):
            notes.append(refused[read.label])
        state = "done" if one.is_new else "skipped"
        yield ItemResult(read.position, state, " ".join(notes) or None, one.glitch.id)
