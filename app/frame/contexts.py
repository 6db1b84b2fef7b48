"""Template contexts shared by several pages: the frame of every page, and common parts.

Each page is one ``PageContext``, in the module of its route or next to it. A template gets two
names: ``frame``, for what surrounds every page, and ``page``.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal, dataclass_transform

Clock = Literal["gps", "utc"]
Scheme = Literal["system", "light", "dark"]
NoveltyLevel = Literal["novel", "unusual", "ordinary", "unjudged"]


@dataclass(frozen=True)
class NavItem:
    """One entry of the navigation bar."""

    name: str  # matches ``PageContext.section``
    text: str
    href: str
    is_more: bool = False  # in the menu "More", because it is used less often


@dataclass(frozen=True)
class Frame:
    """The parts that surround every page."""

    static: str  # address of the static files; changes with their content
    version: str
    path: str  # with its query, of this page or the form; where to return after changing the clock
    clock: Clock
    scheme: Scheme  # "system" follows the visitor's operating system
    csrf: str
    user: str | None
    role: str | None
    nav: tuple[NavItem, ...]
    more: tuple[NavItem, ...]
    more_current: str | None  # text of the menu's entry for this page, if it has one
    search: str  # text in the search box
    notice: str | None  # one sentence about the action just done
    may_submit: bool = False
    may_review: bool = False
    may_manage: bool = False
    is_answer: bool = False  # to a form, under the address that the form was sent to


@dataclass_transform(frozen_default=True)
class PageContext:
    """Makes each page context a frozen dataclass, with its template and navigation entry."""

    template: ClassVar[str]
    section: ClassVar[str]

    def __init_subclass__(cls, *, template: str, section: str = "") -> None:
        cls.template, cls.section = template, section
        dataclass(frozen=True)(cls)


class ApiDocsPage(PageContext, template="api_docs.html"):
    """The documentation of the HTTP API; a script loads the content."""


@dataclass(frozen=True)
class Moment:
    """A time on both clocks."""

    gps: str  # seconds, to four decimals
    utc: str  # to the millisecond
    iso: str  # ISO 8601


@dataclass(frozen=True)
class Novelty:
    """A novelty result in words."""

    level: NoveltyLevel
    short: str  # two or three words for a card
    sentence: str


@dataclass(frozen=True)
class Card:
    """A glitch in a gallery."""

    id: str
    name: str  # for screen readers
    href: str
    picture: str | None  # address of the image of one view
    window: str  # length of that view if not the requested one, such as "0.5 s"
    label: str | None
    ifo: str | None
    moment: Moment | None
    snr: str | None
    peak_frequency: str | None
    is_simulated: bool
    novelty: Novelty | None = None
    distance: str | None = None
    simulated_class: str | None = None  # predicted, with its probability


@dataclass(frozen=True)
class ClassCount:
    """Number of selected glitches of one class, with a link that shows them."""

    text: str
    href: str
    is_chosen: bool
    count: str = ""
    share: float = 0.0  # relative to the most frequent class, in percent, for the bar


@dataclass(frozen=True)
class Pages:
    """Links from one page of a long list to the others; None if there is only one page."""

    first: str | None = None
    previous: str | None = None
    next: str | None = None
    last: str | None = None
    place: str = ""  # "Page 2 of 5", for numbered pages


@dataclass(frozen=True)
class Fact:
    """One line of metadata."""

    name: str
    value: str
    is_code: bool = False


@dataclass(frozen=True)
class Download:
    """A link to download a file."""

    text: str
    href: str
    is_job: bool = False  # too large for a direct response: the form starts a job that writes it


class LoginPage(PageContext, template="login.html"):
    """The login form."""

    error: str | None
    next_path: str
    code: str | None = None  # from a login link; the visitor confirms it
    holder: str | None = None  # whom the code logs in
    provider: str | None = None  # name of the login provider, if one is configured
    provider_href: str = ""


class LoggedOutPage(PageContext, template="logged_out.html"):
    """Redirects to the provider, where a session may still be open."""

    provider: str
    href: str


class FailurePage(PageContext, template="failure.html"):
    """A page with an error message."""

    heading: str
    sentence: str
    back: str | None  # address of the previous page
    alternative: NavItem  # an alternative to visit
    request_id: str | None
    is_passing: bool  # the same request may succeed later
