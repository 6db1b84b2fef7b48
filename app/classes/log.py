"""The log of a class: what may be asked for, and what was done in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from app.core.events.log import EventLog, LoggedEvent, Redo, Undo, replay_events


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


Change = Rename | Describe | SetState | Move | ChooseExemplars | MergeInto | Undo | Redo


@dataclass(frozen=True)
class ClassEventRecord(LoggedEvent):
    """One event of a class's history."""

    class_id: int


ClassLog = EventLog[ClassEventRecord]


def replay(events: Sequence[ClassEventRecord]) -> ClassLog:
    """What follows from these events, given oldest first."""
    return replay_events(events, thing="class", tell_act=_tell)


def _tell(act: ClassEventRecord) -> str:
    before, after = act.payload.get("before", {}), act.payload.get("after", {})
    if act.kind == "state":
        return {
            "retired": "retired it",
            "dormant": "marked it dormant",
            "candidate": "marked it a candidate",
        }.get(after["state"], "reactivated it")
    if act.kind == "move":
        above = act.payload.get("parent")
        return f"made it a sub-class of {above}" if above else "made it a class of its own"
    if act.kind == "merge":
        return f"merged it into {act.payload['into']} ({act.payload['n_glitches']:,} glitches)"
    if act.kind == "exemplars":
        number = len(after["exemplar_ids"])
        if not number:
            return "left the exemplars to the service"
        return f"chose {number} exemplar{'s' if number > 1 else ''}"
    return {
        "create": "named it" if act.payload.get("is_from_review") else "added it",
        "rename": f"renamed it from {before.get('name')} to {after.get('name')}",
        "describe": "changed the description",
    }[act.kind]
