"""Histories of actions, undos and redos: which actions are in force, and what can be undone.

A history is a sequence of events, and the state follows from it. Clusters and classes have such
histories.

Each action names the last event that its author has seen. If something else happened since, the
action is refused, and the message gives the author and a summary of the later events. When two
people act at once, the second is refused, and the work of the first is not lost.

Undo and redo are accepted only in order, as with two stacks.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated, Any, Generic, Literal, Self, TypeVar, cast, get_args

import sqlalchemy as sa
from pydantic import Field
from sqlalchemy.orm import Mapped, Session, declared_attr, mapped_column

from app.core.errors import ConflictError, InvalidRequestError, NotFoundError
from app.core.model import Model

# The services check names and texts, because their messages are clearer than pydantic's.
Name = Annotated[str, Field(max_length=20_000)]
LONGEST_REMARK = 4000
_MAX_EVENTS_LISTED = 3
Remark = Annotated[str, Field(max_length=4 * LONGEST_REMARK)]
_EventId = Annotated[int, Field(ge=1, le=2**62)]


class EventRow:
    """Columns of a table of events. Append-only: an undo is an event, and a redo undoes an undo."""

    __tablename__: str
    id: Mapped[int] = mapped_column(sa.BigInteger, sa.Identity(always=True), primary_key=True)
    kind: Mapped[str]
    author: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=sa.func.now())
    payload: Mapped[dict[str, Any]]  # the request or the values, what an undo needs, the remark

    @declared_attr
    def undoes_event_id(cls) -> Mapped[int | None]:  # noqa: N805
        return mapped_column(sa.BigInteger, sa.ForeignKey(f"{cls.__tablename__}.id"), unique=True)

    @classmethod
    def add(
        cls, session: Session, kind: str, author: str, *, undoes: int | None = None, **about: Any
    ) -> Self:
        """Store an event of this kind, and return its row."""
        row = cls(
            **{"kind": kind, "author": author, "undoes_event_id": undoes, "payload": {}, **about}
        )
        session.add(row)
        session.flush()
        return row


class ActRequest(Model):
    """What comes with every act."""

    last_event_id: Annotated[int, Field(ge=0, le=2**62)] = Field(
        description="`last_event_id` of the history as you saw it; 0 for none. If something "
        "happened since, the answer is 409 with who did what."
    )
    remark: Remark = Field(default="", description="Reason, stored with the event.")

    @classmethod
    def unchecked(cls, **values: Any) -> Self:
        """Make a request for a page or a job without validation; the services check the values."""
        (action,) = get_args(cls.model_fields["action"].annotation)
        fields: dict[str, Any] = {"action": action, **values}
        return cast("Self", cls.model_construct(**fields))


def request_of(requests: Any, action: str, **values: Any) -> Any:
    """Make (see ``unchecked``) the request of a union of request types that has this action."""
    types = {get_args(one.model_fields["action"].annotation)[0]: one for one in get_args(requests)}
    return types[action].unchecked(**values)


class UndoRequest(ActRequest):
    """Undo the last action in force, or a comment."""

    action: Literal["undo"]
    event_id: _EventId


class RedoRequest(ActRequest):
    """Redo the last undone action."""

    action: Literal["redo"]
    event_id: _EventId


Turn = UndoRequest | RedoRequest


class LoggedEvent(Model):
    """Something that was done."""

    id: int  # grows with time
    kind: str  # "comment" is outside the undo and redo stacks
    summary: str = Field(description="Short description of the action.")
    author: str
    created_at: datetime
    undoes_event_id: int | None  # an undo of an undo does the action again
    is_in_force: bool = Field(description="False if it was undone.")
    may_undo: bool
    may_redo: bool
    why_not: str | None = Field(
        default=None, description="Why it cannot be undone or redone although it is next in turn."
    )
    # What undo and redo need to know, and the remark.
    payload: Mapping[str, Any] = Field(exclude=True)


EventT = TypeVar("EventT", bound=LoggedEvent)


@dataclass(frozen=True)
class EventLog(Generic[EventT]):
    """The state that follows from the events so far.

    ``done`` is a stack. Only its last action may be undone, because later ones may build on earlier
    ones. ``undone`` is the stack of actions that may be redone; any new action clears it. Remarks
    are in neither stack, because nothing builds on them.
    """

    events: tuple[EventT, ...]
    done: tuple[int, ...]
    undone: tuple[int, ...]
    root_of: Mapping[int, int]  # event id -> id of the action that it does, undoes or redoes
    last_event_of: Mapping[int, int]  # action id -> id of the last event about it
    in_force: frozenset[int]  # actions in force, remarks included
    thing: str  # what the log describes: "cluster" or "class"

    @property
    def last_id(self) -> int:
        """Id of the last event; 0 if there is none."""
        return self.events[-1].id if self.events else 0

    def event(self, event_id: int) -> EventT:
        """Return the event with this id, which must be in this log."""
        return next(event for event in self.events if event.id == event_id)

    def last_execution_of(self, root: EventT) -> EventT:
        """Return the event that did an action last: the action itself, or its last redo."""
        about = [event for event in self.events if self.root_of[event.id] == root.id]
        return next((event for event in reversed(about) if event.kind == "redo"), root)

    def with_obstacles(self, obstacle: Callable[[EventT], str | None]) -> Self:
        """Return the log with further obstacles to undo and redo.

        ``obstacle`` returns why an event cannot be undone or redone, or None.
        """

        def judged(event: EventT) -> EventT:
            why_not = obstacle(event) if event.may_undo or event.may_redo else None
            if why_not is None:
                return event
            return event.model_copy(
                update={"may_undo": False, "may_redo": False, "why_not": why_not}
            )

        return replace(self, events=tuple(map(judged, self.events)))

    def may_undo(self, event_id: int) -> bool:
        """Return whether this action can be undone now."""
        return event_id in self.root_of and self.event(event_id).may_undo


class HistoryOf(Model, Generic[EventT]):
    """The events of a log, oldest first, as the API sends them."""

    items: list[EventT]
    last_event_id: int = Field(description="To be sent with the next action.")

    @classmethod
    def of(cls, log: EventLog[EventT]) -> Self:
        return cls(items=list(log.events), last_event_id=log.last_id)


def replay_events(
    rows: Sequence[Any],
    record: Callable[[Any, dict[str, Any]], EventT],
    *,
    thing: str,
    describe_act: Callable[[Any], str],
) -> EventLog[EventT]:
    """Compute the state that follows from these events.

    Args:
        rows: All stored events, oldest first; those of kind ``undo`` undo another one.
        record: Makes an event from its row and the fields common to all histories.
        thing: What the history describes, such as "cluster".
        describe_act: Describes an action (not an undo or redo) in a few words, without its author.
    """
    done: list[int] = []
    undone: list[int] = []
    root_of: dict[int, int] = {}
    last_event_of: dict[int, int] = {}
    in_force: set[int] = set()
    applying: set[int] = set()  # events that do or redo an action
    by_id = {row.id: row for row in rows}
    for row in rows:
        root = row.id if row.undoes_event_id is None else root_of[row.undoes_event_id]
        root_of[row.id] = root
        last_event_of[root] = row.id
        is_remark = by_id[root].kind == "comment"
        if root not in in_force:
            in_force.add(root)
            applying.add(row.id)
            if is_remark:
                continue
            if row.undoes_event_id is None:
                undone.clear()
            else:
                undone.remove(root)
            done.append(root)
        else:
            in_force.remove(root)
            if not is_remark:
                done.remove(root)
                undone.append(root)

    def event(row: Any) -> EventT:
        root, is_act = by_id[root_of[row.id]], row.undoes_event_id is None
        is_remark, verb = row.kind == "comment", "redid" if row.id in applying else "undid"
        description = describe_act(root)
        common = {
            "id": row.id,
            "kind": "redo" if verb == "redid" and not is_act else row.kind,
            "summary": description if is_act else f"{verb} “{description}”",
            "author": row.author,
            "created_at": row.created_at,
            "undoes_event_id": row.undoes_event_id,
            "is_in_force": root.id in in_force,
            "may_undo": done[-1:] == [row.id] or (is_remark and row.id in in_force),
            "may_redo": undone[-1:] == [row.id] or (is_remark and row.id not in in_force),
            "payload": row.payload,
        }
        return record(row, common)

    return EventLog(
        events=tuple(map(event, rows)),
        done=tuple(done),
        undone=tuple(undone),
        root_of=root_of,
        last_event_of=last_event_of,
        in_force=frozenset(in_force),
        thing=thing,
    )


def refuse_stale(log: EventLog[EventT], last_event_id: int) -> None:
    """Refuse an action whose author has not seen the last event other than remarks.

    Raises:
        InvalidRequestError: if the event id is not in this history.
        ConflictError: if there were later actions; the message names them.
    """
    if last_event_id and last_event_id not in log.root_of:
        raise InvalidRequestError(
            f"Event {last_event_id} is not in this {log.thing}'s history: give the id of the last "
            "event that you saw, or 0."
        )
    unseen = [
        event
        for event in log.events
        if event.id > last_event_id and log.event(log.root_of[event.id]).kind != "comment"
    ]
    if unseen:
        descriptions = "; ".join(
            f"{event.author}: {event.summary} ({event.created_at:%H:%M} UTC)"
            for event in unseen[-_MAX_EVENTS_LISTED:]
        )
        raise ConflictError(
            f"Nothing was changed, because somebody else acted after you opened this {log.thing}: "
            f"{descriptions}. Look at it again, then decide."
        )


def act_to_turn(log: EventLog[EventT], request: Turn) -> EventT:
    """Return the action that a request undoes or redoes.

    Raises:
        NotFoundError: if the event is not in this history.
        ConflictError: if it is not its turn to be undone or redone.
    """
    if request.event_id not in log.root_of:
        raise NotFoundError(f"There is no event {request.event_id} in this {log.thing}'s history.")
    root = log.event(log.root_of[request.event_id])
    is_undo = isinstance(request, UndoRequest)
    if not (root.may_undo if is_undo else root.may_redo):
        raise ConflictError(_refusal_reason(log, root, is_undo=is_undo))
    return root


def check_remark(text: str) -> str:
    """Return a remark without surrounding white space.

    Raises:
        InvalidRequestError: if it is empty, too long or contains NUL.
    """
    trimmed = text.strip()
    if not trimmed:
        raise InvalidRequestError("The comment is empty: write one.")
    if "\0" in trimmed:
        raise InvalidRequestError("The comment contains a NUL character: remove it.")
    if len(trimmed) > LONGEST_REMARK:
        raise InvalidRequestError(
            f"The comment has {len(trimmed):,} characters: shorten it to {LONGEST_REMARK:,}."
        )
    return trimmed


def _refusal_reason(log: EventLog[EventT], root: EventT, *, is_undo: bool) -> str:
    is_applied = root.id in log.in_force
    if is_undo and not is_applied:
        undone_by = log.event(log.last_event_of[root.id]).author
        return f"Event {root.id} was already undone, by {undone_by}."
    if not is_undo and is_applied:
        return f"Event {root.id} is in force, so there is nothing to redo."
    if is_undo:
        last = log.event(log.done[-1])
        return f"{last.author} {last.summary} later (event {last.id}): undo that first."
    if root.id in log.undone:
        return f"Event {log.undone[-1]} was undone later: redo it first."
    return f"Something else was done since event {root.id} was undone, so it cannot be redone."
