"""The tables of the map: projections, the position of each glitch, and labelled selections."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, Integer, func, text
from sqlalchemy.dialects.postgresql import ARRAY, REAL
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import Uuid

from app.classes.tables import GlitchClass
from app.core.database import Base, uuid7
from app.glitches.tables import GlitchKey
from app.jobs.tables import Job
from app.models.tables import Checkpoint


class Projection(Base):
    """One layout of a checkpoint's embeddings; the latest that is ready is the map."""

    __tablename__ = "projection"
    __table_args__ = (Index("ix_projection_checkpoint_id_id", "checkpoint_id", "id"),)

    id: Mapped[int] = mapped_column(Integer, Identity(always=True), primary_key=True)
    checkpoint_id: Mapped[int] = mapped_column(ForeignKey(Checkpoint.id))
    job_id: Mapped[UUID | None] = mapped_column(ForeignKey(Job.id, ondelete="SET NULL"))
    seed: Mapped[int] = mapped_column(Integer)
    n_laid_out: Mapped[int] = mapped_column(Integer)  # glitches that UMAP placed
    n_points: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    last_glitch_id: Mapped[UUID | None]  # the latest glitch with a position: ids grow with time
    is_ready: Mapped[bool] = mapped_column(server_default=text("false"))
    author: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class MapPoint(Base):
    """The position of a glitch in a projection, each coordinate in [-1, 1]."""

    __tablename__ = "map_point"
    __table_args__ = (
        Index("ix_map_point_anchors", "projection_id", postgresql_where=text("is_anchor")),
    )

    projection_id: Mapped[int] = mapped_column(
        ForeignKey("projection.id", ondelete="CASCADE"), primary_key=True
    )
    glitch_id: Mapped[GlitchKey] = mapped_column(index=True)
    x: Mapped[float] = mapped_column(REAL)
    y: Mapped[float] = mapped_column(REAL)
    is_anchor: Mapped[bool]  # placed by UMAP; new glitches are placed relative to it


class BulkLabel(Base):
    """Labels given to a selection together; they are also undone together."""

    __tablename__ = "bulk_label"
    __table_args__ = (CheckConstraint("(undone_at IS NULL) = (undone_by IS NULL)", name="undone"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    class_id: Mapped[int] = mapped_column(ForeignKey(GlitchClass.id))
    label_ids: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid, dimensions=1))
    made_class: Mapped[bool] = mapped_column(server_default=text("false"))  # was the class new?
    author: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now(), index=True)
    undone_at: Mapped[datetime | None]
    undone_by: Mapped[str | None]
