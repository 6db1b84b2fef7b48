"""The job of kind ``project``: draw the map again, or place new glitches on it.

UMAP runs during planning, because the other glitches, which are placed in its layout, can be
divided into chunks only when it exists. The new map is built beside the current one and replaces it
when it is complete.
"""

from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

import numpy as np
from psycopg import sql
from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from app.core.errors import ConflictError
from app.core.postgres.binary_copy import read_rows, write_rows
from app.jobs.records import Chunk, ChunkPlan, ChunkResult, Work
from app.map.records import MAX_LAID_OUT, SEED
from app.map.service import DRAW, latest_projection
from app.map.tables import MapPoint, Projection
from app.models.checkpoints import search_facts
from glitch.projection import Coordinates
from glitch.types import LatentArray

Ids = np.ndarray  # dtype V16, one UUID per row


def sample_vectors(
    session: Session, checkpoint_id: int, most: int, latent_size: int
) -> tuple[Ids, LatentArray]:
    """Read the glitches to lay out, by id: all, or a sample that depends only on their content.

    The content digest serves as a random number that is the same in every run.
    """
    query = (
        "SELECT id, mean FROM (SELECT g.id, e.mean FROM glitch g"
        " JOIN embedding e ON e.glitch_id = g.id AND e.checkpoint_id = {checkpoint}"
        " ORDER BY g.content_digest LIMIT {most}) AS chosen ORDER BY id"
    )
    return _vectors(session, query, latent_size, checkpoint=checkpoint_id, most=most)


_UNPLACED = (
    "FROM embedding e WHERE e.checkpoint_id = {checkpoint} AND NOT EXISTS (SELECT FROM map_point p"
    " WHERE p.projection_id = {projection} AND p.glitch_id = e.glitch_id)"
)


def unplaced_ids(session: Session, projection_id: int, checkpoint_id: int) -> Ids:
    """Return the glitches that have an embedding but no position, by id."""
    query = f"SELECT e.glitch_id {_UNPLACED} ORDER BY e.glitch_id"
    columns = {"id": "V16"}
    rows = _read(session, query, columns, checkpoint=checkpoint_id, projection=projection_id)
    return np.ascontiguousarray(rows["id"])


def unplaced_vectors(
    session: Session,
    projection_id: int,
    checkpoint_id: int,
    latent_size: int,
    *,
    first: UUID,
    last: UUID,
) -> tuple[Ids, LatentArray]:
    """Read ids and posterior means of the glitches without a position in this range of ids."""
    query = (
        f"SELECT e.glitch_id, e.mean {_UNPLACED}"
        " AND e.glitch_id BETWEEN {first} AND {last} ORDER BY e.glitch_id"
    )
    about = {"checkpoint": checkpoint_id, "projection": projection_id}
    return _vectors(session, query, latent_size, first=first, last=last, **about)


def anchors_of(
    session: Session, projection_id: int, checkpoint_id: int, latent_size: int
) -> tuple[LatentArray, Coordinates]:
    """Read posterior means and positions of the glitches that UMAP placed."""
    query = (
        "SELECT p.x, p.y, e.mean FROM map_point p JOIN embedding e"
        " ON e.glitch_id = p.glitch_id AND e.checkpoint_id = {checkpoint}"
        " WHERE p.projection_id = {projection} AND p.is_anchor ORDER BY p.glitch_id"
    )
    columns = {"x": ">f4", "y": ">f4", "mean": _vector(latent_size)}
    rows = _read(session, query, columns, checkpoint=checkpoint_id, projection=projection_id)
    places = np.stack([rows["x"], rows["y"]], axis=1).astype(np.float32)
    return rows["mean"]["values"].astype(np.float32), places


def store_places(
    session: Session, projection_id: int, ids: Ids, places: Coordinates, *, is_anchor: bool
) -> None:
    """Store the positions of these glitches."""
    columns = {"projection_id": "i4", "glitch_id": "V16", "x": "f4", "y": "f4", "is_anchor": "?"}
    rows = np.zeros(len(ids), dtype=list(columns.items()))
    rows["projection_id"], rows["glitch_id"], rows["is_anchor"] = projection_id, ids, is_anchor
    rows["x"], rows["y"] = places[:, 0], places[:, 1]
    write_rows(session, MapPoint.__tablename__, rows)


def count_points(session: Session, projection_id: int) -> int:
    """Store the number of points of a projection and its latest glitch; return the number."""
    placed = MapPoint.projection_id == projection_id
    n_points = session.scalar(select(func.count()).select_from(MapPoint).where(placed)) or 0
    last = session.scalar(
        select(MapPoint.glitch_id).where(placed).order_by(MapPoint.glitch_id.desc()).limit(1)
    )
    session.execute(
        update(Projection)
        .where(Projection.id == projection_id)
        .values(n_points=n_points, last_glitch_id=last)
    )
    return n_points


