"""The tables of classes and of the events on them."""

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from app.core.database import Base, one_of
from app.core.events import EventRow

# A class is withdrawn when its creation is undone: no list shows it, and its name is free.
CLASS_STATES = ("active", "dormant", "candidate", "retired", "withdrawn")
CLASS_ORIGINS = ("gravityspy", "ours")


class GlitchClass(Base):
    """A class of glitches, from Gravity Spy or added here."""

    __tablename__ = "glitch_class"
    __table_args__ = (
        sa.CheckConstraint(one_of("state", CLASS_STATES), name="state"),
        sa.CheckConstraint(one_of("origin", CLASS_ORIGINS), name="origin"),
        sa.CheckConstraint("parent_id <> id", name="parent_id"),
    )

    id: Mapped[int] = mapped_column(sa.Integer, sa.Identity(always=True), primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    description: Mapped[str]
    state: Mapped[str]
    origin: Mapped[str]
    # Set for sub-classes; app.classes limits the depth and refuses cycles.
    parent_id: Mapped[int | None] = mapped_column(sa.ForeignKey("glitch_class.id"), index=True)
    # Glitches that staff chose as examples, best first.
    exemplar_ids: Mapped[list[UUID]] = mapped_column(
        ARRAY(sa.Uuid, dimensions=1), server_default=sa.text("'{}'")
    )
    created_at: Mapped[datetime] = mapped_column(server_default=sa.func.now())


CLASS_EVENT_KINDS = ("create", "rename", "describe", "state", "move", "exemplars", "merge", "undo")


class ClassEvent(EventRow, Base):
    """An action on a class."""

    __tablename__ = "class_event"
    __table_args__ = (
        sa.CheckConstraint(one_of("kind", CLASS_EVENT_KINDS), name="kind"),
        sa.CheckConstraint("(kind = 'undo') = (undoes_event_id IS NOT NULL)", name="undo"),
        sa.Index("ix_class_event_class_id_id", "class_id", "id"),
    )

    class_id: Mapped[int] = mapped_column(sa.ForeignKey("glitch_class.id"))
