"""What the templates of glitches are given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar
from uuid import UUID

from fastapi import Form

from app.frame.contexts import (
    Card,
    Choice,
    ClassCount,
    Download,
    Fact,
    MemberChoice,
    Novelty,
    PageContext,
)
from app.frame.figures import LatentChart, StripSection, ViewPanel
from app.glitches.records import EmbeddingRecord, GlitchRecord, Label


@dataclass(frozen=True)
class FilterForm:
    """The filters as typed, so that a refused value can be corrected in place."""

    ifos: tuple[Choice, ...]
    labels: tuple[Choice, ...]
    origins: tuple[Choice, ...]
    runs: tuple[Choice, ...]
    novelties: tuple[Choice, ...]
    typed: Mapping[str, str]  # every field by name, empty where nothing was typed
    is_narrowed: bool  # whether any filter is set
    kept: tuple[tuple[str, str], ...]  # what the address says besides, such as the order


@dataclass(frozen=True)
class TableColumn:
    """The head of a column."""

    title: str
    is_number: bool
    href: str | None  # that orders by it, in turn falling, rising and not
    order: str | None  # how the table is ordered by it now, as ARIA says it


@dataclass(frozen=True)
class TableRow:
    """A glitch as a row."""

    id: str
    card: Card
    cells: tuple[tuple[str, str | None], ...]  # name of the column, text


@dataclass(frozen=True)
class CatalogueTable:
    """One page of the catalogue as a table."""

    columns: tuple[TableColumn, ...]
    choices: tuple[Choice, ...]  # of columns
    rows: tuple[TableRow, ...]


@dataclass(frozen=True)
class Refused:
    """A label for chosen glitches that could not be given, and what its form held."""

    sentence: str
    class_name: str
    chosen: frozenset[str]


@dataclass(frozen=True)
class CataloguePage(PageContext):
    """The catalogue: filters, counts by class and one page of cards."""

    template: ClassVar[str] = "catalogue.html"
    section: ClassVar[str] = "catalogue"

    total: str
    form: FilterForm
    errors: tuple[str, ...]
    windows: tuple[ClassCount, ...]  # links that change the window shown
    counts: tuple[ClassCount, ...]
    displays: tuple[ClassCount, ...]  # links to pictures and to the table
    ids: tuple[str, ...]  # of the glitches on this page
    cards: tuple[Card, ...]
    choices: tuple[MemberChoice, ...]  # of the cards
    table: CatalogueTable | None
    here: str  # this page, to come back to
    all_kept: tuple[tuple[str, str], ...]  # the whole address as fields, without its columns
    class_names: tuple[str, ...]
    can_label: bool
    undo: str | None  # the labels that were just given
    refused: Refused | None  # labels that were not given
    exports: tuple[Download, ...]  # the whole selection as files
    first_href: str | None  # back to the first page, on later ones
    previous_href: str | None
    next_href: str | None
    is_empty_catalogue: bool
    can_upload: bool


@dataclass(frozen=True)
class GlitchPage(PageContext):
    """One glitch."""

    template: ClassVar[str] = "glitch.html"
    section: ClassVar[str] = "catalogue"

    glitch: GlitchRecord
    href: str
    origin: str
    panels: tuple[ViewPanel, ...]
    novelty: Novelty
    embedding: EmbeddingRecord | None  # under the active checkpoint
    elsewhere: tuple[Download, ...]  # pages of others about this time
    labels: tuple[Label, ...]
    revocable: frozenset[UUID]  # those of them that this visitor may revoke
    suggested: tuple[str, ...]  # by the review of a cluster, not accepted yet
    class_names: tuple[str, ...]
    can_label: bool
    label_error: str | None
    label_typed: str
    shows: tuple[ClassCount, ...]  # links to what the four panels may show
    show: str  # views, reconstruction or residual
    neighbours: tuple[Card, ...]
    neighbour_classes: str  # "8 Blip, 5 Tomte, 1 unlabelled": what the neighbours are
    near: FilterForm  # which glitches may be neighbours
    near_errors: tuple[str, ...]
    traversals: StripSection | None
    share: str  # address to send to a colleague
    latent: LatentChart | None
    downloads: tuple[Download, ...]


@dataclass(frozen=True)
class UploadTyped:
    """The fields of the form of an upload, as typed."""

    gps_time: Annotated[str, Form()] = ""
    ifo: Annotated[str, Form()] = ""
    channel: Annotated[str, Form()] = ""
    sample_rate_hz: Annotated[str, Form()] = ""
    view_duration_s: Annotated[str, Form()] = ""
    energy_max: Annotated[str, Form()] = ""
    frequency_range: Annotated[str, Form()] = ""
    label: Annotated[str, Form()] = ""
    keep_time: Annotated[str, Form(max_length=10)] = ""  # in the middle of the views, if anything
    store: Annotated[str, Form(max_length=10)] = ""  # whether to, if anything


@dataclass(frozen=True)
class UploadPage(PageContext):
    """The upload form, with what was typed and what was wrong with it."""

    template: ClassVar[str] = "upload.html"
    section: ClassVar[str] = "upload"

    error: str | None
    typed: UploadTyped
    durations: tuple[Choice, ...]
    ifos: tuple[Choice, ...]
    class_names: tuple[str, ...]
    suffixes: str  # for the file chooser
    limit: str
    limit_bytes: int
    role: str
    can_upload: bool


@dataclass(frozen=True)
class SearchPage(PageContext):
    """What the search box says when there is no one thing to go to."""

    template: ClassVar[str] = "search.html"
    section: ClassVar[str] = "catalogue"

    heading: str
    query: str
    sentence: str
    links: tuple[Fact, ...]  # what may have been meant: ``name`` to read, ``value`` to go to
