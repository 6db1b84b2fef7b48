"""The log of a class: what may be asked for, and what was done in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from app.services.event_log import EventLog


@dataclass(frozen=True)
class Rename:
    """Give it another name; its labels follow."""

    name: str


@dataclass(frozen=True)
class Describe:
    """Say what it looks like and where it comes from."""

    description: str


@dataclass(frozen=True)
class SetState:
    """Retire it, bring it back, or say that it is dormant or a candidate."""

    state: str


@dataclass(frozen=True)
class Move:
    """Make it a sub-class of another class, or of none."""

    parent: str | None


@dataclass(frozen=True)
class ChooseExemplars:
    """Say which glitches show it best, best first; none lets the service choose."""

    glitch_ids: tuple[UUID, ...]


@dataclass(frozen=True)
class MergeInto:
    """Give all its glitches the label of another class, and retire it."""

    into: str


@dataclass(frozen=True)
class UndoChange:
    """Take an event back."""

    event_id: int


@dataclass(frozen=True)
class RedoChange:
    """Do an event again that was taken back."""

    event_id: int


Change = Rename | Describe | SetState | Move | ChooseExemplars | MergeInto | UndoChange | RedoChange


@dataclass(frozen=True)
class ClassEventRecord:
    """One event of a class's history."""

    id: int
    class_id: int
    kind: str
    author: str
    created_at: datetime
    payload: Mapping[str, Any]
    undoes_event_id: int | None


ClassLog = EventLog[ClassEventRecord]


def describe(log: ClassLog, event: ClassEventRecord) -> str:
    """What an event did, in a few words, without its author."""
    root = log.event(log.root_of[event.id])
    if event.id != root.id:
        return f"{'redid' if log.is_redo(event) else 'undid'} “{describe(log, root)}”"
    before, after = root.payload.get("before", {}), root.payload.get("after", {})
    if root.kind == "state":
        return {
            "retired": "retired it",
            "dormant": "marked it dormant",
            "candidate": "marked it a candidate",
        }.get(after["state"], "reactivated it")
    if root.kind == "move":
        above = root.payload.get("parent")
        return f"made it a sub-class of {above}" if above else "made it a class of its own"
    if root.kind == "merge":
        return f"merged it into {root.payload['into']} ({root.payload['n_glitches']:,} glitches)"
    if root.kind == "exemplars":
        number = len(after["exemplar_ids"])
        return f"chose {number} exemplars" if number else "left the exemplars to the service"
    return {
        "create": "named it" if root.payload.get("is_from_review") else "added it",
        "rename": f"renamed it from {before.get('name')} to {after.get('name')}",
        "describe": "changed the description",
    }[root.kind]
