"""The history of classes: what was done to each, by whom, and what an undo needs to know."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Identity,
    Index,
    Integer,
    UniqueConstraint,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from app.core.database import Base, one_of

# A class is withdrawn when the review that made it is undone: gone from every list, its name free.
CLASS_STATES = ("active", "dormant", "candidate", "retired", "withdrawn")


CLASS_ORIGINS = ("gravityspy", "ours")


class GlitchClass(Base):
    """A class of glitches, Gravity Spy's or ours."""

    __tablename__ = "glitch_class"
    __table_args__ = (
        UniqueConstraint("name"),
        CheckConstraint(one_of("state", CLASS_STATES), name="state"),
        CheckConstraint(one_of("origin", CLASS_ORIGINS), name="origin"),
        CheckConstraint("parent_id <> id", name="parent_id"),
        Index("ix_glitch_class_parent_id", "parent_id"),
    )

    id: Mapped[int] = mapped_column(Integer, Identity(always=True), primary_key=True)
    name: Mapped[str]
    description: Mapped[str]
    state: Mapped[str]
    origin: Mapped[str]
    # Of a sub-class; app.classes keeps the tree shallow and free of cycles.
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("glitch_class.id"))
    # Glitches that staff chose to show what it looks like, best first.
    exemplar_ids: Mapped[list[UUID]] = mapped_column(
        ARRAY(Uuid, dimensions=1), server_default=text("'{}'")
    )
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


CLASS_EVENT_KINDS = ("create", "rename", "describe", "state", "move", "exemplars", "merge", "undo")


class ClassEvent(Base):
    """What somebody did to a class. Append-only: an undo is an event, and a redo undoes an undo."""

    __tablename__ = "class_event"
    __table_args__ = (
        UniqueConstraint("undoes_event_id"),
        CheckConstraint(one_of("kind", CLASS_EVENT_KINDS), name="kind"),
        CheckConstraint("(kind = 'undo') = (undoes_event_id IS NOT NULL)", name="undo"),
        Index("ix_class_event_class_id_id", "class_id", "id"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    class_id: Mapped[int] = mapped_column(ForeignKey("glitch_class.id"))
    kind: Mapped[str]
    author: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    payload: Mapped[dict[str, Any]]  # values before and after, and the remark
    undoes_event_id: Mapped[int | None] = mapped_column(
        BigInteger, ForeignKey("class_event.id", name="fk_class_event_undoes_event_id")
    )
