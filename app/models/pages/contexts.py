"""What the template of the published models is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from app.frame.contexts import Fact, PageContext


@dataclass(frozen=True)
class MetricTable:
    """A group of measures from a manifest."""

    name: str
    rows: tuple[Fact, ...]


@dataclass(frozen=True)
class CheckpointCard:
    """One published model."""

    name: str
    is_active: bool
    published: str
    facts: tuple[Fact, ...]
    tables: tuple[MetricTable, ...]
    manifest: str  # the whole of it, as indented JSON
    embedded: str  # how much of the catalogue it has embedded, in words
    share: float  # of it, in percent
    served: str | None  # when it was made to serve last, and by whom
    recall: str | None  # how well its vector index finds
    switch_href: str
    switch_text: str
    can_switch: bool


@dataclass(frozen=True)
class SwitchJob:
    """The job that embeds the catalogue with another model."""

    href: str
    sentence: str
    done: float  # percent
    is_open: bool


@dataclass(frozen=True)
class CheckpointsPage(PageContext):
    """The published models."""

    template: ClassVar[str] = "checkpoints.html"
    section: ClassVar[str] = "checkpoints"

    checkpoints: tuple[CheckpointCard, ...]
    job: SwitchJob | None
    error: str | None
