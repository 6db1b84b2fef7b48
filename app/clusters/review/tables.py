"""The tables of review: what was done to clusters, and the labels that it suggests."""

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from app.classes.tables import GlitchClass
from app.core.database import Base, one_of
from app.glitches.tables import Glitch

EVENT_KINDS = ("promote", "merge", "split", "dismiss", "assign", "comment", "accept", "undo")


class ReviewEvent(Base):
    """What somebody did to a cluster. Append-only: an undo is an event, and a redo undoes an undo.

    ``cluster_id`` is no foreign key: a run may be deleted, the history of its clusters stays.
    """

    __tablename__ = "review_event"
    __table_args__ = (
        sa.UniqueConstraint("undoes_event_id"),
        sa.CheckConstraint(one_of("kind", EVENT_KINDS), name="kind"),
        sa.CheckConstraint("(kind = 'undo') = (undoes_event_id IS NOT NULL)", name="undo"),
        sa.Index("ix_review_event_identity_id", "identity", "id"),
    )

    id: Mapped[int] = mapped_column(sa.BigInteger, sa.Identity(always=True), primary_key=True)
    identity: Mapped[UUID]  # of the cluster, the same in every run
    cluster_id: Mapped[UUID]  # as the run of that day found it
    kind: Mapped[str]
    author: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=sa.func.now())
    payload: Mapped[dict[str, Any]]  # what was asked for, and what its undo needs to know
    undoes_event_id: Mapped[int | None] = mapped_column(
        sa.BigInteger, sa.ForeignKey("review_event.id", name="fk_review_event_undoes_event_id")
    )


class LabelSuggestion(Base):
    """What the review of a cluster says of a member, until somebody accepts it.

    It is no label: it makes no glitch a reference, and no filter by class finds it. Rows come and
    go; the review events keep the history.
    """

    __tablename__ = "label_suggestion"
    __table_args__ = (
        sa.Index("ix_label_suggestion_glitch_id", "glitch_id"),
        sa.Index("ix_label_suggestion_class_id", "class_id"),
        sa.Index("ix_label_suggestion_event_id", "event_id"),
    )

    identity: Mapped[UUID] = mapped_column(primary_key=True)
    glitch_id: Mapped[UUID] = mapped_column(
        sa.ForeignKey(Glitch.id, ondelete="CASCADE"), primary_key=True
    )
    class_id: Mapped[int] = mapped_column(sa.ForeignKey(GlitchClass.id))
    event_id: Mapped[int] = mapped_column(sa.ForeignKey("review_event.id"))
