"""The job of kind ``project``: draw the map again, or place on it what came since.

UMAP runs while the job is planned, because what joins its layout can only be cut into chunks when
it stands. The new map is built beside the one in use and takes over when it is whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from app.core.errors import ConflictError
from app.jobs.records import Chunk, JobRecord
from app.jobs.registry import ChunkPlan, ChunkResult, JobContext
from app.map.points import (
    anchors_of,
    count_points,
    sample_vectors,
    store_places,
    to_uuid,
    unplaced_ids,
    unplaced_vectors,
)
from app.map.records import LAID_OUT_AT_MOST, SEED
from app.map.service import DRAW, latest_projection
from app.map.tables import Projection
from app.models.checkpoints import latent_size

GLITCHES = 20_000  # placed in a chunk: half a minute of work at most


class ProjectHandler:
    """A ``JobHandler``; holds nothing between calls."""

    def plan(self, session: Session, job: JobRecord, context: JobContext) -> Iterator[ChunkPlan]:
        """Lay out the sample where the map is drawn again, then the others by ranges of ids."""
        checkpoint_id = job.parameters["checkpoint_id"]
        if job.parameters["act"] == DRAW:
            projection_id = _lay_out(session, job, context)
        else:
            found = latest_projection(session, checkpoint_id)
            if found is None:
                raise ConflictError("There is no map to place glitches on: have it drawn first.")
            projection_id = found.id
        missing = unplaced_ids(session, projection_id, checkpoint_id)
        for start in range(0, len(missing), GLITCHES):
            part = missing[start : start + GLITCHES]
            context.heartbeat()
            yield ChunkPlan(
                {
                    "projection_id": projection_id,
                    "first": str(to_uuid(part[0])),
                    "last": str(to_uuid(part[-1])),
                },
                units=len(part),
            )

    def run_chunk(
        self, session: Session, job: JobRecord, chunk: Chunk, context: JobContext
    ) -> ChunkResult:
        """Place one range among the glitches that are laid out."""
        from glitch.projection import place

        checkpoint_id = job.parameters["checkpoint_id"]
        projection_id = chunk.payload["projection_id"]
        size = latent_size(session, checkpoint_id)
        ids, vectors = unplaced_vectors(
            session,
            projection_id,
            checkpoint_id,
            size,
            first=UUID(chunk.payload["first"]),
            last=UUID(chunk.payload["last"]),
        )
        if len(ids):
            anchors, places = anchors_of(session, projection_id, checkpoint_id, size)
            context.heartbeat()
            placed = place(vectors, anchors, places)
            context.heartbeat()
            store_places(session, projection_id, ids, placed, is_anchor=False)
        return ChunkResult()

    def finish(self, session: Session, job: JobRecord, context: JobContext) -> Mapping[str, Any]:
        """Put the map into use; the ones before it go."""
        checkpoint_id = job.parameters["checkpoint_id"]
        if job.parameters["act"] == DRAW:
            projection_id = session.scalars(
                select(Projection.id)
                .where(Projection.job_id == job.id)
                .order_by(Projection.id.desc())
            ).first()
        else:
            found = latest_projection(session, checkpoint_id)
            projection_id = found.id if found else None
        if projection_id is None:
            raise ConflictError("The map was replaced meanwhile: nothing is left to do.")
        n_points = count_points(session, projection_id)
        session.execute(
            update(Projection).where(Projection.id == projection_id).values(is_ready=True)
        )
        context.heartbeat()
        if job.parameters["act"] == DRAW:
            session.execute(
                delete(Projection).where(
                    Projection.checkpoint_id == checkpoint_id, Projection.id < projection_id
                )
            )
        return {"projection": projection_id, "points": n_points}


def _lay_out(session: Session, job: JobRecord, context: JobContext) -> int:
    """Lay out the sample and store it as a projection that is not in use yet; its id."""
    from glitch.projection import lay_out

    checkpoint_id = job.parameters["checkpoint_id"]
    most = job.parameters.get("sample", LAID_OUT_AT_MOST)
    size = latent_size(session, checkpoint_id)
    ids, vectors = sample_vectors(session, checkpoint_id, most, size)

    def tell(share: float) -> None:
        context.heartbeat()  # cancelled meanwhile: nothing of it is kept
        context.note(f"UMAP lays {len(ids):,} glitches out: {share:.0%} of its steps are done.")

    context.note(f"UMAP compares {len(ids):,} glitches with each other.")
    places = lay_out(vectors, seed=SEED, on_progress=tell)
    context.note(None)
    context.heartbeat()
    row = Projection(
        checkpoint_id=checkpoint_id,
        job_id=job.id,
        seed=SEED,
        n_laid_out=len(ids),
        author=job.author,
    )
    session.add(row)
    session.flush()
    store_places(session, row.id, ids, places, is_anchor=True)
    return row.id


HANDLER = ProjectHandler()
