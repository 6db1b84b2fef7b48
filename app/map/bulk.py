"""Labels for a selection on the map: many glitches in one transaction, undone together."""

from collections.abc import Collection
from typing import Any
from uuid import UUID

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from app.classes.naming import create_class
from app.classes.service import withdraw_untouched
from app.classes.tables import GlitchClass
from app.core.access import Principal, Role, record_event, require_role
from app.core.errors import ConflictError, InvalidRequestError, NotFoundError
from app.glitches.labels import append_labels, revoke_labels
from app.map import records
from app.map.tables import BulkLabel

MAX_AT_ONCE = 10_000  # glitches labelled in one transaction
_SOURCE = "map"


def label_selection(
    session: Session,
    glitch_ids: Collection[UUID],
    class_name: str,
    *,
    reviewer: Principal,
    is_new: bool = False,
) -> records.BulkLabel:
    """Label a selection of glitches, all or none.

    Duplicate ids count once. With ``is_new`` the class is created first, and the undo withdraws it.

    Raises:
        PermissionDeniedError: if the caller is not a reviewer.
        InvalidRequestError: if there are no or too many glitches, or if the class does not exist
            or its name is not valid.
        NotFoundError: if a glitch does not exist.
        ConflictError: if the class is retired, or the new one exists already.
    """
    require_role(reviewer, Role.REVIEWER)
    ids = set(glitch_ids)
    if not ids:
        raise InvalidRequestError("Nothing is selected: choose some glitches first.")
    if len(ids) > MAX_AT_ONCE:
        raise InvalidRequestError(
            f"{len(ids):,} glitches are more than the {MAX_AT_ONCE:,} that are labelled at "
            "once: choose fewer, for example by a time range."
        )
    if is_new:
        description = f"Named by {reviewer.name} from a selection of {len(ids):,} glitches."
        create_class(session, class_name, description=description, author=reviewer)
    label_ids = append_labels(session, ids, class_name, author=reviewer, source=_SOURCE)
    row = BulkLabel(
        class_id=session.scalars(
            select(GlitchClass.id).where(func.lower(GlitchClass.name) == class_name.lower())
        ).one(),
        label_ids=label_ids,
        made_class=is_new,
        author=reviewer.name,
    )
    session.add(row)
    session.flush()
    details = {"class_name": class_name, "n_glitches": len(label_ids)}
    record_event(session, reviewer.name, "label", "selection", row.id, **details)
    return get_bulk_label(session, row.id)


def undo_selection(session: Session, bulk_id: UUID, *, reviewer: Principal) -> records.BulkLabel:
    """Undo the labels of a selection together.

    A label that somebody added to one of the glitches since stays. A class that was created with
    them is withdrawn too, unless it was used or changed since.
    """
    require_role(reviewer, Role.REVIEWER)
    row = session.get(BulkLabel, bulk_id, with_for_update=True, populate_existing=True)
    if row is None:
        raise NotFoundError(f"No selection was labelled under {bulk_id}.")
    if row.undone_at is not None:
        raise ConflictError(f"These labels were undone already, by {row.undone_by}.")
    n_revoked = revoke_labels(session, row.label_ids, reviewer=reviewer)
    if row.made_class:
        withdraw_untouched(session, row.class_id, author=reviewer)
    row.undone_at, row.undone_by = func.now(), reviewer.name
    record_event(session, reviewer.name, "undo", "selection", bulk_id, n_revoked=n_revoked)
    session.flush()
    session.expire_all()
    return get_bulk_label(session, bulk_id)


def get_bulk_label(session: Session, bulk_id: UUID) -> records.BulkLabel:
    """Return one labelled selection."""
    row = session.execute(_ACTS.where(BulkLabel.id == bulk_id)).first()
    if row is None:
        raise NotFoundError(f"No selection was labelled under {bulk_id}.")
    return records.BulkLabel.model_validate(row)


def list_bulk_labels(session: Session, *, limit: int = 5) -> tuple[records.BulkLabel, ...]:
    """Return the latest labelled selections, latest first."""
    rows = session.execute(_ACTS.order_by(BulkLabel.created_at.desc()).limit(limit))
    return tuple(records.BulkLabel.model_validate(row) for row in rows)


_ACTS: Select[*tuple[Any, ...]] = select(
    BulkLabel.id,
    GlitchClass.name.label("label"),
    func.cardinality(BulkLabel.label_ids).label("n_glitches"),
    BulkLabel.author,
    BulkLabel.created_at,
    BulkLabel.undone_at,
    BulkLabel.undone_by,
).join(GlitchClass, GlitchClass.id == BulkLabel.class_id)
