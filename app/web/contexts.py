"""What each template is given: one frozen dataclass a page, all values ready to print.

A template sees two names only: ``frame`` (what surrounds every page) and ``page``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from app.web.figures import LatentChart, StripSection, ViewPanel

Clock = Literal["gps", "utc"]
Scheme = Literal["system", "light", "dark"]
NoveltyLevel = Literal["novel", "unusual", "ordinary", "unjudged"]


@dataclass(frozen=True)
class NavItem:
    """One entry of the bar on top."""

    name: str  # which pages it marks as current
    text: str
    href: str
    is_more: bool = False  # behind "More": asked for now and then


@dataclass(frozen=True)
class Frame:
    """What surrounds every page."""

    static: str  # address of the folder of scripts and sheets, changes with their content
    version: str
    path: str  # with its query: where to come back to after the clock was switched
    clock: Clock
    scheme: Scheme  # "system" follows the visitor's system
    csrf: str
    user: str | None
    role: str | None
    nav: tuple[NavItem, ...]
    more: tuple[NavItem, ...]
    more_current: str | None  # what the page is called there, if it is one of them
    search: str  # what the search box holds
    notice: str | None  # one sentence about what was just done


@dataclass(frozen=True)
class PageContext:
    """Root of the page contexts."""

    template: ClassVar[str]
    section: ClassVar[str] = ""  # which entry of the bar is current

    @property
    def title(self) -> str:
        """Of the browser's tab and, on most pages, of the heading."""
        raise NotImplementedError


@dataclass(frozen=True)
class Moment:
    """One time in both clocks."""

    gps: str  # seconds, as stored
    utc: str  # to the millisecond
    iso: str  # for machines


@dataclass(frozen=True)
class Novelty:
    """A judgement in words."""

    level: NoveltyLevel
    short: str  # two or three words for a card
    sentence: str


@dataclass(frozen=True)
class Card:
    """One glitch in a gallery."""

    href: str
    picture: str | None  # address of one view
    window: str  # length of that view where it is not the one asked for, such as "0.5 s"
    label: str | None
    ifo: str | None
    moment: Moment | None
    snr: str | None
    peak_frequency: str | None
    is_simulated: bool
    novelty: Novelty | None = None
    distance: str | None = None


@dataclass(frozen=True)
class Choice:
    """One value that a filter may take."""

    value: str
    text: str
    is_chosen: bool


@dataclass(frozen=True)
class ClassCount:
    """How many glitches of the chosen ones are of a class, with the link that shows them."""

    text: str
    count: str
    share: float  # of the most frequent class, in percent, for the bar
    href: str
    is_chosen: bool


@dataclass(frozen=True)
class FilterForm:
    """The filters as typed, so that a refused value can be corrected in place."""

    ifos: tuple[Choice, ...]
    labels: tuple[Choice, ...]
    origins: tuple[Choice, ...]
    novelties: tuple[Choice, ...]
    start: str
    end: str
    snr_min: str
    snr_max: str
    frequency_min: str
    frequency_max: str
    window: str
    batch: str  # the job that stored them; empty for whoever did
    is_narrowed: bool  # whether any filter is set


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
    cards: tuple[Card, ...]
    exports: tuple[Download, ...]  # the whole selection as files
    first_href: str | None  # back to the first page, on later ones
    previous_href: str | None
    next_href: str | None
    is_empty_catalogue: bool
    can_upload: bool

    @property
    def title(self) -> str:
        return "Catalogue"


@dataclass(frozen=True)
class LabelEntry:
    """One label of a glitch, revoked ones included."""

    class_name: str
    author: str
    source: str
    created: str
    created_iso: str
    revoked: str | None  # when and by whom
    revoke_href: str | None  # where to post, if this visitor may revoke it


@dataclass(frozen=True)
class Fact:
    """One line of metadata."""

    name: str
    value: str
    is_code: bool = False


@dataclass(frozen=True)
class Download:
    """One link that gives a file."""

    text: str
    href: str
    is_job: bool = False  # too much to wait for: posted to, a job writes it


@dataclass(frozen=True)
class GlitchPage(PageContext):
    """One glitch."""

    template: ClassVar[str] = "glitch.html"
    section: ClassVar[str] = "catalogue"

    id: str
    href: str
    label: str | None
    ifo: str | None
    moment: Moment | None
    is_simulated: bool
    origin: str
    panels: tuple[ViewPanel, ...]
    novelty: Novelty
    facts: tuple[Fact, ...]
    labels: tuple[LabelEntry, ...]
    suggested: tuple[str, ...]  # by the review of a cluster, not accepted yet
    class_names: tuple[str, ...]
    can_label: bool
    label_error: str | None
    label_typed: str
    shows: tuple[ClassCount, ...]  # links to what the four panels may show
    show: str  # views, reconstruction or residual
    diverging: tuple[str, ...]  # colours of a residual, lowest first
    neighbours: tuple[Card, ...]
    kin: str  # "8 Blip, 5 Tomte, 1 unlabelled": what the neighbours are
    near: FilterForm  # which glitches may be neighbours
    near_errors: tuple[str, ...]
    traversals: StripSection | None
    share: str  # address to send to a colleague
    latent: LatentChart | None
    checkpoint: str | None
    downloads: tuple[Download, ...]

    @property
    def title(self) -> str:
        kind = self.label or "Unlabelled glitch"
        return f"{kind} {self.ifo}" if self.ifo else kind


@dataclass(frozen=True)
class UploadPage(PageContext):
    """The upload form, with what was typed and what was wrong with it."""

    template: ClassVar[str] = "upload.html"
    section: ClassVar[str] = "upload"

    error: str | None
    gps_time: str
    ifo: str
    channel: str
    sample_rate_hz: str
    label: str
    view_duration_s: str
    is_kept: bool  # whether it is to be stored
    durations: tuple[Choice, ...]
    ifos: tuple[Choice, ...]
    class_names: tuple[str, ...]
    suffixes: str  # for the file chooser
    limit: str
    limit_bytes: int
    role: str
    can_upload: bool

    @property
    def title(self) -> str:
        return "Upload"


@dataclass(frozen=True)
class SearchPage(PageContext):
    """What the search box says when there is no one thing to go to."""

    template: ClassVar[str] = "search.html"
    section: ClassVar[str] = "catalogue"

    heading: str
    query: str
    sentence: str
    links: tuple[Fact, ...]  # what may have been meant: ``name`` to read, ``value`` to go to

    @property
    def title(self) -> str:
        return "Search"


@dataclass(frozen=True)
class LoginPage(PageContext):
    """The login form."""

    template: ClassVar[str] = "login.html"

    error: str | None
    next_path: str

    @property
    def title(self) -> str:
        return "Log in"


@dataclass(frozen=True)
class FailurePage(PageContext):
    """Anything that went wrong, said in a sentence."""

    template: ClassVar[str] = "failure.html"

    heading: str
    sentence: str
    request_id: str | None

    @property
    def title(self) -> str:
        return self.heading
