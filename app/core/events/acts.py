"""What every act passes that goes into a log, be it about a cluster or a class.

The last event that a caller has seen comes with each act. If something else happened since, the
act is refused with who did what: of two people at once, the second is refused, and nothing of the
first's work is lost. An undo or redo is let through when it is its turn.
"""

from __future__ import annotations

from app.core.errors import ConflictError, InvalidRequestError, NotFoundError
from app.core.events.log import LONGEST_REMARK, EventLog, EventT, RedoRequest, UndoRequest

_EVENTS_NAMED = 3


def refuse_stale(log: EventLog[EventT], last_event_id: int) -> None:
    """Refuse an act of somebody who has not seen what was done last; remarks may go unseen.

    Raises:
        InvalidRequestError: if the event is of another log.
        ConflictError: if something was done since; says who did what.
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
        done = "; ".join(
            f"{event.author}: {event.summary} ({event.created_at:%H:%M} UTC)"
            for event in unseen[-_EVENTS_NAMED:]
        )
        raise ConflictError(
            f"Somebody was quicker, so nothing was changed. Since you looked: {done}. Reload the "
            f"{log.thing} and decide again."
        )


def act_to_turn(log: EventLog[EventT], wanted: UndoRequest | RedoRequest) -> EventT:
    """The act that an undo takes back, or that a redo does again.

    Raises:
        NotFoundError: if the event is of another log.
        ConflictError: if it is not its turn; says what is in the way.
    """
    if wanted.event_id not in log.root_of:
        raise NotFoundError(f"There is no event {wanted.event_id} in this {log.thing}'s history.")
    root = log.event(log.root_of[wanted.event_id])
    is_undo = isinstance(wanted, UndoRequest)
    if not (root.may_undo if is_undo else root.may_redo):
        raise ConflictError(_why_not(log, root, is_undo=is_undo))
    return root


def check_remark(text: str) -> str:
    """A remark without the space around it.

    Raises:
        InvalidRequestError: if it is empty, too long, or holds a NUL.
    """
    trimmed = text.strip()
    if not 1 <= len(trimmed) <= LONGEST_REMARK or "\0" in trimmed:
        raise InvalidRequestError(
            f"A remark has 1 to {LONGEST_REMARK:,} characters, not {len(trimmed):,}, and no NUL."
        )
    return trimmed


def _why_not(log: EventLog[EventT], root: EventT, *, is_undo: bool) -> str:
    is_standing = root.id in log.standing
    if is_undo and not is_standing:
        by = log.event(log.tip_of[root.id]).author
        return f"Event {root.id} is undone already, by {by}."
    if not is_undo and is_standing:
        return f"Event {root.id} is in force: there is nothing to do again."
    if is_undo:
        last = log.event(log.done[-1])
        return f"{last.summary} ({last.author}, event {last.id}) came later: undo it first."
    if root.id in log.undone:
        return f"Event {log.undone[-1]} was undone later: redo it first."
    return f"Something else was done since event {root.id} was undone, so it cannot be done again."
