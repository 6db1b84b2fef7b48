"""Short constructors of class and cluster actions for tests.

``change_class`` and ``review`` add the last event and the remark that every request carries.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from app.classes import log as classes
from app.classes import service as classes_service
from app.classes.records import Changed
from app.clusters.review import log as clusters
from app.clusters.review import service as review_service
from app.core.events import ActRequest, RedoRequest, UndoRequest


def change_class(
    session: Session, class_id: int, act: Any, *, last_event_id: int, remark: str = "", **by: Any
) -> Changed:
    return classes_service.change_class(session, class_id, _as_of(act, last_event_id, remark), **by)


def review(
    session: Session, cluster_id: UUID, act: Any, *, last_event_id: int, remark: str = "", **by: Any
) -> clusters.Reviewed:
    return review_service.review(session, cluster_id, _as_of(act, last_event_id, remark), **by)


def _as_of(act: ActRequest, last_event_id: int, remark: str) -> Any:
    return act.model_copy(update={"last_event_id": last_event_id, "remark": remark})


def Undo(event_id: int) -> UndoRequest:  # noqa: N802
    return UndoRequest.unchecked(event_id=event_id)


def Redo(event_id: int) -> RedoRequest:  # noqa: N802
    return RedoRequest.unchecked(event_id=event_id)


def Rename(name: str) -> classes.RenameRequest:  # noqa: N802
    return classes.RenameRequest.unchecked(name=name)


def Describe(description: str) -> classes.DescribeRequest:  # noqa: N802
    return classes.DescribeRequest.unchecked(description=description)


def SetState(state: str) -> classes.StateRequest:  # noqa: N802
    return classes.StateRequest.unchecked(state=state)


def Move(parent: str | None) -> classes.MoveRequest:  # noqa: N802
    return classes.MoveRequest.unchecked(parent=parent)


def ChooseExemplars(glitch_ids: tuple[UUID, ...]) -> classes.ExemplarsRequest:  # noqa: N802
    return classes.ExemplarsRequest.unchecked(glitch_ids=glitch_ids)


def MergeInto(into: str) -> classes.MergeClassRequest:  # noqa: N802
    return classes.MergeClassRequest.unchecked(into=into)


def Promote(class_name: str, description: str = "") -> clusters.PromoteRequest:  # noqa: N802
    return clusters.PromoteRequest.unchecked(class_name=class_name, description=description)


def Merge(class_name: str) -> clusters.MergeRequest:  # noqa: N802
    return clusters.MergeRequest.unchecked(class_name=class_name)


def Dismiss(is_of_look: bool = False) -> clusters.DismissRequest:  # noqa: N802
    return clusters.DismissRequest.unchecked(is_of_look=is_of_look)


def Split(member_ids: tuple[UUID, ...]) -> clusters.SplitRequest:  # noqa: N802
    return clusters.SplitRequest.unchecked(member_ids=member_ids)


def Assign(class_name: str, member_ids: tuple[UUID, ...]) -> clusters.AssignRequest:  # noqa: N802
    return clusters.AssignRequest.unchecked(class_name=class_name, member_ids=member_ids)


def Accept(member_ids: tuple[UUID, ...] = ()) -> clusters.AcceptRequest:  # noqa: N802
    return clusters.AcceptRequest.unchecked(member_ids=member_ids)


def Comment(text: str) -> clusters.CommentRequest:  # noqa: N802
    return clusters.CommentRequest.unchecked(text=text)
