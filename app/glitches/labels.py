"""Labels: append-only statements that a glitch belongs to a class.

The current label of a glitch is its latest one that is not revoked. ``glitch.class_id`` and
``glitch.ml_confidence`` repeat it (see ``app.glitches.tables.Glitch``). They are set only here, in
the same transaction.
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

    ``source`` says how it was made, for example ``"human"`` or ``"simulation"``.

    Raises:
        PermissionDeniedError: if the author may only read.
        NotFoundError: if there is no such glitch.
        InvalidRequestError: if there is no such class, or the source is no word.
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
    """Take a label back; it stays in the history, and the one before it is current again.

    Its author may, and any reviewer.

    Raises:
        NotFoundError: if there is no such label.
        PermissionDeniedError: if it is somebody else's and the principal is no reviewer.
        ConflictError: if it was revoked before; says by whom.
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
        raise ConflictError(f"Label {label_id} was revoked before, by {by}.")
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
    """Label many glitches in a few statements; the ids of the labels.

    ``confidences`` are those of the labels whose source states one, 0 to 1, by glitch.

    Raises:
        PermissionDeniedError: if the author may only read.
        NotFoundError: if one of the glitches is not there.
        InvalidRequestError: if there is no such class.
        ConflictError: if the class is retired.
    """
    require_role(author, Role.SUBMITTER)
    class_id = _usable_class(session, class_name)
    wanted = sorted(set(glitch_ids))
    _lock_glitches(session, wanted)
    label_ids = [uuid7() for _ in wanted]
    if wanted:
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
                for label_id, glitch_id in zip(label_ids, wanted, strict=True)
            ],
        )
        _set_current(session, wanted)
    return label_ids


def revoke_labels(session: Session, label_ids: Collection[UUID], *, reviewer: Principal) -> int:
    """Take many labels back, of any author; how many were not revoked before."""
    require_role(reviewer, Role.REVIEWER)
    about = is_any_of(Label.id, label_ids)
    glitch_ids = sorted(set(session.scalars(select(Label.glitch_id).where(about))))
    _lock_glitches(session, glitch_ids)
    revoked = _revoke(session, about, reviewer.name)
    if revoked:
        _set_current(session, glitch_ids)
    return len(revoked)


def revoke_labels_of_source(session: Session, source: str, *, revoked_by: str) -> int:
    """Take back every label that one act appended; how many were not revoked before."""
    about = [Label.source == source, Label.revoked_at.is_(None)]
    glitch_ids = sorted(set(session.scalars(select(Label.glitch_id).where(*about))))
    _lock_glitches(session, glitch_ids)
    _revoke(session, Label.source == source, revoked_by)
    # Most stay labelled, so that they judge and calibrate as before: only the others need a look.
    for glitch_id, class_id in _write_current(session, glitch_ids):
        if class_id is None:
            note_class_changes(session, [glitch_id])
    return len(glitch_ids)


def list_labels(session: Session, glitch_id: UUID) -> list[records.Label]:
    """All labels of a glitch, revoked ones included, oldest first."""
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
    """Lock glitches, so that their labels are changed one transaction at a time.

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
    # The lock that a label's foreign key takes anyway, taken before the state is read: a merge that
    # retires the class is waited for, and seen.
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
