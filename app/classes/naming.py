"""Classes by name: list, look up, create, and check names.

Later changes of a class (rename, retire, move) are in ``app.classes.service``.
"""

from typing import Any

from sqlalchemy import Row, Select, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session, aliased

from app.classes import records
from app.classes.tables import CLASS_STATES, ClassEvent, GlitchClass
from app.core.access import Principal, Role, record_event, require_role
from app.core.errors import ConflictError, InvalidRequestError
from glitch.taxonomy import CLASSES

LONGEST_DESCRIPTION = 2000
LONGEST_NAME = 64
WITHDRAWN = "withdrawn"
STATES = tuple(state for state in CLASS_STATES if state != WITHDRAWN)
_MAX_OFFERED = 8
_MIN_TYPED = 3  # letters; shorter texts occur in too many names
_CLASSES_LOCK = 6_720_341_907  # key of an advisory lock; arbitrary


def list_classes(session: Session) -> list[records.GlitchClass]:
    """List all classes by name, except withdrawn ones."""
    rows = session.execute(
        select_classes().where(GlitchClass.state != WITHDRAWN).order_by(GlitchClass.name)
    )
    return [to_class_record(row) for row in rows]


def usable_class_names(session: Session) -> tuple[str, ...]:
    """Return the names of the classes that are offered for new labels, sorted."""
    return tuple(known.name for known in list_classes(session) if not known.is_retired)


def find_class(session: Session, name: str) -> GlitchClass | None:
    """Return the row of this class; None if there is none, or it was withdrawn."""
    if "\0" in name:
        return None
    return session.scalar(
        select(GlitchClass).where(GlitchClass.name == name, GlitchClass.state != WITHDRAWN)
    )


def current_name(session: Session, name: str) -> str | None:
    """Return the current name of the class that was last renamed from this name, if any."""
    if "\0" in name:
        return None
    return session.scalar(
        select(GlitchClass.name)
        .join(ClassEvent, ClassEvent.class_id == GlitchClass.id)
        .where(
            ClassEvent.kind == "rename",
            func.lower(ClassEvent.payload["before"]["name"].astext) == name.lower(),
            GlitchClass.state != WITHDRAWN,
        )
        .order_by(ClassEvent.id.desc())
        .limit(1)
    )


def no_class(session: Session, name: str) -> str:
    """Return the error message for an unknown class name."""
    if not name.strip():
        return "Give the name of a class."
    if former := current_name(session, name):
        return f"The class {name[:LONGEST_NAME]} was renamed to {former}: use that name."
    return f"There is no class {name[:LONGEST_NAME]!r}: see the list of classes."


def usable_class(session: Session, name: str) -> GlitchClass:
    """Return the row of a class that may be used for new labels."""
    row = find_class(session, name)
    if row is None:
        raise InvalidRequestError(no_class(session, name))
    if row.state == "retired":
        raise ConflictError(f"The class {row.name} is retired: choose one that is in use.")
    return row


def plain_class_name(name: str) -> str:
    """Normalise a class name for comparison: lower case, with underscores for blanks."""
    return "_".join(name.replace("\0", "").lower().split())


def resolve_class_name(session: Session, typed: str) -> str:
    """Find the class that a person typed, in any case or in part, and return its name.

    A text that is part of no name is returned unchanged: the caller reports the error.
    """
    plain = plain_class_name(typed)
    if "\0" in typed:
        return typed
    same = class_named(session, typed)
    if same is not None or len(plain) < _MIN_TYPED:
        return same or typed
    parts = [name for name in usable_class_names(session) if plain in name.lower()]
    if len(parts) > 1:
        raise InvalidRequestError(
            f"“{typed[:LONGEST_NAME]}” is in the names of {len(parts)} classes: type more of the "
            f"one that you mean, {', '.join(parts[:_MAX_OFFERED])}."
        )
    return parts[0] if parts else typed


def class_named(session: Session, typed: str) -> str | None:
    """Return the name of the class that equals this text in any case, retired or not, if any."""
    plain = plain_class_name(typed)
    return next(
        (one.name for one in list_classes(session) if plain_class_name(one.name) == plain), None
    )


