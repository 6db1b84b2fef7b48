"""Actions on classes. Every action and every undo is an event with its author.

As in the review of clusters, an action is refused if its author has not seen the latest event.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.classes import changes, naming, records, tables
from app.classes.log import Change, ClassEvent, ClassLog, MergeClassRequest, StateRequest, replay
from app.classes.tables import GlitchClass
from app.classes.tree import Tree
from app.clusters.tables import LabelSuggestion
from app.core.access import Principal, Role, record_event, require_role
from app.core.errors import ConflictError, InvalidRequestError, NotFoundError, PermissionDeniedError
from app.core.events import RedoRequest, Turn, UndoRequest, act_to_turn, check_remark, refuse_stale
from app.glitches.tables import Label


def get_class(session: Session, class_id: int) -> records.GlitchClass:
    """Return the class with this id."""
    row = session.execute(
        naming.select_classes().where(
            GlitchClass.id == class_id, GlitchClass.state != naming.WITHDRAWN
        )
    ).first()
    if row is None:
        raise NotFoundError(f"There is no class {class_id}: see the list of classes.")
    return naming.to_class_record(row)


def get_class_named(session: Session, name: str) -> records.GlitchClass:
    """Return the class with this name."""
    row = naming.find_class(session, name)
    if row is not None:
        return get_class(session, row.id)
    raise NotFoundError(naming.no_class(session, name))


def class_history(session: Session, class_id: int) -> ClassLog:
    """Return the actions on a class, oldest first."""
    rows = session.scalars(
        select(tables.ClassEvent)
        .where(tables.ClassEvent.class_id == class_id)
        .order_by(tables.ClassEvent.id)
    )
    return replay(rows.all())


def history_shown(
    session: Session, class_id: int, *, principal: Principal | None = None
) -> ClassLog:
    """Return the history, with the reason why the next undo or redo is not possible.

    If ``principal`` is given, their role is checked too.
    """
    known = session.get_one(GlitchClass, class_id)
    log = class_history(session, class_id)

    def obstacle(event: ClassEvent) -> str | None:
        try:
            if event.kind == "merge" and principal is not None:
                require_role(principal, Role.ADMIN)
            refuse_turn(session, known, log, event, is_undo=event.may_undo)
        except (PermissionDeniedError, ConflictError, InvalidRequestError) as error:
            return str(error)
        return None

    return log.with_obstacles(obstacle)


def change_class(
    session: Session, class_id: int, change: Change, *, author: Principal
) -> records.Changed:
    """Apply an action to a class, in the caller's transaction.

    The action contains the latest event that its author has seen. It needs the role reviewer; to
    merge classes, or to retire a Gravity Spy class, admin.

    Raises:
        PermissionDeniedError: if the role is not sufficient.
        NotFoundError: if there is no such class or event.
        InvalidRequestError: if the change is not valid; says why.
        ConflictError: if somebody was quicker, or it contradicts other classes; says who and what.
    """
    require_role(author, Role.REVIEWER)
    noted = {"remark": check_remark(change.remark)} if change.remark.strip() else {}
    naming.lock_classes(session)
    known = session.get(GlitchClass, class_id, populate_existing=True)
    log = class_history(session, class_id)
    if known is None or (known.state == naming.WITHDRAWN and not isinstance(change, RedoRequest)):
        raise NotFoundError(f"There is no class {class_id}: see the list of classes.")
    refuse_stale(log, change.last_event_id)
    with session.begin_nested():  # a refused action leaves no event, even if the caller continues
        if isinstance(change, Turn):
            row = _turn(session, known, log, change, author)
        else:
            row = _do(session, known, change, author)
        row.payload = {**row.payload, **noted}
    record_event(session, author.name, row.kind, "class", known.name, event=row.id)
    session.flush()
    is_gone = known.state == naming.WITHDRAWN
    log = history_shown(session, class_id)
    return records.Changed(
        glitch_class=None if is_gone else get_class(session, class_id),
        event_id=log.last_id,
        history=records.ClassHistory.of(log),
    )


@dataclass(frozen=True)
class Merged:
    """A merge of classes that was not undone."""

    at: datetime
    class_id: int
    into_id: int


def active_merges(session: Session) -> list[Merged]:
    """Return the merges of classes that were not undone, in order."""
    merged = select(tables.ClassEvent.class_id).where(tables.ClassEvent.kind == "merge").distinct()
    merges = []
    for class_id in session.scalars(merged).all():
        log = class_history(session, class_id)
        for root in map(log.event, log.done):
            if root.kind == "merge":
                act = log.last_execution_of(root)
                merges.append((act.id, Merged(act.created_at, class_id, act.payload["into_id"])))
    return [one for _, one in sorted(merges, key=lambda pair: pair[0])]


def note_withdrawal(session: Session, class_id: int, *, author: Principal) -> None:
    """Record in a class's history that the review which named it was undone."""
    log = class_history(session, class_id)
    if log.done:
        undone = log.last_event_of[log.done[-1]]
        tables.ClassEvent.add(session, "undo", author.name, class_id=class_id, undoes=undone)