def _vectors(
    session: Session, query: str, latent_size: int, **values: object
) -> tuple[Ids, LatentArray]:
    rows = _read(session, query, {"id": "V16", "mean": _vector(latent_size)}, **values)
    vectors = np.ascontiguousarray(rows["mean"]["values"]).astype(np.float32)
    return np.ascontiguousarray(rows["id"]), vectors


def _read(session: Session, query: str, columns: Mapping[str, Any], **values: object) -> np.ndarray:
    """Return the result of a query, with values inserted at its placeholders in braces."""
    literals = {name: sql.Literal(value) for name, value in values.items()}
    statement = sql.SQL(query).format(**literals)
    return read_rows(session, statement, np.dtype(list(columns.items())))


def _vector(latent_size: int) -> np.dtype:
    """Return the binary format of pgvector: dimension, unused field, values."""
    return np.dtype([("dim", ">i2"), ("unused", ">i2"), ("values", ">f4", (latent_size,))])


GLITCHES = 20_000  # in a chunk: at most half a minute of work


class ProjectHandler:
    """A ``JobHandler`` without state."""

    def plan(self, work: Work) -> Iterator[ChunkPlan]:
        """Lay out the sample if the map is drawn again; then yield the other glitches in ranges."""
        checkpoint_id = work.job.parameters["checkpoint_id"]
        if work.job.parameters["act"] == DRAW:
            projection_id = _lay_out(work)
        else:
            projection = latest_projection(work.session, checkpoint_id)
            if projection is None:
                raise ConflictError("There is no map to place glitches on: draw it first.")
            projection_id = projection.id
        missing = unplaced_ids(work.session, projection_id, checkpoint_id)
        for start in range(0, len(missing), GLITCHES):
            part = missing[start : start + GLITCHES]
            work.heartbeat()
            first, last = (str(UUID(bytes=one.tobytes())) for one in (part[0], part[-1]))
            payload = {"projection_id": projection_id, "first": first, "last": last}
            yield ChunkPlan(payload, units=len(part))

    def run_chunk(self, work: Work, chunk: Chunk) -> ChunkResult:
        """Place one range relative to the glitches that were laid out."""
        from glitch.projection import place

        checkpoint_id = work.job.parameters["checkpoint_id"]
        projection_id = chunk.payload["projection_id"]
        size = search_facts(work.session, checkpoint_id).latent_size
        first, last = UUID(chunk.payload["first"]), UUID(chunk.payload["last"])
        ids, vectors = unplaced_vectors(
            work.session, projection_id, checkpoint_id, size, first=first, last=last
        )
        if len(ids):
            anchors, places = anchors_of(work.session, projection_id, checkpoint_id, size)
            if not len(anchors):
                raise ConflictError(
                    "The glitches from which the map was laid out are gone: draw it again."
                )
            work.heartbeat()
            placed = place(vectors, anchors, places)
            work.heartbeat()
            store_places(work.session, projection_id, ids, placed, is_anchor=False)
        return ChunkResult()

    def finish(self, work: Work) -> Mapping[str, Any]:
        """Put the map into use, and delete earlier ones."""
        checkpoint_id = work.job.parameters["checkpoint_id"]
        if work.job.parameters["act"] == DRAW:
            projection_id = work.session.scalars(
                select(Projection.id)
                .where(Projection.job_id == work.job.id)
                .order_by(Projection.id.desc())
            ).first()
        else:
            projection = latest_projection(work.session, checkpoint_id)
            projection_id = projection.id if projection else None
        if projection_id is None:
            raise ConflictError("The map was replaced meanwhile: nothing is left to do.")
        n_points = count_points(work.session, projection_id)
        work.session.execute(
            update(Projection).where(Projection.id == projection_id).values(is_ready=True)
        )
        work.heartbeat()
        if work.job.parameters["act"] == DRAW:
            work.session.execute(
                delete(Projection).where(
                    Projection.checkpoint_id == checkpoint_id, Projection.id < projection_id
                )
            )
        return {"projection": projection_id, "points": n_points}


def _lay_out(work: Work) -> int:
    """Lay out the sample and store it as a projection not yet in use; return its id."""
    from glitch.projection import lay_out

    checkpoint_id = work.job.parameters["checkpoint_id"]
    most = work.job.parameters.get("sample", MAX_LAID_OUT)
    size = search_facts(work.session, checkpoint_id).latent_size
    ids, vectors = sample_vectors(work.session, checkpoint_id, most, size)

    def report(share: float) -> None:
        work.heartbeat()  # raises if the job was cancelled, so that nothing is kept
        work.note(f"UMAP lays {len(ids):,} glitches out: {share:.0%} of its steps are done.")

    work.note(f"UMAP compares {len(ids):,} glitches with each other.")
    places = lay_out(vectors, seed=SEED, on_progress=report)
    work.note(None)
    work.heartbeat()
    origin = {"checkpoint_id": checkpoint_id, "job_id": work.job.id, "author": work.job.author}
    row = Projection(**origin, seed=SEED, n_laid_out=len(ids))
    work.session.add(row)
    work.session.flush()
    store_places(work.session, row.id, ids, places, is_anchor=True)
    return row.id
