"""What each act changes of a class: values before and after, so that its undo restores exactly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from app.classes.log import (
    DescribeRequest,
    ExemplarsRequest,
    MoveRequest,
    RenameRequest,
    Simple,
    StateRequest,
)
from app.classes.naming import (
    WITHDRAWN,
    check_class_name,
    check_description,
    check_state,
    refuse_taken,
    usable_class,
)
from app.classes.tables import GlitchClass
from app.classes.tree import DEEPEST, Tree
from app.core.errors import ConflictError, InvalidRequestError
from app.glitches.tables import Glitch

MOST_EXEMPLARS = 12

Values = dict[str, Any]


def wanted_values(session: Session, known: GlitchClass, change: Simple) -> tuple[Values, Values]:
    """The columns that a change sets, and what the history is to say besides.

    Raises:
        InvalidRequestError: if the new value cannot be; says why.
        ConflictError: if it contradicts the other classes, or is what it was.
    """
    if isinstance(change, RenameRequest):
        return _renamed(session, known, change), {}
    if isinstance(change, DescribeRequest):
        check_description(change.description)
        return {"description": change.description.strip()}, {}
    if isinstance(change, StateRequest):
        check_state(change.state)
        return {"state": change.state}, {}
    if isinstance(change, MoveRequest):
        above = None if change.parent is None else usable_class(session, change.parent)
        values = {"parent_id": None if above is None else above.id}
        return values, {"parent": None if above is None else above.name}
    return {"exemplar_ids": _exemplars(session, known, change)}, {}


def check_values(session: Session, known: GlitchClass, values: Mapping[str, Any]) -> None:
    """Refuse values that other classes leave no room for by now.

    Raises:
        ConflictError: a name that was taken, a parent that is gone or lies below.
    """
    if "name" in values:
        refuse_taken(session, values["name"], by_other_than=known.id)
    if values.get("parent_id") is not None:
        _check_place(session, known, values["parent_id"])


def current_values(known: GlitchClass, names: Mapping[str, Any]) -> Values:
    """What these columns hold now, as JSON."""
    values = {name: getattr(known, name) for name in names}
    if "exemplar_ids" in values:
        values["exemplar_ids"] = [str(one) for one in values["exemplar_ids"]]
    return values


def set_values(session: Session, known: GlitchClass, values: Mapping[str, Any]) -> None:
    """Write columns of a class."""
    plain = dict(values)
    if "exemplar_ids" in plain:
        plain["exemplar_ids"] = [UUID(one) for one in plain["exemplar_ids"]]
    session.execute(
        update(GlitchClass)
        .where(GlitchClass.id == known.id)
        .values(**plain)
        .execution_options(synchronize_session=False)
    )
    session.refresh(known)


def _renamed(session: Session, known: GlitchClass, change: RenameRequest) -> Values:
    if known.origin == "gravityspy":
        raise ConflictError(
            f"{known.name} is Gravity Spy's name, by which its tools know the class: add a class "
            "of your own, or a sub-class, under another name."
        )
    check_class_name(change.name)
    refuse_taken(session, change.name, by_other_than=known.id)
    return {"name": change.name}


def _check_place(session: Session, known: GlitchClass, parent_id: int) -> None:
    above = session.get_one(GlitchClass, parent_id, populate_existing=True)
    tree = Tree.load(session)
    if above.state == WITHDRAWN:
        raise ConflictError("The class above was taken back by now: choose another.")
    if above.id == known.id:
        raise ConflictError("A class cannot be a sub-class of itself: choose another.")
    if known.id in tree.ancestors(above.id):
        raise ConflictError(
            f"{above.name} lies below {known.name}: move {above.name} elsewhere first."
        )
    levels = len(tree.ancestors(above.id)) + 1 + 1 + tree.depth_below(known.id)
    if levels > DEEPEST:
        raise ConflictError(
            f"Classes lie at most {DEEPEST} deep, and this would make {levels}: choose a class "
            "further up."
        )


def _exemplars(session: Session, known: GlitchClass, change: ExemplarsRequest) -> list[str]:
    wanted = list(dict.fromkeys(change.glitch_ids))
    if len(wanted) > MOST_EXEMPLARS:
        raise InvalidRequestError(
            f"At most {MOST_EXEMPLARS} exemplars show a class, not {len(wanted):,}: choose fewer."
        )
    found = session.scalar(
        select(func.count())
        .select_from(Glitch)
        .where(Glitch.id.in_(wanted), Glitch.class_id == known.id)
    )
    if found != len(wanted):
        raise InvalidRequestError(
            f"{len(wanted) - (found or 0)} of these glitches are not labelled {known.name}: label "
            "them so first, or leave them out."
        )
    return [str(one) for one in wanted]
