"""Contexts that templates share: the frame of every page, and parts of several pages.

Each page is one frozen dataclass, in the module of its route or beside it. A template sees two
names: ``frame`` (what surrounds every page) and ``page``.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

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
    may_submit: bool = False
    may_review: bool = False
    may_manage: bool = False


@dataclass(frozen=True)
class PageContext:
    """Root of the page contexts."""

    template: ClassVar[str]
    section: ClassVar[str] = ""  # which entry of the bar is current


@dataclass(frozen=True)
class ApiDocsPage(PageContext):
    """The HTTP interface; its script fetches what it shows."""

    template: ClassVar[str] = "api_docs.html"


@dataclass(frozen=True)
class Moment:
    """One time in both clocks."""

    gps: str  # seconds, to four decimals
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

    id: str
    name: str  # for screen readers
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
class ClassCount:
    """How many glitches of the chosen ones are of a class, with the link that shows them."""

    text: str
    href: str
    is_chosen: bool
    count: str = ""
    share: float = 0.0  # of the most frequent class, in percent, for the bar


@dataclass(frozen=True)
class Pages:
    """Ways from one page of a long list to the others; none where they are all on it."""

    first: str | None = None
    previous: str | None = None
    next: str | None = None
    last: str | None = None
    place: str = ""  # "Page 2 of 5", where they are numbered


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
class LoginPage(PageContext):
    """The login form."""

    template: ClassVar[str] = "login.html"

    error: str | None
    next_path: str
    code: str | None = None  # of a login link: to be confirmed
    holder: str | None = None  # whom the code lets in
    provider: str | None = None  # who else lets people in
    provider_href: str = ""


@dataclass(frozen=True)
class LoggedOutPage(PageContext):
    """Leads on to the provider, where a session is still open."""

    template: ClassVar[str] = "logged_out.html"

    provider: str
    href: str


@dataclass(frozen=True)
class FailurePage(PageContext):
    """A page with an error message."""

    template: ClassVar[str] = "failure.html"

    heading: str
    sentence: str
    back: str | None  # the page that led here
    room: NavItem  # where to look else
    request_id: str | None
