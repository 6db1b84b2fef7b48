"""The history of classes: what was done to each, by whom, and what an undo needs to know."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Identity,
    Index,
    UniqueConstraint,
    func,
)
from sqlalchemy.orm import Mapped, mapped_column

from app.store.models import Base, one_of

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
