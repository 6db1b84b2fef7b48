"""The history of a cluster or a class as its page shows it."""

from __future__ import annotations

from dataclasses import dataclass

from app.core.events.log import EventLog, EventT
from app.frame.words import stamp


@dataclass(frozen=True)
class HistoryEntry:
    """One event."""

    id: int
    text: str
    author: str
    when: str
    when_iso: str
    remark: str | None
    is_in_force: bool
    can_undo: bool
    can_redo: bool


def entries_of(log: EventLog[EventT]) -> tuple[HistoryEntry, ...]:
    """What was done, the latest first."""
    return tuple(_entry(log, event) for event in reversed(log.events))


def _entry(log: EventLog[EventT], event: EventT) -> HistoryEntry:
    text = log.tell(event)
    return HistoryEntry(
        id=event.id,
        text=text[0].upper() + text[1:],
        author=event.author,
        when=stamp(event.created_at),
        when_iso=event.created_at.isoformat(),
        remark=event.payload.get("text") or event.payload.get("remark"),
        is_in_force=log.root_of[event.id] in log.standing,
        can_undo=log.may_undo(event.id),
        can_redo=log.may_redo(event.id),
    )
