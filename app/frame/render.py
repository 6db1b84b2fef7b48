"""Rendering of a page from its context, with security headers."""

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from app.core.access import Principal, Role
from app.core.wording import count
from app.frame import display
from app.frame.contexts import Clock, Frame, NavItem, PageContext, Scheme
from app.frame.figures import DIVERGING, VIRIDIS
from app.frame.palette import class_colour
from glitch.detectors import DETECTORS
from glitch.observing_runs import ERAS
from glitch.tables.exports.formats import FORMATS
from glitch.taxonomy import SIMULATED
from glitch.views import VIEW_DURATIONS_S
from glitch_discovery.version import VERSION

APP = Path(__file__).parents[1]  # every feature folder has its own templates and static files
CLOCK_COOKIE_NAME = "glitch_clock"
SCHEME_COOKIE_NAME = "glitch_scheme"
LONGEST_PATH = 4000  # characters of an address to return to

# In the order of a day's work. Each new page gets an entry here.
NAVIGATION = (
    NavItem("clusters", "Clusters", "/ui/clusters"),
    NavItem("catalogue", "Catalogue", "/ui/glitches"),
    NavItem("map", "Map", "/ui/map"),
    NavItem("classes", "Classes", "/ui/classes"),
    NavItem("upload", "Upload", "/ui/upload"),
    NavItem("jobs", "Jobs", "/ui/jobs"),
    NavItem("digest", "What is new", "/ui/digest", is_more=True),
    NavItem("label-audit", "Label audit", "/ui/label-audit", is_more=True),
    NavItem("checkpoints", "Checkpoints", "/ui/checkpoints", is_more=True),
)

SAID = "done"  # query parameter that reports the action just done, on any page
# Its possible values. The table is fixed, so that a link cannot put other text on a page.
NOTICES = {
    "stored": "Stored: this is the glitch that you uploaded, and its nearest neighbours.",
    "stored-assumed": "Stored. Gravity Spy's scales were assumed, because no labels in the "
    "picture state its scales. If it has others, send it again with them.",
    "stored-centred": "Stored. The file does not say when it starts, so its middle was taken to be "
    "at the GPS time. If that is wrong, save it with the GPS time of its first sample and send it "
    "again.",
    "known": "This glitch is already in the catalogue, so nothing new was stored.",
    "labelled": "The label was added.",
    "kept": "The label is kept, and no audit will ask about it again.",
    "batch": "The batch was received, and workers are reading it.",
    "stopping": "The job was asked to stop.",
    "retried": "The job was queued again.",
    "audit": "The audit was requested: a worker will start it.",
    "export": "The export was requested: a worker writes the file, and this page then offers it "
    "for download.",
    "token-revoked": "The token was revoked.",
    "own-token-revoked": "Your token was revoked, so you are logged out.",
    "session-ended": "Your session has ended: log in again to return to the page.",
    "unsent": "Nothing was done, because you are not logged in: log in to return to the page.",
    "logged-out": "You are logged out.",
    "drawing": "The map was requested: this page shows it as soon as a worker has drawn it.",
    "placing": "A worker adds the newer glitches to the map; the others do not move.",
    "removed": "The cluster was removed; its glitches stay in the catalogue. If you selected them "
    "in this window, they are selected here again.",
    "demo-removed": "The demonstration was removed: from now on, all data here are yours.",
    "clustering": "The clustering was requested: a worker will start it.",
    "named": "The class was made and is suggested for the members without a label. "
    "Accept the suggestions to label them.",
    "merged": "The class is suggested for the members without a label. Accept the suggestions to "
    "label them.",
    "named-only": "The class was made. Every member had a label already, so none is suggested.",
    "merged-only": "The cluster was merged. Every member had a label already, so none is "
    "suggested.",
    "dismissed": "The cluster was dismissed; it stays in the history.",
    "selected": "The selection is a cluster now; it waits here for review.",
    "split": "The cluster was split. This is the remaining part; the other is in the list.",
    "assigned": "The chosen members were labelled.",
    "accepted": "The suggestions were accepted as labels.",
    "commented": "The comment was added.",
    "class-added": "The class was added.",
    "class-changed": "Done; it can be undone in the history.",
    "switching": "Workers embed the catalogue with this model; the present one stays in use until "
    "they have finished.",
    "switched": "This model is now in use.",
    "undone": "Undone: everything is as it was before.",
    "redone": "Redone.",
}

SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True)
class Visitor:
    """The visitor of a page: a logged-in caller, or an anonymous visitor."""

    principal: Principal | None
    nonce: str  # from which the CSRF token of the page's forms is derived
    csrf: str
    is_new: bool = False  # anonymous and without a nonce cookie yet, so the response must set it


