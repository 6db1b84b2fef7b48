"""The job kind ``ingest``: plan a batch, then read and store it chunk by chunk."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.batches import payload, reading
from app.batches.options import ArchiveSelection, BatchOptions
from app.batches.planning import CONTENT, BatchPlanner
from app.batches.remote import DataFind, OpenData, open_data_folder
from app.batches.storage import clear_work, upload_path, work_folder
from app.batches.strain_index import UPLOADED
from app.classes.naming import plain_class_name
from app.core.access import Principal, Role
from app.core.errors import BusyError, ConflictError, InvalidRequestError, ServiceError
from app.core.storage import storage_of
from app.glitches.facts import facts_of
from app.glitches.ingest import NewGlitch, add_flags, insert_glitches
from app.glitches.labels import append_labels
from app.glitches.records import GlitchMetadata, StoredGlitch
from app.glitches.selection import glitches_by_id
from app.glitches.upload import parse_scales
from app.jobs.records import Chunk, ChunkPlan, ChunkResult, ItemResult, Work
from app.jobs.tables import JobItem
from app.map.service import request_placing
from app.models.checkpoints import active_checkpoint, hold_active
from app.novelty.job import request_judging
from glitch.novelty import Judgement
from glitch.tables import Facts

if TYPE_CHECKING:
    from glitch.views import Preprocessing

LABEL_SOURCE = "batch"
_REPORT_EVERY_S = 5.0  # interval between progress messages of planning
_NOT_JUDGED_AGAIN = Judgement(None, None, False, "Nothing was stored, so nothing was judged.")


class IngestHandler:
    """The ``JobHandler`` of batches; it has no state."""

    def plan(self, work: Work) -> Iterator[ChunkPlan]:
        """Divide the batch's glitches into chunks; refused inputs come last, with their reasons."""
        folder = work_folder(work.data_dir, work.job.id)
        options = BatchOptions(**work.job.parameters)
        reported_at = monotonic()

        def heartbeat() -> None:
            nonlocal reported_at
            work.heartbeat()
            if monotonic() - reported_at >= _REPORT_EVERY_S:  # ten million rows take minutes
                work.note(planner.progress)
                reported_at = monotonic()

        planner = BatchPlanner(replace(work, heartbeat=heartbeat), options, folder)
        yield from planner.chunks()
        work.note(None)
        storage_of(work.data_dir).keep(folder)

    def run_chunk(self, work: Work, chunk: Chunk) -> ChunkResult:
        """Read, encode and store a chunk's glitches; a bad glitch does not affect the others."""
        planned = payload.BATCH_CHUNK.validate_python(chunk.payload)
        if isinstance(planned, payload.NotReadChunk):
            rows = [(item.position, planned.glitches[item.position]) for item in chunk.items]
            return ChunkResult(
                [
                    ItemResult(at, "skipped" if one.is_harmless else "failed", one.reason)
                    for at, one in rows
                ]
            )
        if isinstance(planned, payload.StoredChunk):
            return ChunkResult(_relabel_stored(work.session, chunk, planned, work.job.author))
        options = BatchOptions(**work.job.parameters)
        checkpoint = active_checkpoint(work.session)
        encoder = work.encoder(checkpoint.digest)
        results: list[ItemResult] = []
        good: dict[int, reading.ReadGlitch] = {}
        for position, read in _read(work, chunk, planned, encoder.preprocessing):
            if isinstance(read, str):
                results.append(ItemResult(position, "failed", read))
            else:
                good[position] = read
            work.heartbeat()
        encodings = encoder.encode([read.upload.views for read in good.values()])
        work.heartbeat()
        if not hold_active(work.session, checkpoint.id):
            raise BusyError(
                "Another checkpoint became active meanwhile: this part is processed again."
            )
        stored = insert_glitches(
            work.session,
            [
                NewGlitch(read.upload.views, encoding, _metadata(read, options.origin))
                for read, encoding in zip(good.values(), encodings, strict=True)
            ],
            checkpoint=checkpoint,
        )
        work.heartbeat()
        outcomes = [
            _Outcome(position, read.facts, read.note, one)
            for (position, read), one in zip(good.items(), stored, strict=True)
        ]
        return ChunkResult(
            [*results, *_results_of(work.session, outcomes, work.job.author, options.references)]
        )

    def finish(self, work: Work) -> Mapping[str, Any]:
        """Count the batch's glitches, and remove unpacked files unless a retry may need them."""
        counts = work.session.execute(
            select(JobItem.state, func.count(), func.count(JobItem.glitch_id))
            .where(JobItem.job_id == work.job.id)
            .group_by(JobItem.state)
        ).all()
        by_state = {state: count for state, count, _ in counts}
        n_known = {state: glitches for state, _, glitches in counts}.get("skipped", 0)
        if not by_state.get("failed"):
            clear_work(work.data_dir, work.job.id)
        request_placing(work.session)  # on the map, if there is one
        if by_state.get("done"):
            request_judging(work.session, work.job.author)  # the first had few references
        return {
            "stored": by_state.get("done", 0),
            "known": n_known,  # without skipped files, such as those of an operating system
            "failed": by_state.get("failed", 0),
        }


