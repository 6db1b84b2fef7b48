"""Classes of glitches: Gravity Spy's, and those that review names."""

from __future__ import annotations

import re

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from app.services.audit import record_event
from app.services.errors import ConflictError, InvalidRequestError
from app.services.records import ClassRecord, Principal, Role
from app.services.tokens import require_role
from app.store.models import CLASS_STATES, GlitchClass
from glitch.taxonomy import CLASSES

LONGEST_DESCRIPTION = 2000
WITHDRAWN = "withdrawn"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_\-]{0,63}")  # as Gravity Spy's names, and in addresses


def list_classes(session: Session) -> list[ClassRecord]:
    """All classes by name, but those that an undone review withdrew."""
    standing = select(GlitchClass).where(GlitchClass.state != WITHDRAWN).order_by("name")
    return [_to_record(row) for row in session.scalars(standing)]


def find_class(session: Session, name: str) -> GlitchClass | None:
    """The row of this class; None if there is none, or it was withdrawn."""
    if "\0" in name:
        return None
    return session.scalar(
        select(GlitchClass).where(GlitchClass.name == name, GlitchClass.state != WITHDRAWN)
    )


def create_class(
    session: Session, name: str, *, description: str, author: Principal, state: str = "active"
) -> ClassRecord:
    """Add a class of ours.

    Raises:
        PermissionDeniedError: if the author is no reviewer.
        InvalidRequestError: if the name, the description or the state cannot be.
        ConflictError: if the name is taken.
    """
    require_role(author, Role.REVIEWER)
    if not _NAME.fullmatch(name):
        raise InvalidRequestError(
            "A class name has 1 to 64 letters, digits, '_' and '-', and starts with a letter or a "
            "digit, for example Thunder or Fast_Scattering."
        )
    states = [known for known in CLASS_STATES if known != WITHDRAWN]
    if state not in states:
        raise InvalidRequestError(
            f"There is no state {state[:40]!r} of a class: give one of {', '.join(states)}."
        )
    if len(description) > LONGEST_DESCRIPTION or "\0" in description:
        raise InvalidRequestError(
            f"A description has at most {LONGEST_DESCRIPTION} characters and no NUL."
        )
    row = session.scalar(
        insert(GlitchClass)
        .values(name=name, description=description, state=state, origin="ours")
        .on_conflict_do_update(
            index_elements=["name"],
            set_={"description": description, "state": state},
            where=GlitchClass.state == WITHDRAWN,
        )
        .returning(GlitchClass),
        execution_options={"populate_existing": True},
    )
    if row is None:
        raise ConflictError(f"There is a class {name} already: choose another name.")
    record_event(session, actor=author.name, action="create", subject="class", subject_id=name)
    return _to_record(row)


def seed_classes(session: Session) -> int:
    """Add the Gravity Spy classes that are missing; how many were added.

    A class that no release of Gravity Spy uses is dormant. What staff changed stays.
    """
    added = session.scalars(
        insert(GlitchClass)
        .on_conflict_do_nothing(index_elements=["name"])
        .returning(GlitchClass.id),
        [
            {
                "name": known.name,
                "description": known.description,
                "state": "active" if known.observing_runs else "dormant",
                "origin": "gravityspy",
            }
            for known in CLASSES
        ],
    )
    return len(added.all())


def _to_record(row: GlitchClass) -> ClassRecord:
    return ClassRecord(
        name=row.name,
        description=row.description,
        state=row.state,
        origin=row.origin,
        created_at=row.created_at,
    )
