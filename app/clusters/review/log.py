"""The log of a cluster's review: what may be asked for, and what was done in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from app.core.events.log import EventLog, LoggedEvent, Redo, Undo, replay_events

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
    """Say that the cluster is nothing of interest; or all that looks like it, now and later."""

    is_of_look: bool = False


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


Action = Promote | Merge | Dismiss | Split | Assign | Accept | Comment | Undo | Redo


@dataclass(frozen=True)
class EventRecord(LoggedEvent):
    """One event of a cluster's history."""

    identity: UUID
    cluster_id: UUID


Log = EventLog[EventRecord]


def replay(events: Sequence[EventRecord]) -> Log:
    """What follows from these events, given oldest first."""
    return replay_events(events, thing="cluster", tell_act=_tell)


def _tell(act: EventRecord) -> str:
    is_of_look = act.payload.get("asked", {}).get("is_of_look", False)
    name, number = act.payload.get("class_name"), act.payload.get("n_glitches", 0)
    return {
        "promote": f"named the new class {name}",
        "merge": f"merged it into {name}",
        "dismiss": "dismissed its look" if is_of_look else "dismissed it",
        "split": f"split off {number:,} members",
        "assign": f"labelled {number:,} as {name}",
        "accept": f"accepted {name} for {number:,}",
        "comment": "commented",
    }[act.kind]
