"""Labels: append-only statements that a glitch is of a class."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy.orm import Session

from app.services.records import LabelRecord, Principal


def append_label(
    session: Session,
    glitch_id: UUID,
    class_name: str,
    *,
    author: Principal,
    source: str = "human",
) -> LabelRecord:
    """Say that a glitch is of a class; it becomes the current label. Submitter or above."""
    raise NotImplementedError


def revoke_label(session: Session, label_id: UUID, *, principal: Principal) -> LabelRecord:
    """Take a label back (its author, or a reviewer); it stays in the history."""
    raise NotImplementedError


def list_labels(session: Session, glitch_id: UUID) -> list[LabelRecord]:
    """All labels of a glitch, revoked ones included, oldest first."""
    raise NotImplementedError
