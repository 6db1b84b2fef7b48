"""Labels: append-only statements that a glitch belongs to a class.

The current label of a glitch is its latest one that is not revoked. ``glitch.class_id`` and
``glitch.ml_confidence`` repeat it (see ``app.glitches.tables.Glitch``). Only this module sets them,
in the transaction that changes the label.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, ScalarSelect, Select, func, insert, select, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.classes.naming import WITHDRAWN, no_class, plain_class_name
from app.classes.tables import GlitchClass
from app.core.access import Principal, Role, record_event, require_role
from app.core.database import is_any_of, uuid7
from app.core.errors import ConflictError, InvalidRequestError, NotFoundError, PermissionDeniedError
from app.glitches import records
from app.glitches.tables import Glitch, Label
from app.novelty.changes import note_class_changes

LONGEST_SOURCE = 50


def append_label(
    session: Session, glitch_id: UUID, class_name: str, *, author: Principal, source: str = "human"
) -> records.Label:
    """Label a glitch; this becomes its current label.

    ``source`` states the origin of the label, for example ``"human"`` or ``"simulation"``.

    Raises:
        PermissionDeniedError: if the author may only read.
        NotFoundError: if the glitch does not exist.
        InvalidRequestError: if the class does not exist or the source is invalid.
        ConflictError: if the class is retired.
    """
    require_role(author, Role.SUBMITTER)
    if not 1 <= len(source) <= LONGEST_SOURCE or not source.isprintable():
        raise InvalidRequestError(
            f"The source of a label has 1 to {LONGEST_SOURCE} printable characters."
        )
    (label_id,) = append_labels(session, [glitch_id], class_name, author=author, source=source)
    return _get(session, label_id)


def revoke_label(session: Session, label_id: UUID, *, principal: Principal) -> records.Label:
    """Revoke a label; it stays in the history, and the previous label becomes current again.

    The label's author and any reviewer may revoke it.

    Raises:
        NotFoundError: if the label does not exist.
        PermissionDeniedError: if it is somebody else's and the role is below reviewer.
        ConflictError: if it is revoked already; the message names who revoked it.
    """
    require_role(principal, Role.SUBMITTER)
    label = _get(session, label_id)
    if label.author != principal.name and principal.role < Role.REVIEWER:
        raise PermissionDeniedError(
            f"Label {label_id} is {label.author}'s: only its author or a reviewer may revoke it."
        )
    _lock_glitches(session, [label.glitch_id])
    if not _revoke(session, Label.id == label_id, principal.name):
        by = _get(session, label_id).revoked_by
        raise ConflictError(f"Label {label_id} was already revoked by {by}.")
    _set_current(session, [label.glitch_id])
    details = {"glitch": str(label.glitch_id), "label": label.label}
    record_event(session, principal.name, "revoke", "label", label_id, **details)
    return _get(session, label_id)


def append_labels(
    session: Session,
    glitch_ids: Collection[UUID],
    class_name: str,
    *,
    author: Principal,
    source: str = "human",
    confidences: Mapping[UUID, float | None] | None = None,
) -> list[UUID]:
    """Label many glitches in a few statements, and return the ids of the labels.

    ``confidences`` maps glitches to the confidence (0 to 1) stated by the source, if any.

    Raises:
        PermissionDeniedError: if the author may only read.
        NotFoundError: if one of the glitches does not exist.
        InvalidRequestError: if the class does not exist.
        ConflictError: if the class is retired.
    """
    require_role(author, Role.SUBMITTER)
    class_id = _usable_class(session, class_name)
    sorted_ids = sorted(set(glitch_ids))
    _lock_glitches(session, sorted_ids)
    label_ids = [uuid7() for _ in sorted_ids]
    if sorted_ids:
        session.execute(
            insert(Label),
            [
                {
                    "id": label_id,
                    "glitch_id": glitch_id,
                    "class_id": class_id,
                    "author": author.name,
                    "source": source,
                    "confidence": (confidences or {}).get(glitch_id),
                }
                for label_id, glitch_id in zip(label_ids, sorted_ids, strict=True)
            ],
        )
        _set_current(session, sorted_ids)
    return label_ids


def revoke_labels(session: Session, label_ids: Collection[UUID], *, reviewer: Principal) -> int:
    """Revoke many labels, of any author; return how many were not revoked before."""
    require_role(reviewer, Role.REVIEWER)
    about = is_any_of(Label.id, label_ids)
    glitch_ids = sorted(set(session.scalars(select(Label.glitch_id).where(about))))
    _lock_glitches(session, glitch_ids)
    revoked = _revoke(session, about, reviewer.name)
    if revoked:
        _set_current(session, glitch_ids)
    return len(revoked)


def revoke_labels_of_source(session: Session, source: str, *, revoked_by: str) -> int:
    """Revoke every label of a source; return how many glitches had one."""
    about = [Label.source == source, Label.revoked_at.is_(None)]
    glitch_ids = sorted(set(session.scalars(select(Label.glitch_id).where(*about))))
    _lock_glitches(session, glitch_ids)
    _revoke(session, Label.source == source, revoked_by)
    # Only glitches that are now unlabelled affect judging and calibration.
    for glitch_id, class_id in _write_current(session, glitch_ids):
        if class_id is None:
            note_class_changes(session, [glitch_id])
    return len(glitch_ids)


def list_labels(session: Session, glitch_id: UUID) -> list[records.Label]:
    """Labels of a glitch, oldest first, including revoked ones. NotFoundError: no such glitch."""
    rows = session.execute(_LABELS.where(Label.glitch_id == glitch_id).order_by(Label.id)).all()
    if not rows and session.get(Glitch, glitch_id) is None:
        raise NotFoundError(f"There is no glitch {glitch_id}.")
    return [records.Label.model_validate(row) for row in rows]


_LABELS: Select[*tuple[Any, ...]] = select(
    Label.id,
    Label.glitch_id,
    GlitchClass.name.label("label"),
    Label.author,
    Label.source,
    Label.confidence,
    Label.created_at,
    Label.revoked_at,
    Label.revoked_by,
).join(GlitchClass, GlitchClass.id == Label.class_id)


def _get(session: Session, label_id: UUID) -> records.Label:
    row = session.execute(_LABELS.where(Label.id == label_id)).first()
    if row is None:
        raise NotFoundError(f"There is no label {label_id}.")
    return records.Label.model_validate(row)


def _lock_glitches(session: Session, glitch_ids: Sequence[UUID]) -> None:
    """Lock glitches, so that only one transaction at a time changes their labels.

    They are locked in the order of their ids, to avoid deadlocks.
    """
    locked = session.scalars(
        select(Glitch.id)
        .where(is_any_of(Glitch.id, glitch_ids))
        .order_by(Glitch.id)
        .with_for_update(key_share=True)
    ).all()
    if len(locked) < len(glitch_ids):
        missing = min(set(glitch_ids) - set(locked))
        raise NotFoundError(f"There is no glitch {missing}.")


def _usable_class(session: Session, name: str) -> int:
    # A label's foreign key takes this lock anyway. Taking it before the state is read makes this
    # wait for a merge that retires the class, and see its result.
    row = session.scalar(
        select(GlitchClass)
        .where(
            func.lower(GlitchClass.name) == plain_class_name(name), GlitchClass.state != WITHDRAWN
        )
        .with_for_update(read=True, key_share=True)
        .execution_options(populate_existing=True)
    )
    if row is None or "\0" in name:
        raise InvalidRequestError(no_class(session, name))
    if row.state == "retired":
        raise ConflictError(f"The class {name} is retired: choose one that is in use.")
    return row.id


def _latest(column: InstrumentedAttribute[Any]) -> ScalarSelect[Any]:
    return (
        select(column)
        .where(Label.glitch_id == Glitch.id, Label.revoked_at.is_(None))
        .order_by(Label.id.desc())
        .limit(1)
        .correlate(Glitch)
        .scalar_subquery()
    )


_CURRENT = {"class_id": _latest(Label.class_id), "ml_confidence": _latest(Label.confidence)}


def _revoke(session: Session, about: ColumnElement[bool], by: str) -> Sequence[UUID]:
    return session.scalars(
        update(Label)
        .where(about, Label.revoked_at.is_(None))
        .values(revoked_at=func.now(), revoked_by=by)
        .returning(Label.id)
        .execution_options(synchronize_session=False)
    ).all()


def _write_current(session: Session, glitch_ids: Sequence[UUID]) -> Sequence[Row[UUID, int | None]]:
    rows = session.execute(
        update(Glitch)
        .where(is_any_of(Glitch.id, glitch_ids))
        .values(**_CURRENT)
        .returning(Glitch.id, Glitch.class_id)
        .execution_options(synchronize_session=False)
    ).all()
    session.expire_all()
    return rows


def _set_current(session: Session, glitch_ids: Sequence[UUID]) -> None:
    _write_current(session, glitch_ids)
    note_class_changes(session, glitch_ids)
