"""Places of glitches in the store: what is to be placed, its latent vectors, where it went."""

from __future__ import annotations

from uuid import UUID

import numpy as np
from psycopg import sql
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from app.core.postgres.binary_copy import read_rows, write_rows
from app.map.tables import MapPoint, Projection
from glitch.projection import Coordinates
from glitch.types import LatentArray

Ids = np.ndarray  # dtype V16, one uuid a row


def sample_vectors(
    session: Session, checkpoint_id: int, most: int, latent_size: int
) -> tuple[Ids, LatentArray]:
    """The glitches to lay out, by id: all, or a sample that depends on their content alone.

    A content digest is as good as a random number, and the same in every run.
    """
    query = sql.SQL(
        "SELECT id, mean FROM (SELECT g.id, e.mean FROM glitch g"
        " JOIN embedding e ON e.glitch_id = g.id AND e.checkpoint_id = {checkpoint}"
        " ORDER BY g.content_digest LIMIT {most}) AS chosen ORDER BY id"
    ).format(checkpoint=sql.Literal(checkpoint_id), most=sql.Literal(most))
    return _vectors(session, query, latent_size)


def unplaced_ids(session: Session, projection_id: int, checkpoint_id: int) -> Ids:
    """The glitches with an embedding and without a place, by id."""
    query = sql.SQL(
        "SELECT e.glitch_id FROM embedding e WHERE e.checkpoint_id = {checkpoint}"
        " AND NOT EXISTS (SELECT FROM map_point p"
        " WHERE p.projection_id = {projection} AND p.glitch_id = e.glitch_id)"
        " ORDER BY e.glitch_id"
    ).format(checkpoint=sql.Literal(checkpoint_id), projection=sql.Literal(projection_id))
    return _ids(session, query)


def unplaced_vectors(
    session: Session,
    projection_id: int,
    checkpoint_id: int,
    latent_size: int,
    *,
    first: UUID,
    last: UUID,
) -> tuple[Ids, LatentArray]:
    """The posterior means of the glitches of this range of ids that have no place, by id."""
    query = sql.SQL(
        "SELECT e.glitch_id, e.mean FROM embedding e WHERE e.checkpoint_id = {checkpoint}"
        " AND e.glitch_id BETWEEN {first} AND {last}"
        " AND NOT EXISTS (SELECT FROM map_point p"
        " WHERE p.projection_id = {projection} AND p.glitch_id = e.glitch_id)"
        " ORDER BY e.glitch_id"
    ).format(
        checkpoint=sql.Literal(checkpoint_id),
        projection=sql.Literal(projection_id),
        first=sql.Literal(first),
        last=sql.Literal(last),
    )
    return _vectors(session, query, latent_size)


def anchors_of(
    session: Session, projection_id: int, checkpoint_id: int, latent_size: int
) -> tuple[LatentArray, Coordinates]:
    """The glitches that UMAP placed: their posterior means and places."""
    query = sql.SQL(
        "SELECT p.x, p.y, e.mean FROM map_point p JOIN embedding e"
        " ON e.glitch_id = p.glitch_id AND e.checkpoint_id = {checkpoint}"
        " WHERE p.projection_id = {projection} AND p.is_anchor ORDER BY p.glitch_id"
    ).format(checkpoint=sql.Literal(checkpoint_id), projection=sql.Literal(projection_id))
    rows = read_rows(
        session, query, np.dtype([("x", ">f4"), ("y", ">f4"), ("mean", _vector(latent_size))])
    )
    places = np.stack([rows["x"], rows["y"]], axis=1).astype(np.float32)
    return rows["mean"]["values"].astype(np.float32), places


def store_places(
    session: Session, projection_id: int, ids: Ids, places: Coordinates, *, is_anchor: bool
) -> None:
    """Give these glitches their places."""
    rows = np.zeros(
        len(ids),
        dtype=[
            ("projection_id", "i4"),
            ("glitch_id", "V16"),
            ("x", "f4"),
            ("y", "f4"),
            ("is_anchor", "?"),
        ],
    )
    rows["projection_id"], rows["glitch_id"], rows["is_anchor"] = projection_id, ids, is_anchor
    rows["x"], rows["y"] = places[:, 0], places[:, 1]
    write_rows(session, MapPoint.__tablename__, rows)


def count_points(session: Session, projection_id: int) -> int:
    """Write down how many points a projection has and which is the latest; how many."""
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


def to_uuid(one: np.void) -> UUID:
    """An id of such an array as everything else knows it."""
    return UUID(bytes=one.tobytes())


def _ids(session: Session, query: sql.Composable) -> Ids:
    return np.ascontiguousarray(read_rows(session, query, np.dtype([("id", "V16")]))["id"])


def _vectors(session: Session, query: sql.Composable, latent_size: int) -> tuple[Ids, LatentArray]:
    rows = read_rows(session, query, np.dtype([("id", "V16"), ("mean", _vector(latent_size))]))
    return (
        np.ascontiguousarray(rows["id"]),
        np.ascontiguousarray(rows["mean"]["values"]).astype(np.float32),
    )


def _vector(latent_size: int) -> np.dtype:
    """How pgvector sends one: the dimension, a reserve, the values."""
    return np.dtype([("dim", ">i2"), ("unused", ">i2"), ("values", ">f4", (latent_size,))])