def withdraw_unchanged(session: Session, class_id: int, *, author: Principal) -> bool:
    """Withdraw a class that was created for labels now removed; return whether it was withdrawn.

    A class that was used or changed since is not withdrawn.
    """
    naming.lock_classes(session)
    known = session.get_one(GlitchClass, class_id, populate_existing=True)
    if any(event.kind != "create" for event in class_history(session, class_id).events):
        return False
    try:
        refuse_used(session, known)
    except ConflictError:
        return False
    known.state = naming.WITHDRAWN
    note_withdrawal(session, class_id, author=author)
    session.flush()
    return True


def _do(session: Session, known: GlitchClass, change: Any, author: Principal) -> tables.ClassEvent:
    is_retiring = isinstance(change, StateRequest) and change.state == "retired"
    if isinstance(change, MergeClassRequest) or (is_retiring and known.origin == "gravityspy"):
        require_role(author, Role.ADMIN)
    row = tables.ClassEvent.add(session, change.action, author.name, class_id=known.id)
    if isinstance(change, MergeClassRequest):
        memory = changes.merge_into(session, known, change.into, author=author, event_id=row.id)
        values: dict[str, Any] = {"state": "retired"}
    else:
        values, memory = changes.requested_values(session, known, change)
    before = changes.current_values(known, values)
    if before == values:
        raise ConflictError(f"{known.name} is like that already: nothing was changed.")
    changes.check_values(session, known, values)
    changes.set_values(session, known, values)
    row.payload = {"before": before, "after": values, **memory}
    session.flush()
    return row


def _turn(
    session: Session, known: GlitchClass, log: ClassLog, change: Turn, author: Principal
) -> tables.ClassEvent:
    """Undo or redo an event."""
    root = act_to_turn(log, change)
    is_undo = isinstance(change, UndoRequest)
    if root.kind == "merge":
        require_role(author, Role.ADMIN)
    refuse_turn(session, known, log, root, is_undo=is_undo)
    undone = log.last_event_of[root.id]
    row = tables.ClassEvent.add(session, "undo", author.name, class_id=known.id, undoes=undone)
    event = log.last_execution_of(root)
    memory = event.payload
    values, _ = _values_of(root, memory, is_undo=is_undo)
    if root.kind == "merge":
        if is_undo:
            changes.undo_merge(session, known, memory, author=author, event_id=event.id)
        else:
            into = session.get_one(GlitchClass, memory["into_id"]).name
            memory = {
                **memory,
                **changes.merge_into(session, known, into, author=author, event_id=row.id),
            }
    changes.set_values(session, known, values)
    row.payload = {} if is_undo else dict(memory)
    session.flush()
    return row


def refuse_turn(
    session: Session, known: GlitchClass, log: ClassLog, root: ClassEvent, *, is_undo: bool
) -> None:
    """Refuse an undo or redo that conflicts with later changes.

    Raises:
        InvalidRequestError, ConflictError: says who changed what.
    """
    memory = log.last_execution_of(root).payload
    if root.kind == "create":
        if root.payload.get("is_from_review"):
            raise ConflictError(
                "The class was created by naming a cluster: undo that in the cluster's history, "
                "which also withdraws the class."
            )
        if is_undo:
            refuse_used(session, known)
    values, expected = _values_of(root, memory, is_undo=is_undo)
    if changes.current_values(known, expected) != expected:
        raise ConflictError(
            f"{known.name} was changed since through another class: undo what was done to that "
            "one first."
        )
    if root.kind == "merge" and is_undo:
        changes.refuse_moved_children(session, memory)
    elif root.kind == "merge":
        changes.mergeable_into(session, known, session.get_one(GlitchClass, memory["into_id"]).name)
    named = {"name": known.name} if root.kind == "create" and not is_undo else {}
    changes.check_values(session, known, {**values, **named})


def _values_of(
    root: ClassEvent, memory: Mapping[str, Any], *, is_undo: bool
) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return the values that an undo or redo sets, and those that must be there now."""
    if root.kind == "create":
        before, after = {"state": naming.WITHDRAWN}, {"state": root.payload["after"]["state"]}
    else:
        before, after = memory["before"], memory["after"]
    return (before, after) if is_undo else (after, before)


def refuse_used(session: Session, known: GlitchClass, *, exempt: UUID | None = None) -> None:
    """Refuse to withdraw a class that others use.

    Suggestions by the cluster with the identity ``exempt`` do not count.
    """
    labels = session.execute(
        select(func.count(), func.max(Label.author)).where(
            Label.class_id == known.id, Label.revoked_at.is_(None)
        )
    ).one()
    if labels[0]:
        raise ConflictError(
            f"{labels[0]:,} {'glitch was' if labels[0] == 1 else 'glitches were'} labelled "
            f"{known.name} since, by {labels[1]}"
            f"{'' if labels[0] == 1 else ' among others'}: revoke those labels first."
        )
    waiting = select(func.count()).where(LabelSuggestion.class_id == known.id)
    if exempt is not None:
        waiting = waiting.where(LabelSuggestion.identity != exempt)
    if session.scalar(waiting):
        raise ConflictError(
            f"Another cluster was merged into {known.name} since: undo that merge first."
        )
    children = Tree.load(session).children(known.id)
    if children:
        name = session.get_one(GlitchClass, children[0]).name
        raise ConflictError(f"{name} is a sub-class of {known.name} now: move it first.")