def _read(
    work: Work, chunk: Chunk, planned: payload.ReadChunk, preprocessing: Preprocessing
) -> reading.Read:
    options = BatchOptions(**work.job.parameters)
    folder = work_folder(work.data_dir, work.job.id)
    storage = storage_of(work.data_dir)
    if planned.is_unpacked:
        source = folder / CONTENT
        storage.fetch(source)
    else:
        source = upload_path(work.data_dir, options.upload)
    positions = [item.position for item in chunk.items]
    for name in _unpacked(planned, positions):
        storage.fetch(folder / name)
    if isinstance(planned, payload.StackChunk):
        path = folder / planned.stack if planned.stack else source
        yield from reading.read_stack(path, planned.start, positions, options.ifo, preprocessing)
    elif isinstance(planned, payload.TriggersChunk):
        settings = work.settings
        remote: list[DataFind | OpenData] = []
        if settings.datafind_url:
            remote.append(DataFind(settings.datafind_url, settings.frame_types))
        if settings.gwosc_url:
            cache_folder = open_data_folder(work.data_dir)
            remote.append(OpenData(settings.gwosc_url, cache_folder, options.sample_rate_hz))
        roots = reading.StrainRoots(
            folder,
            work.settings.strain_dir,
            remote,
            options.channel,
            options.sample_rate_hz,
            work.settings.device,
            options.centre,
        )
        triggers = [(at, planned.glitches[at]) for at in positions]
        yield from reading.read_triggers(roots, triggers, preprocessing)
    elif isinstance(planned, payload.TableChunk):
        if options.references is not None:
            rows = [(at, planned.glitches[at]) for at in positions]
            yield from reading.read_fetched(options.references.picture_host, rows, preprocessing)
    else:
        requested = [(at, planned.glitches[at]) for at in positions]
        pictures = [(at, one) for at, one in requested if isinstance(one, payload.OfPictures)]
        arrays = [(at, one) for at, one in requested if isinstance(one, payload.OfViews)]
        scales = parse_scales(options.energy_max, options.frequency_range)
        yield from reading.read_pictures(source, pictures, preprocessing, scales)
        yield from reading.read_arrays(folder, arrays, preprocessing)


def _unpacked(planned: payload.ReadChunk, positions: Sequence[int]) -> set[str]:
    """Names of the unpacked files that these glitches of a chunk need."""
    if isinstance(planned, payload.StackChunk):
        return {planned.stack} if planned.stack else set()
    names: set[str] = set()
    for one in (planned.glitches[at] for at in positions):
        if isinstance(one, payload.OfViews):
            names.add(one.file)
        elif isinstance(one, payload.OfTrigger) and not isinstance(one.strain, str):
            names |= {place.path for place in one.strain if place.root == UPLOADED}
    return names


