"""What the map's templates are given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from app.frame.contexts import Card, Choice, PageContext
from app.map.records import BulkLabel


@dataclass(frozen=True)
class MapJob:
    """What is at work on the map, or failed."""

    href: str
    sentence: str
    is_open: bool
    progress: str | None  # address that tells how far it is, while it is open


@dataclass(frozen=True)
class MapPage(PageContext):
    """Every glitch as a point."""

    template: ClassVar[str] = "map.html"
    section: ClassVar[str] = "map"

    is_drawn: bool
    is_empty_catalogue: bool
    heading: str
    drawn: str | None  # when, of what, by whom
    unplaced: str | None  # how many are not on it yet
    job: MapJob | None
    colours: str  # JSON: name of a class -> its colour; "" for no label
    words: str  # JSON: states of clusters and origins, as the other pages call them
    formats: tuple[Choice, ...]  # that a selection may be downloaded in
    classes: tuple[str, ...]  # that a selection may be labelled as
    can_order: bool
    can_label: bool
    most_at_once: int
    acts: tuple[BulkLabel, ...]


@dataclass(frozen=True)
class MapCards(PageContext):
    """Some glitches of the map, as cards or as rows of a table."""

    template: ClassVar[str] = "map_cards.html"

    cards: tuple[Card, ...]
    is_table: bool
