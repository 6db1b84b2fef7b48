"""Who uses a class: what must be settled before it can be taken back altogether."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.classes.tables import GlitchClass
from app.classes.tree import Tree
from app.clusters.review.tables import LabelSuggestion
from app.core.errors import ConflictError
from app.glitches.tables import Label


def refuse_used(session: Session, known: GlitchClass, *, beside: UUID | None = None) -> None:
    """Refuse to take back a class that others have built on.

    Args:
        session: The transaction to read in.
        known: The class.
        beside: The identity of a cluster whose own suggestions do not count.

    Raises:
        ConflictError: says what there is: labels, suggestions, sub-classes.
    """
    labels = session.execute(
        select(func.count(), func.max(Label.author)).where(
            Label.class_id == known.id, Label.revoked_at.is_(None)
        )
    ).one()
    if labels[0]:
        raise ConflictError(
            f"{labels[0]:,} glitches were labelled {known.name} by now, by {labels[1]} among "
            "others: revoke those labels first."
        )
    waiting = select(func.count()).where(LabelSuggestion.class_id == known.id)
    if beside is not None:
        waiting = waiting.where(LabelSuggestion.identity != beside)
    if session.scalar(waiting):
        raise ConflictError(
            f"Another cluster was merged into {known.name} by now: undo that merge first."
        )
    children = Tree.load(session).children(known.id)
    if children:
        name = session.get_one(GlitchClass, children[0]).name
        raise ConflictError(f"{name} is a sub-class of {known.name} by now: move it first.")
