"""What the templates of classes are given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar
from uuid import UUID

from fastapi import Form

from app.classes.overview import Occurrence
from app.classes.records import GlitchClass
from app.classes.schemas import ClassEvent
from app.clusters.pages.contexts import Likeness, Member
from app.frame.contexts import Moment, PageContext
from app.frame.deps import EventId, LongText
from app.frame.histograms import Bar
from app.glitches.records import GlitchRecord


@dataclass(frozen=True)
class ClassRow:
    """One class in the list."""

    record: GlitchClass
    depth: int  # below how many classes
    exemplar: GlitchRecord | None
    own: Occurrence
    share: float  # of the most frequent class, in percent, for the bar


@dataclass(frozen=True)
class ClassesPage(PageContext):
    """All classes."""

    template: ClassVar[str] = "classes.html"
    section: ClassVar[str] = "classes"

    rows: tuple[ClassRow, ...]
    ifos: tuple[str, ...]
    n_ours: int
    n_unlabelled: int
    can_add: bool
    error: str | None
    typed_name: str
    typed_description: str


@dataclass(frozen=True)
class RateChart:
    """When the glitches of a class occurred."""

    bars: tuple[Bar, ...]
    most: str
    first: Moment
    last: Moment
    summary: str


@dataclass(frozen=True)
class ChangeTyped:
    """The fields of the form that changes a class, as typed and chosen."""

    act: Annotated[str, Form(max_length=20)] = ""
    last_event_id: EventId = 0
    event_id: EventId = 0
    name: LongText = ""
    description: LongText = ""
    parent: LongText = ""
    into: LongText = ""
    text: LongText = ""
    member: Annotated[tuple[UUID, ...], Form(max_length=1000)] = ()


@dataclass(frozen=True)
class ClassPage(PageContext):
    """One class."""

    template: ClassVar[str] = "class.html"
    section: ClassVar[str] = "classes"

    href: str
    record: GlitchClass
    own: Occurrence
    above: tuple[GlitchClass, ...]  # the nearest first
    below: tuple[tuple[GlitchClass, int], ...]  # with how many glitches each has
    exemplars: tuple[GlitchRecord, ...]
    are_chosen: bool
    nearest: tuple[Likeness, ...]
    rate: RateChart | None
    members: tuple[Member, ...]
    next_href: str | None
    first_href: str | None
    history: tuple[ClassEvent, ...]
    last_event_id: int
    class_names: tuple[str, ...]  # that it can be moved under or merged into
    can_change: bool
    can_merge: bool
    can_retire: bool
    error: str | None
    typed: ChangeTyped  # what a refused form held
