"""The job ``demo``: simulate, encode and store; then cluster, audit and draw the map."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.classes.audit.service import start_audit
from app.clusters.records import ClusteringParameters
from app.clusters.service import start_clustering
from app.core.errors import BusyError, ConflictError, ServiceError
from app.demo.plan import KIND, LABEL_SOURCE, DemoGlitch, demo_plan
from app.demo.service import AUTHOR
from app.glitches.facts import measured
from app.glitches.ingest import NewGlitch, insert_glitches
from app.glitches.labels import append_labels
from app.glitches.records import GlitchMetadata, GlitchRecord
from app.glitches.selection import glitches_by_id
from app.glitches.tables import Embedding
from app.jobs.records import Chunk, ChunkPlan, ChunkResult, ItemResult, JobRecord, Work
from app.jobs.service import list_jobs
from app.jobs.tables import Job, JobItem
from app.map.service import start_drawing
from app.models.checkpoints import active_checkpoint, hold_active
from app.novelty.catalogue import recalibrate

if TYPE_CHECKING:
    from glitch.encoder import Encoder

CHUNK = 16  # glitches whose strain is in memory at the same time; takes a second or two


class DemoHandler:
    """A stateless ``JobHandler``."""

    def plan(self, work: Work) -> Iterator[ChunkPlan]:
        """Yield the planned glitches in chunks."""
        places = _plan_of(work.job)
        for start in range(0, len(places), CHUNK):
            yield ChunkPlan({"start": start}, [one.name for one in places[start : start + CHUNK]])

    def run_chunk(self, work: Work, chunk: Chunk) -> ChunkResult:
        """Simulate, encode and store the glitches of a chunk."""
        plan, start = _plan_of(work.job), chunk.payload["start"]
        planned = [plan[start + item.position] for item in chunk.items]
        checkpoint = active_checkpoint(work.session)
        earlier = _known(work.session, planned, checkpoint.id)
        new = [outcome for outcome in planned if outcome.name not in earlier]
        made = make_glitches(new, work.encoder(checkpoint.digest)) if new else []
        work.heartbeat()
        if not hold_active(work.session, checkpoint.id):
            raise BusyError(
                "Another checkpoint became active meanwhile: this part will be repeated."
            )
        stored = insert_glitches(work.session, made, checkpoint=checkpoint)
        by_name = {place.name: outcome for place, outcome in zip(new, stored, strict=True)}
        by_class: dict[str, list[UUID]] = {}
        results = []
        for item, place in zip(chunk.items, planned, strict=True):
            outcome = by_name.get(place.name)
            if isinstance(outcome, ServiceError):
                results.append(ItemResult(item.position, "failed", str(outcome)))
                continue
            glitch = earlier[place.name] if outcome is None else outcome.glitch
            if place.label is not None and glitch.label is None:
                by_class.setdefault(place.label, []).append(glitch.id)
            state = "done" if outcome is not None and outcome.is_new else "skipped"
            results.append(ItemResult(item.position, state, glitch_id=glitch.id))
        for label, ids in by_class.items():
            append_labels(work.session, ids, label, author=AUTHOR, source=LABEL_SOURCE)
        return ChunkResult(results)

    def finish(self, work: Work) -> Mapping[str, Any]:
        """Recalibrate novelty, and start a clustering, an audit and a map."""
        session, n_stored = work.session, work.job.done
        recalibrate(session, active_checkpoint(session).id)
        work.heartbeat()
        if not n_stored and list_jobs(session, kind=KIND, state="succeeded", limit=1).items:
            return {"glitches": 0, "started": []}  # the results of an earlier load are still valid
        # In this order, because new users are shown the clusters first.
        started = [
            start_clustering(session, ClusteringParameters(is_simulated=True), principal=AUTHOR),
            start_audit(session, principal=AUTHOR),
        ]
        # too few for a map, for example with a small GLITCH_DEMO_PER_CLASS
        with contextlib.suppress(ConflictError):
            started.append(start_drawing(session, principal=AUTHOR))
        return {"glitches": n_stored, "started": [str(one.id) for one in started]}


def _plan_of(job: JobRecord) -> tuple[DemoGlitch, ...]:
    from glitch.simulate import SIMULATED_CLASSES

    return demo_plan(SIMULATED_CLASSES, job.parameters["per_class"])


def _known(
    session: Session, planned: Sequence[DemoGlitch], checkpoint_id: int
) -> dict[str, GlitchRecord]:
    """Return the glitches that an earlier load stored, by name in the plan."""
    rows = session.execute(
        select(JobItem.name, Embedding.glitch_id)
        .join(Job, Job.id == JobItem.job_id)
        .join(Embedding, Embedding.glitch_id == JobItem.glitch_id)
        .where(
            Job.kind == KIND,
            JobItem.name.in_([one.name for one in planned]),
            Embedding.checkpoint_id == checkpoint_id,
        )
    ).all()
    glitches = glitches_by_id(session, [glitch_id for _, glitch_id in rows])
    return {name: glitches[glitch_id] for name, glitch_id in rows}


def make_glitches(places: Sequence[DemoGlitch], encoder: Encoder) -> list[NewGlitch]:
    """Simulate glitches, transform their strain to views, and encode them."""
    from glitch.simulate import simulate_glitch
    from glitch.strain import views_from_strain

    simulated = [simulate_glitch(one.simulated_as, one.random, ifo=one.ifo) for one in places]
    strains = [
        replace(glitch.strain, gps_start=glitch.strain.gps_start + place.gps_time - glitch.gps_time)
        for place, glitch in zip(places, simulated, strict=True)
    ]
    transformed = views_from_strain(
        strains, [place.gps_time for place in places], encoder.preprocessing
    )
    encodings = encoder.encode([item.views for item in transformed])
    return [
        NewGlitch(
            item.views,
            encoding,
            GlitchMetadata(
                origin="simulated", ifo=place.ifo, gps_time=place.gps_time, **measured(item)
            ),
        )
        for place, item, encoding in zip(places, transformed, encodings, strict=True)
    ]