def lock_classes(session: Session) -> None:
    """Allow only one change of names or of the tree at a time, until the transaction ends."""
    session.execute(select(func.pg_advisory_xact_lock(_CLASSES_LOCK)))


def create_class(
    session: Session,
    name: str,
    *,
    description: str,
    author: Principal,
    is_from_review: bool = False,
) -> records.GlitchClass:
    """Add a class.

    No other class may have the name, in any case. If it was named in a cluster's review
    (``is_from_review``), the undo is in that cluster's history.

    Raises:
        PermissionDeniedError: if the author is not a reviewer.
        InvalidRequestError: if the name or the description is not valid.
        ConflictError: if the name is taken.
    """
    require_role(author, Role.REVIEWER)
    check_class_name(name)
    check_description(description)
    lock_classes(session)
    refuse_taken(session, name)
    after = {"description": description, "state": "active"}
    new: dict[str, Any] = {**after, "origin": "ours", "parent_id": None, "exemplar_ids": []}
    row = session.scalars(
        insert(GlitchClass)
        .values(name=name, **new)
        # refuse_taken accepted the name, so the existing row is a withdrawn class
        .on_conflict_do_update(index_elements=["name"], set_=new)
        .returning(GlitchClass),
        execution_options={"populate_existing": True},
    ).one()
    payload = {"after": {"name": name, **after}, "is_from_review": is_from_review}
    ClassEvent.add(session, "create", author.name, class_id=row.id, payload=payload)
    record_event(session, author.name, "create", "class", name)
    return to_class_record(session.execute(select_classes().where(GlitchClass.id == row.id)).one())


def check_class_name(name: str) -> None:
    """Refuse names that a new class cannot have."""
    rule = (
        f"A class name has 1 to {LONGEST_NAME} English letters, digits, '_' and '-', starts with a "
        "letter or a digit and holds a letter, for example Thunder or Fast_Scattering"
    )
    if not name.strip():
        raise InvalidRequestError(f"The new class needs a name. {rule}.")
    if len(name) > LONGEST_NAME:
        raise InvalidRequestError(f"This name has {len(name):,} characters. {rule}.")
    letters = name.replace("_", "").replace("-", "")
    if not (name.isascii() and letters.isalnum() and name[0].isalnum() and not name.isdigit()):
        raise InvalidRequestError(f"{rule}.")


def check_description(description: str) -> None:
    """Refuse descriptions that are too long or contain NUL."""
    if "\0" in description:
        raise InvalidRequestError("The description contains a NUL character: remove it.")
    if len(description) > LONGEST_DESCRIPTION:
        raise InvalidRequestError(
            f"The description has {len(description):,} characters: shorten it to "
            f"{LONGEST_DESCRIPTION:,}."
        )


def refuse_taken(session: Session, name: str, *, except_id: int | None = None) -> None:
    """Refuse a name that another class has in any case: they would be confused."""
    query = select(GlitchClass.name, GlitchClass.state).where(
        func.lower(GlitchClass.name) == name.lower(), GlitchClass.state != WITHDRAWN
    )
    if except_id is not None:
        query = query.where(GlitchClass.id != except_id)
    taken = session.execute(query).first()
    if taken is None:
        return
    if taken.state == "retired":
        raise ConflictError(
            f"There is a retired class {taken.name}: choose another name, or reactivate it."
        )
    raise ConflictError(
        f"There is a class {taken.name} already: use that one, or choose another name."
    )


def seed_classes(session: Session) -> int:
    """Add the Gravity Spy classes that are missing; return their number.

    A class that no release of Gravity Spy uses is dormant. Existing classes are not changed.
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


_parent = aliased(GlitchClass)


def select_classes() -> Select[GlitchClass, str | None]:
    """Select classes with the names of their parents."""
    return select(GlitchClass, _parent.name.label("parent_name")).outerjoin(
        _parent, _parent.id == GlitchClass.parent_id
    )


def to_class_record(row: Row[GlitchClass, str | None]) -> records.GlitchClass:
    """Make a record of a row of ``select_classes``."""
    names = records.GlitchClass.model_fields.keys() - {"parent"}
    return records.GlitchClass(**{name: getattr(row[0], name) for name in names}, parent=row[1])
