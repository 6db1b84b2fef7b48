"""The log of a cluster's review: what may be asked for, and what was done in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from app.services.event_log import EventLog, replay_events

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


Log = EventLog[EventRecord]


def replay(events: Sequence[EventRecord]) -> Log:
    """What follows from these events, given oldest first."""
    return replay_events(events)


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
