"""What the template of the published models is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from app.frame.contexts import Fact, PageContext
from app.models.checkpoints import Standing
from app.models.index import IndexAudit
from app.models.records import CheckpointRecord


@dataclass(frozen=True)
class MetricTable:
    """A group of measures from a manifest."""

    name: str
    rows: tuple[Fact, ...]


@dataclass(frozen=True)
class CheckpointCard:
    """One published model, and how it stands to the catalogue."""

    record: CheckpointRecord
    held: Standing
    total: int  # glitches of the catalogue
    audit: IndexAudit | None
    can_switch: bool
    facts: tuple[Fact, ...]
    tables: tuple[MetricTable, ...]
    manifest: str  # the whole of it, as indented JSON


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
