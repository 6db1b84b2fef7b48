"""The audit trail: who did what to what, in the transaction that did it."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from app.core.access_tables import AuditEvent


def record_event(
    session: Session, actor: str, action: str, subject: str, subject_id: object, **details: Any
) -> None:
    """Add an event: who did what to what. ``details`` go into JSON, and are never a secret."""
    what = {"action": action, "subject": subject, "subject_id": str(subject_id)}
    session.add(AuditEvent(actor=actor, **what, details=details))
