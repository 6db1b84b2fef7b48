"""The log of a cluster's review: what may be asked for, what was done, what may be undone.

Pure: the log is a sequence of events, and which of them stand follows from the sequence alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

Kind = Literal["promote", "merge", "split", "dismiss", "assign", "comment", "accept", "undo"]


@dataclass(frozen=True)
class Promote:
    """Make the cluster a new class; its unlabelled members are suggested to be of it."""

    class_name: str
    description: str = ""


@dataclass(frozen=True)
class Merge:
    """Say that the cluster is a known class; its unlabelled members are suggested to be of it."""

    class_name: str


@dataclass(frozen=True)
class Dismiss:
    """Say that the cluster is nothing of interest."""


@dataclass(frozen=True)
class Split:
    """Make these members a cluster of their own."""

    member_ids: tuple[UUID, ...]


@dataclass(frozen=True)
class Assign:
    """Label these members."""

    class_name: str
    member_ids: tuple[UUID, ...]


@dataclass(frozen=True)
class Accept:
    """Make suggestions labels: those of these members, or all where none is named."""

    member_ids: tuple[UUID, ...] = ()


@dataclass(frozen=True)
class Comment:
    """Leave a remark."""

    text: str


@dataclass(frozen=True)
class Undo:
    """Take an event back."""

    event_id: int


@dataclass(frozen=True)
class Redo:
    """Do an event again that was taken back."""

    event_id: int


Action = Promote | Merge | Dismiss | Split | Assign | Accept | Comment | Undo | Redo


@dataclass(frozen=True)
class EventRecord:
    """One event of a cluster's history."""

    id: int
    identity: UUID
    cluster_id: UUID
    kind: Kind
    author: str
    created_at: datetime
    payload: Mapping[str, Any]
    undoes_event_id: int | None


@dataclass(frozen=True)
class Log:
    """What follows from the events so far.

    ``done`` is a stack, its last event the only one that may be undone: whatever comes later may
    build on what came before. ``undone`` is the stack of what may be done again; doing something
    else clears it. Remarks are outside both: nothing builds on them.
    """

    events: tuple[EventRecord, ...]
    done: tuple[int, ...]
    undone: tuple[int, ...]
    root_of: Mapping[int, int]  # event id -> the id of the act that it does, undoes or redoes
    tip_of: Mapping[int, int]  # act -> the last event about it
    standing: frozenset[int]  # acts that are in force, remarks included

    @property
    def last_id(self) -> int:
        """Id of the last event; 0 where nothing has happened."""
        return self.events[-1].id if self.events else 0

    def event(self, event_id: int) -> EventRecord:
        """The event of this id, which must be one of this log."""
        return next(event for event in self.events if event.id == event_id)

    def is_redo(self, event: EventRecord) -> bool:
        """Whether the event, an undo by kind, does something again."""
        depth = 0
        while event.undoes_event_id is not None:
            depth += 1
            event = self.event(event.undoes_event_id)
        return depth > 0 and depth % 2 == 0

    def about(self, root_id: int) -> list[EventRecord]:
        """The act of this id and everything that undid or redid it, oldest first."""
        return [event for event in self.events if self.root_of[event.id] == root_id]

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


def replay(events: Sequence[EventRecord]) -> Log:
    """What follows from these events, given oldest first."""
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
    return Log(tuple(events), tuple(done), tuple(undone), root_of, tip_of, frozenset(standing))


def describe(log: Log, event: EventRecord) -> str:
    """What an event did, in a few words, without its author."""
    root = log.event(log.root_of[event.id])
    if event.id != root.id:
        return f"{'redid' if log.is_redo(event) else 'undid'} “{describe(log, root)}”"
    name, number = root.payload.get("class_name"), root.payload.get("n_glitches", 0)
    return {
        "promote": f"named the new class {name}",
        "merge": f"merged it into {name}",
        "dismiss": "dismissed it",
        "split": f"split off {number:,} members",
        "assign": f"labelled {number:,} as {name}",
        "accept": f"accepted {name} for {number:,}",
        "comment": "commented",
    }[root.kind]
