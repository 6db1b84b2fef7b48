"""Classes of glitches."""

from __future__ import annotations

from sqlalchemy.orm import Session

from app.services.records import ClassRecord, Principal


def list_classes(session: Session) -> list[ClassRecord]:
    """All classes by name."""
    raise NotImplementedError


def create_class(
    session: Session, name: str, *, description: str, author: Principal, state: str = "active"
) -> ClassRecord:
    """Add a class of ours. Reviewer or above; ConflictError if the name is taken."""
    raise NotImplementedError


def seed_classes(session: Session) -> int:
    """Add the Gravity Spy classes that are missing; returns how many were added."""
    raise NotImplementedError
