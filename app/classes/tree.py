"""The hierarchy of classes and sub-classes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.classes.tables import GlitchClass

DEEPEST = 3  # levels: a class, its sub-classes, and theirs


@dataclass(frozen=True)
class Tree:
    """The parent of every class that has one, by id; a few hundred classes at most."""

    parents: Mapping[int, int]

    @classmethod
    def load(cls, session: Session) -> Tree:
        """Read the current tree."""
        rows = session.execute(
            select(GlitchClass.id, GlitchClass.parent_id).where(GlitchClass.parent_id.is_not(None))
        )
        return cls({row[0]: row[1] for row in rows if row[1] is not None})

    def ancestors(self, class_id: int) -> tuple[int, ...]:
        """Return the classes above one, the nearest first."""
        ancestors: list[int] = []
        parent = self.parents.get(class_id)
        while parent is not None and parent not in ancestors:
            ancestors.append(parent)
            parent = self.parents.get(parent)
        return tuple(ancestors)

    def children(self, class_id: int) -> tuple[int, ...]:
        """Return the classes directly below one."""
        return tuple(sorted(one for one, parent in self.parents.items() if parent == class_id))

    def with_subclasses(self, class_ids: Iterable[int]) -> frozenset[int]:
        """Return these classes and all below them."""
        ids = set(class_ids)
        return frozenset(
            ids | {one for one in self.parents if ids.intersection(self.ancestors(one))}
        )

    def depth_below(self, class_id: int) -> int:
        """Count the levels below a class; 0 without sub-classes."""
        levels = [
            self.ancestors(one).index(class_id) + 1
            for one in self.parents
            if class_id in self.ancestors(one)
        ]
        return max(levels, default=0)

    def lineage(self, class_id: int) -> frozenset[int]:
        """Return a class with all above and below it: their labels do not contradict each other."""
        return self.with_subclasses([class_id]) | set(self.ancestors(class_id))
