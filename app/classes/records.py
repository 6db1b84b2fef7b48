"""Records of classes."""

from datetime import datetime
from uuid import UUID

from pydantic import Field

from app.classes.log import ClassEvent
from app.core.events import HistoryOf
from app.core.model import Model


class GlitchClass(Model):
    """A class of glitches."""

    id: int = Field(description="Does not change when the class is renamed.")
    name: str
    description: str
    state: str = Field(description="active, dormant, candidate, or retired.")
    origin: str = Field(description="gravityspy or ours.")
    parent: str | None = Field(description="The class that this one is a sub-class of.")
    created_at: datetime
    exemplar_ids: tuple[UUID, ...] = Field(default=(), exclude=True)  # chosen by staff, best first

    @property
    def is_retired(self) -> bool:
        """Whether it is no longer offered for new labels."""
        return self.state == "retired"


class NearbyClass(Model):
    """Another class and the distance to its mean direction."""

    id: int = Field(exclude=True)
    name: str
    state: str
    distance: float = Field(description="Chord between mean directions, 0 to 2.")


class ClassHistory(HistoryOf[ClassEvent]):
    """Actions on a class, oldest first."""


class Changed(Model):
    """Result of a change."""

    glitch_class: GlitchClass | None = Field(description="Null if the class was withdrawn.")
    event_id: int
    history: ClassHistory