def render(
    request: Request, page: PageContext, *, status: int = 200, has_own_pictures: bool = False
) -> HTMLResponse:
    """Render a complete page for the visitor identified by its route.

    Set ``has_own_pictures`` if the page contains images (``data:``), such as those of an upload
    that is not stored.
    """
    template = environment().get_template(page.template)
    html = template.render(frame=_frame(request, page.section), page=page)
    headers = dict(SECURITY_HEADERS)
    if has_own_pictures:
        policy = headers["Content-Security-Policy"]
        policy = policy.replace("img-src 'self'", "img-src 'self' data:")
        headers["Content-Security-Policy"] = policy
    return HTMLResponse(html, status_code=status, headers=headers)


def _frame(request: Request, section: str) -> Frame:
    visitor: Visitor | None = request.state.visitor  # None if the look-up failed
    principal = visitor.principal if visitor else None
    role = principal.role if principal else 0
    more = tuple(item for item in NAVIGATION if item.is_more)
    query = f"?{request.url.query}" if request.url.query else ""
    is_get = request.method == "GET"
    return Frame(
        static=f"/ui/static/{static_digest()}",
        version=VERSION,
        path=f"{request.url.path}{query}" if is_get else local_path(referring_page(request)),
        is_answer=not is_get,
        clock=clock(request),
        scheme=scheme(request),
        csrf=visitor.csrf if visitor else "",
        user=principal.name if principal else None,
        role=principal.role.label if principal else None,
        may_submit=role >= Role.SUBMITTER,
        may_review=role >= Role.REVIEWER,
        may_manage=role >= Role.ADMIN,
        nav=tuple(item for item in NAVIGATION if not item.is_more),
        more=more,
        more_current=next((item.text for item in more if item.name == section), None),
        search=request.query_params.get("q", "")[:200] if is_get else "",
        notice=NOTICES.get(request.query_params.get(SAID, "")),
    )


def referring_page(request: Request) -> str | None:
    """Our own page, with its filters, that a link or form was on; None if it was no such page."""
    referer = urlsplit(request.headers.get("referer", ""))
    if referer.netloc != request.url.netloc:
        return None
    return referer._replace(scheme="", netloc="").geturl()


def clock(request: Request) -> Clock:
    """Return the clock chosen by the visitor; GPS by default."""
    return "utc" if request.cookies.get(CLOCK_COOKIE_NAME) == "utc" else "gps"


def scheme(request: Request) -> Scheme:
    """Return the colour scheme chosen by the visitor; the system's by default."""
    chosen = request.cookies.get(SCHEME_COOKIE_NAME, "")
    return "light" if chosen == "light" else "dark" if chosen == "dark" else "system"


@cache
def environment() -> Environment:
    """Return the template environment: values are escaped, and unknown names are errors."""
    templates = Environment(
        loader=FileSystemLoader(sorted(APP.rglob("templates"))),
        autoescape=True,
        undefined=StrictUndefined,
        auto_reload=False,  # templates changed by an upgrade do not fit the running process
        trim_blocks=True,
        lstrip_blocks=True,
    )
    constants: dict[str, Any] = {
        **{"viridis": VIRIDIS, "diverging": DIVERGING, "windows_s": VIEW_DURATIONS_S},
        **{"detectors": DETECTORS, "observing_runs": ERAS},
        **{"origins": display.ORIGIN_TEXTS, "novelties": display.NOVELTY_TEXTS},
        "simulated_classes": SIMULATED,
        "formats": {one.name: one.title for one in FORMATS.values()},
    }
    templates.globals.update(constants)
    names = ("breakable", "card", "coded", "frequency", "moment", "seconds", "snr", "stamp")
    templates.filters |= {name: getattr(display, name) for name in names}
    templates.filters |= {"colour": class_colour, "count": count, "commas": "{:,}".format}
    return templates


@cache
def static_files() -> dict[str, bytes]:
    """Return scripts, style sheets and images by name; third-party ones as ``vendor/name``."""
    files = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for folder in APP.rglob("static")
        for path in folder.rglob("*")
        if path.is_file()
    }
    return dict(sorted(files.items()))


@cache
def static_digest() -> str:
    """Return a digest of all static files, so that browsers may cache them indefinitely."""
    digest = hashlib.sha256()
    for name, content in static_files().items():
        digest.update(name.encode() + b"\0" + content)
    return digest.hexdigest()[:16]


def local_path(path: str | None, fallback: str = "/ui/") -> str:
    """Return ``path`` if it is a path of our pages, otherwise ``fallback``."""
    if not path or len(path) > LONGEST_PATH or not path.startswith("/ui/") or "\\" in path:
        return fallback
    if any(ord(character) < 32 for character in path):
        return fallback
    return quote(path, safe="/:?#[]@!$&'()*+,;=%~-._")
