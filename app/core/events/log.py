"""Logs of acts, undos and redos: what stands, and what may be undone or done again.

Pure: a log is a sequence of events, and which of them stand follows from the sequence alone. The
histories of clusters and of classes are such logs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar


@dataclass(frozen=True)
class Undo:
    """Ask that an event be taken back."""

    event_id: int


@dataclass(frozen=True)
class Redo:
    """Ask that an event be done again that was taken back."""

    event_id: int


@dataclass(frozen=True)
class LoggedEvent:
    """Something that was done."""

    id: int  # grows with time
    kind: str  # ``comment`` is outside the stacks, ``undo`` takes another event back
    author: str
    created_at: datetime
    payload: Mapping[str, Any]  # what its undo and its redo need to know, and the remark
    undoes_event_id: int | None  # an undo of an undo does the act again


EventT = TypeVar("EventT", bound=LoggedEvent)


@dataclass(frozen=True)
class EventLog(Generic[EventT]):
    """What follows from the events so far.

    ``done`` is a stack, its last event the only one that may be undone: whatever comes later may
    build on what came before. ``undone`` is the stack of what may be done again; doing something
    else clears it. Remarks are outside both: nothing builds on them.
    """

    events: tuple[EventT, ...]
    done: tuple[int, ...]
    undone: tuple[int, ...]
    root_of: Mapping[int, int]  # event id -> the id of the act that it does, undoes or redoes
    tip_of: Mapping[int, int]  # act -> the last event about it
    standing: frozenset[int]  # acts that are in force, remarks included
    thing: str  # what the log is of: "cluster" or "class"
    tell_act: Callable[[EventT], str]

    @property
    def last_id(self) -> int:
        """Id of the last event; 0 where nothing has happened."""
        return self.events[-1].id if self.events else 0

    def event(self, event_id: int) -> EventT:
        """The event of this id, which must be one of this log."""
        return next(event for event in self.events if event.id == event_id)

    def tell(self, event: EventT) -> str:
        """What an event did, in a few words, without its author."""
        root = self.event(self.root_of[event.id])
        if event.id == root.id:
            return self.tell_act(root)
        return f"{'redid' if self.is_redo(event) else 'undid'} “{self.tell_act(root)}”"

    def is_redo(self, event: EventT) -> bool:
        """Whether the event, an undo by kind, does something again."""
        depth = 0
        while event.undoes_event_id is not None:
            depth += 1
            event = self.event(event.undoes_event_id)
        return depth > 0 and depth % 2 == 0

    def about(self, root_id: int) -> list[EventT]:
        """The act of this id and everything that undid or redid it, oldest first."""
        return [event for event in self.events if self.root_of[event.id] == root_id]

    def last_doing_of(self, root: EventT) -> EventT:
        """The event that did an act last: the act itself, or its last repetition."""
        repetitions = [event for event in self.about(root.id) if self.is_redo(event)]
        return repetitions[-1] if repetitions else root

    def may_undo(self, event_id: int) -> bool:
        """Whether this act may be undone now."""
        is_last = bool(self.done) and self.done[-1] == event_id
        is_remark = event_id in self.standing and self.event(event_id).kind == "comment"
        return is_last or is_remark

    def may_redo(self, event_id: int) -> bool:
        """Whether this act may be done again now."""
        is_last = bool(self.undone) and self.undone[-1] == event_id
        known = event_id in self.tip_of and event_id not in self.standing
        return is_last or (known and self.event(event_id).kind == "comment")


def replay_events(
    events: Sequence[EventT], *, thing: str, tell_act: Callable[[EventT], str]
) -> EventLog[EventT]:
    """What follows from these events.

    Args:
        events: All of them, oldest first.
        thing: What they were done to.
        tell_act: What an act, no undo or redo, did, in a few words without its author.
    """
    done: list[int] = []
    undone: list[int] = []
    root_of: dict[int, int] = {}
    tip_of: dict[int, int] = {}
    standing: set[int] = set()
    kinds = {event.id: event.kind for event in events}
    for event in events:
        root = event.id if event.undoes_event_id is None else root_of[event.undoes_event_id]
        root_of[event.id] = root
        tip_of[root] = event.id
        is_remark = kinds[root] == "comment"
        if root not in standing:
            standing.add(root)
            if is_remark:
                continue
            if event.undoes_event_id is None:
                undone.clear()
            else:
                undone.remove(root)
            done.append(root)
        else:
            standing.remove(root)
            if not is_remark:
                done.remove(root)
                undone.append(root)
    return EventLog(
        events=tuple(events),
        done=tuple(done),
        undone=tuple(undone),
        root_of=root_of,
        tip_of=tip_of,
        standing=frozenset(standing),
        thing=thing,
        tell_act=tell_act,
    )
