"""What each action changes in a class: values before and after, for an exact undo."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import delete, exists, func, insert, select, update
from sqlalchemy.orm import Session

from app.classes import log, naming
from app.classes.tables import GlitchClass
from app.classes.tree import DEEPEST, Tree
from app.clusters.tables import LabelSuggestion
from app.core.access import Principal
from app.core.database import uuid7
from app.core.errors import ConflictError, InvalidRequestError, check_choice
from app.glitches.labels import revoke_labels_of_source
from app.glitches.tables import Glitch, Label
from app.novelty.job import request_judging

MAX_EXEMPLARS = 12

Values = dict[str, Any]


def requested_values(
    session: Session, known: GlitchClass, change: log.Simple
) -> tuple[Values, Values]:
    """Return the columns that a change sets, and further values for the history."""
    if isinstance(change, log.RenameRequest):
        return _renamed(session, known, change), {}
    if isinstance(change, log.DescribeRequest):
        naming.check_description(change.description)
        return {"description": change.description.strip()}, {}
    if isinstance(change, log.StateRequest):
        check_choice(change.state, naming.STATES, "state")
        return {"state": change.state}, {}
    if isinstance(change, log.MoveRequest):
        parent = None if change.parent is None else naming.usable_class(session, change.parent)
        values = {"parent_id": None if parent is None else parent.id}
        return values, {"parent": None if parent is None else parent.name}
    return {"exemplar_ids": _exemplars(session, known, change)}, {}


def check_values(session: Session, known: GlitchClass, values: Mapping[str, Any]) -> None:
    """Refuse values that conflict with other classes."""
    if "name" in values:
        naming.refuse_taken(session, values["name"], except_id=known.id)
    if values.get("parent_id") is not None:
        _check_place(session, known, values["parent_id"])


def current_values(known: GlitchClass, names: Mapping[str, Any]) -> Values:
    """Return the current values of these columns, as JSON."""
    values = {name: getattr(known, name) for name in names}
    if "exemplar_ids" in values:
        values["exemplar_ids"] = [str(one) for one in values["exemplar_ids"]]
    return values


def set_values(session: Session, known: GlitchClass, values: Mapping[str, Any]) -> None:
    """Set columns of a class."""
    for name, value in values.items():
        setattr(known, name, [UUID(one) for one in value] if name == "exemplar_ids" else value)
    session.flush()


def _renamed(session: Session, known: GlitchClass, change: log.RenameRequest) -> Values:
    if known.origin == "gravityspy":
        raise ConflictError(
            f"{known.name} is Gravity Spy's name, by which its tools know the class: add a class "
            "of your own, or a sub-class, under another name."
        )
    naming.check_class_name(change.name)
    naming.refuse_taken(session, change.name, except_id=known.id)
    return {"name": change.name}


def _check_place(session: Session, known: GlitchClass, parent_id: int) -> None:
    parent = session.get_one(GlitchClass, parent_id, populate_existing=True)
    tree = Tree.load(session)
    if parent.state == naming.WITHDRAWN:
        raise ConflictError("The class above was withdrawn meanwhile: choose another.")
    if parent.id == known.id:
        raise ConflictError("A class cannot be a sub-class of itself: choose another.")
    if known.id in tree.ancestors(parent.id):
        raise ConflictError(
            f"{parent.name} is a sub-class of {known.name}: move {parent.name} elsewhere first."
        )
    levels = len(tree.ancestors(parent.id)) + 1 + 1 + tree.depth_below(known.id)
    if levels > DEEPEST:
        raise ConflictError(
            f"Classes have at most {DEEPEST} levels, and this would make {levels}: choose a class "
            "further up."
        )


def _exemplars(session: Session, known: GlitchClass, change: log.ExemplarsRequest) -> list[str]:
    ids = list(dict.fromkeys(change.glitch_ids))
    if len(ids) > MAX_EXEMPLARS:
        raise InvalidRequestError(
            f"A class has at most {MAX_EXEMPLARS} exemplars, not {len(ids):,}: choose fewer."
        )
    number = session.scalar(
        select(func.count())
        .select_from(Glitch)
        .where(Glitch.id.in_(ids), Glitch.class_id == known.id)
    )
    if number != len(ids):
        raise InvalidRequestError(
            f"{len(ids) - (number or 0)} of these glitches are not labelled {known.name}: label "
            "them so first, or leave them out."
        )
    return [str(one) for one in ids]


MAX_MERGED = 200_000  # glitches in one transaction
_ROWS = 5000

Memory = dict[str, Any]


def merge_into(
    session: Session, known: GlitchClass, name: str, *, author: Principal, event_id: int
) -> Memory:
    """Label all glitches of this class with another one; return what the undo needs.

    The new labels have the merge as their source, so that its undo revokes only them and no labels
    added in between.
    """
    into = mergeable_into(session, known, name)
    # A transaction that labels a glitch holds a key-share lock on the class
    # (app.glitches.labels). Wait for those, so that no label of this class is added meanwhile.
    session.execute(select(GlitchClass.id).where(GlitchClass.id == known.id).with_for_update())
    moved = list(
        session.scalars(
            select(Glitch.id)
            .where(Glitch.class_id == known.id)
            .order_by(Glitch.id)
            .limit(MAX_MERGED + 1)
            .with_for_update(key_share=True)
        )
    )
    if len(moved) > MAX_MERGED:
        raise ConflictError(
            f"More than {MAX_MERGED:,} glitches are labelled {known.name}, too many for one "
            f"action: make {known.name} a sub-class of {into.name} instead."
        )
    for start in range(0, len(moved), _ROWS):
        session.execute(
            insert(Label),
            [
                {
                    "id": uuid7(),
                    "glitch_id": glitch_id,
                    "class_id": into.id,
                    "author": author.name,
                    "source": source_of(event_id),
                }
                for glitch_id in moved[start : start + _ROWS]
            ],
        )
    session.execute(
        update(Glitch)
        .where(Glitch.class_id == known.id)
        .values(class_id=into.id)
        .execution_options(synchronize_session=False)
    )
    if moved:  # only one of the classes may calibrate, or be a catch-all
        request_judging(session, author.name)
    # The suggestions that are left are for glitches that have another label by now.
    session.execute(
        delete(LabelSuggestion)
        .where(LabelSuggestion.class_id == known.id)
        .execution_options(synchronize_session=False)
    )
    children = list(Tree.load(session).children(known.id))
    _move_children(session, children, into.id)
    session.expire_all()
    return {"into": into.name, "into_id": into.id, "n_glitches": len(moved), "children": children}


def undo_merge(
    session: Session,
    known: GlitchClass,
    memory: Mapping[str, Any],
    *,
    author: Principal,
    event_id: int,
) -> None:
    """Revoke the labels of the merge and move the sub-classes back."""
    refuse_moved_children(session, memory)
    children = [int(one) for one in memory["children"]]
    if revoke_labels_of_source(session, source_of(event_id), revoked_by="undo of a merge"):
        request_judging(session, author.name)
    _move_children(session, children, known.id)
    session.expire_all()


def refuse_moved_children(session: Session, memory: Mapping[str, Any]) -> None:
    """Refuse to undo a merge if one of its sub-classes was moved since."""
    children = [int(one) for one in memory["children"]]
    tree = Tree.load(session)
    moved = [one for one in children if tree.parents.get(one) != memory["into_id"]]
    if moved:
        name = session.get_one(GlitchClass, moved[0]).name
        raise ConflictError(
            f"The sub-class {name} was moved since the merge: undo that move first."
        )


def source_of(event_id: int) -> str:
    """Return the source of the labels that a merge appends."""
    return f"merge of classes, event {event_id}"


def mergeable_into(session: Session, known: GlitchClass, name: str) -> GlitchClass:
    """Return the class of this name, after checking that the other can be merged into it."""
    into = naming.find_class(session, name)
    if into is None:
        raise InvalidRequestError(naming.no_class(session, name))
    if into.id == known.id:
        raise InvalidRequestError("A class cannot be merged into itself: choose another.")
    for one in (known, into):
        if one.state == "retired":
            raise ConflictError(f"The class {one.name} is retired: reactivate it first.")
    tree = Tree.load(session)
    if known.id in tree.ancestors(into.id):
        raise ConflictError(
            f"{into.name} is a sub-class of {known.name}: merge it the other way round, or move "
            f"{into.name} elsewhere first."
        )
    levels = len(tree.ancestors(into.id)) + 1 + tree.depth_below(known.id)
    if levels > DEEPEST:
        raise ConflictError(
            f"With the sub-classes of {known.name} there would be {levels} levels, more than "
            f"{DEEPEST}: move them first."
        )
    is_open = exists().where(Glitch.id == LabelSuggestion.glitch_id, Glitch.class_id.is_(None))
    suggested = select(func.count()).select_from(LabelSuggestion)
    waiting = session.scalar(suggested.where(LabelSuggestion.class_id == known.id, is_open))
    if waiting:
        raise ConflictError(
            f"{waiting:,} suggested labels {known.name} wait to be accepted: accept them, or undo "
            "the reviews that made them, then merge."
        )
    return into


def _move_children(session: Session, children: list[int], parent_id: int) -> None:
    if children:
        session.execute(
            update(GlitchClass)
            .where(GlitchClass.id.in_(children))
            .values(parent_id=parent_id)
            .execution_options(synchronize_session=False)
        )