class _Outcome(NamedTuple):
    """Properties given for one glitch, and the result of storing it."""

    position: int
    facts: Facts
    note: str | None
    stored: StoredGlitch | ServiceError


def _relabel_stored(
    session: Session, chunk: Chunk, planned: payload.StoredChunk, author_name: str
) -> list[ItemResult]:
    """Process rows of our own exports: store nothing again, but add changed labels."""
    rows = {item.position: planned.glitches[item.position] for item in chunk.items}
    glitches = glitches_by_id(session, [row.glitch for row in rows.values()])
    results: list[ItemResult] = []
    outcomes: list[_Outcome] = []
    for position, row in rows.items():
        glitch = glitches.get(row.glitch)
        if glitch is None:
            reason = "The glitch was deleted meanwhile: send the batch again."
            results.append(ItemResult(position, "failed", reason))
            continue
        facts = Facts(**row.model_dump(include={"label", "confidence", "data_quality"}))
        stored = StoredGlitch(glitch, False, _NOT_JUDGED_AGAIN)
        outcomes.append(_Outcome(position, facts, None, stored))
    return [*results, *_results_of(session, outcomes, author_name)]


def _metadata(read: reading.ReadGlitch, origin: str | None) -> GlitchMetadata:
    default = "gravityspy" if read.upload.gravityspy_id else "upload"
    return GlitchMetadata(origin=origin or read.facts.origin or default, **facts_of(read.upload))


def _results_of(
    session: Session,
    outcomes: Sequence[_Outcome],
    author_name: str,
    references: ArchiveSelection | None = None,
) -> Iterator[ItemResult]:
    """Add labels and flags to the stored glitches, and yield the result for each."""
    refused = _label(session, outcomes, author_name, references)
    flags: defaultdict[UUID, set[str]] = defaultdict(set)  # in addition to those stored already
    for _, facts, _, stored in outcomes:
        if isinstance(stored, StoredGlitch) and facts.data_quality is not None:
            flags[stored.glitch.id].update(facts.data_quality.split())
    add_flags(session, flags)
    for position, facts, note, stored in outcomes:
        if not isinstance(stored, StoredGlitch):
            yield ItemResult(position, "failed", str(stored))
            continue
        notes = [] if stored.is_new else ["It was known already."]
        notes += [note] if note else []
        if facts.label in refused and not _is_labelled(stored, facts.label):
            notes.append(refused[facts.label])
        state = "done" if stored.is_new else "skipped"
        yield ItemResult(position, state, " ".join(notes) or None, stored.glitch.id)


def _label(
    session: Session, outcomes: Sequence[_Outcome], author: str, references: ArchiveSelection | None
) -> dict[str, str]:
    """Add the labels of the batch, class by class; return reasons for refused labels, by class.

    Labels of a published archive are added only to glitches without a label.
    """
    source = LABEL_SOURCE if references is None else references.source
    principal = Principal(UUID(int=0), author, Role.SUBMITTER)
    by_class: dict[str, dict[UUID, float | None]] = {}
    for _, facts, _, stored in outcomes:
        if not isinstance(stored, StoredGlitch) or facts.label is None:
            continue
        has_any = references is not None and stored.glitch.label is not None
        is_same = facts.confidence in (None, stored.glitch.ml_confidence)
        if not has_any and not (is_same and _is_labelled(stored, facts.label)):
            by_class.setdefault(facts.label, {})[stored.glitch.id] = facts.confidence
    refused: dict[str, str] = {}
    for name, stated in sorted(by_class.items()):
        try:
            with session.begin_nested():
                append_labels(
                    session, list(stated), name, author=principal, source=source, confidences=stated
                )
        except (InvalidRequestError, ConflictError) as error:
            refused[name] = f"Stored without its label: {error}"
    return refused


def _is_labelled(stored: StoredGlitch, name: str) -> bool:
    current = stored.glitch.label
    return current is not None and plain_class_name(name) == plain_class_name(current)
