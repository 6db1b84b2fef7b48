"""The tables of label audits: labels that their neighbours contradict.

Only doubtful glitches have a row: a catalogue of a million labels has some thousands of findings.
"""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, SmallInteger, func
from sqlalchemy.orm import Mapped, mapped_column

from app.classes.tables import GlitchClass
from app.core.database import Base
from app.glitches.tables import GlitchKey
from app.models.tables import Checkpoint


class LabelAudit(Base):
    """One audit of all labels under one checkpoint. Its id is the id of its job."""

    __tablename__ = "label_audit"
    __table_args__ = (
        CheckConstraint("n_voters BETWEEN 1 AND 50", name="n_voters"),
        Index("ix_label_audit_created_at_id", "created_at", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    checkpoint_id: Mapped[int] = mapped_column(ForeignKey(Checkpoint.id))
    n_voters: Mapped[int] = mapped_column(SmallInteger)  # neighbours that vote on each glitch
    n_labelled: Mapped[int]  # labelled glitches with an embedding
    n_audited: Mapped[int]  # with enough labelled neighbours of the same detector and origin
    author: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    finished_at: Mapped[datetime | None]  # unfinished audits are not shown


class LabelFinding(Base):
    """A glitch whose neighbours have another label more often than its own."""

    __tablename__ = "label_finding"
    __table_args__ = (
        CheckConstraint("n_suggesting > n_agreeing AND n_agreeing >= 0", name="votes"),
        Index("ix_label_finding_audit_id_margin_glitch_id", "audit_id", "margin", "glitch_id"),
    )

    audit_id: Mapped[UUID] = mapped_column(
        ForeignKey("label_audit.id", ondelete="CASCADE"), primary_key=True
    )
    glitch_id: Mapped[GlitchKey] = mapped_column(index=True)
    # Its label at that time.
    class_id: Mapped[int] = mapped_column(ForeignKey(GlitchClass.id), index=True)
    suggested_id: Mapped[int] = mapped_column(ForeignKey(GlitchClass.id), index=True)
    n_agreeing: Mapped[int] = mapped_column(SmallInteger)
    n_suggesting: Mapped[int] = mapped_column(SmallInteger)
    margin: Mapped[int] = mapped_column(SmallInteger)  # n_agreeing - n_suggesting; lower is worse
