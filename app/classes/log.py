"""The history of a class: possible actions, and recorded actions in words."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from app.core import events


class RenameRequest(events.ActRequest):
    """Rename a class that was added here; its labels follow."""

    action: Literal["rename"]
    name: events.Name


class DescribeRequest(events.ActRequest):
    """Set the description."""

    action: Literal["describe"]
    description: Annotated[str, Field(max_length=20_000)]


class StateRequest(events.ActRequest):
    """Retire it, bring it back, mark it dormant or a candidate."""

    action: Literal["state"]
    state: Annotated[str, Field(max_length=100)] = Field(
        description="active, dormant, candidate or retired."
    )


class MoveRequest(events.ActRequest):
    """Make it a sub-class."""

    action: Literal["move"]
    parent: events.Name | None = Field(description="The class above; null for none.")


class ExemplarsRequest(events.ActRequest):
    """Choose the exemplars."""

    action: Literal["exemplars"]
    glitch_ids: Annotated[tuple[UUID, ...], Field(max_length=1000)] = Field(
        description="Best first, at most 12; an empty list leaves the choice to the service."
    )


class MergeClassRequest(events.ActRequest):
    """Give its glitches the label of another class, and retire it. Needs the role admin."""

    action: Literal["merge"]
    into: events.Name


Simple = RenameRequest | DescribeRequest | StateRequest | MoveRequest | ExemplarsRequest
Change = Simple | MergeClassRequest | events.UndoRequest | events.RedoRequest


class ClassEvent(events.LoggedEvent):
    """One action on a class."""

    kind: str = Field(
        description="create, rename, describe, state, move, exemplars, merge, undo or redo."
    )
    remark: str | None


ClassLog = events.EventLog[ClassEvent]


def replay(rows: Sequence[Any]) -> ClassLog:
    """Build the history from rows of the event table, oldest first."""
    return events.replay_events(
        rows,
        lambda row, common: ClassEvent(**common, remark=row.payload.get("remark")),
        thing="class",
        describe_act=_describe_act,
    )


def _describe_act(act: Any) -> str:
    before, after = act.payload.get("before", {}), act.payload.get("after", {})
    if act.kind == "state":
        return {
            "retired": "retired it",
            "dormant": "marked it dormant",
            "candidate": "marked it a candidate",
        }.get(after["state"], "reactivated it")
    if act.kind == "move":
        above = act.payload.get("parent")
        return f"made it a sub-class of {above}" if above else "moved it to the top level"
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
