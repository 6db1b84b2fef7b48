"""Classes as services give them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True)
class ClassRecord:
    """A class of glitches."""

    id: int  # stays where the class is renamed
    name: str
    description: str
    state: str  # active, dormant, candidate, retired
    origin: str  # gravityspy, ours
    parent: str | None  # the class that this one is a sub-class of
    exemplar_ids: tuple[UUID, ...]  # glitches that staff chose to show it, best first
    created_at: datetime

    @property
    def is_retired(self) -> bool:
        """Whether it is offered for new labels no more."""
        return self.state == "retired"
