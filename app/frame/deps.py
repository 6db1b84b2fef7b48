"""Dependencies of page routes, and the route class that answers every failure with a page."""

import secrets
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from fastapi import Depends, Form, Query, Request, Response
from fastapi.routing import APIRoute
from pydantic import TypeAdapter, ValidationError
from sqlalchemy.orm import Session

from app.core import errors as service
from app.core.access import Principal, Role, require_role
from app.core.sign_on import holder_of_session
from app.frame.contexts import PageContext
from app.frame.failures import CsrfError, failure, see_other, status_of
from app.frame.render import LONGEST_PATH, Visitor, render
from app.frame.sessions import COOKIE_NAME, VISITOR_COOKIE_NAME, SessionSigner
from app.server.request_scope import SessionDep, caller_of, runtime_of
from app.server.runtime import Runtime

_YEAR_S = 365 * 24 * 3600


def with_visitor_cookie(request: Request, response: Response) -> Response:
    visitor = request.state.visitor
    is_page = response.headers.get("content-type", "").startswith("text/html")
    if visitor is not None and visitor.is_new and is_page:
        set_cookie(request, response, VISITOR_COOKIE_NAME, visitor.nonce, None)
    return response


def set_cookie(
    request: Request, response: Response, name: str, value: str, lifetime_s: int | None
) -> None:
    """Set a cookie that scripts cannot read and that other sites' forms do not send."""
    response.set_cookie(
        name,
        value,
        max_age=lifetime_s,
        path="/ui",
        httponly=True,
        samesite="lax",
        secure=is_https(request),
    )


def is_https(request: Request) -> bool:
    """Return whether visitors use https, to the service itself or to a proxy in front of it."""
    public_url = runtime_of(request).settings.public_url or ""
    return request.url.scheme == "https" or public_url.startswith("https://")


def signer_of(request: Request) -> SessionSigner:
    """Return the signer of this service's cookies."""
    return SessionSigner(runtime_of(request).signing_secret)


PageNumber = Annotated[int, Query(ge=1, le=100_000)]  # of a long list, as `numbered` gives it
_PAGE_NUMBER = TypeAdapter[int](PageNumber)


def page_number(text: str) -> int:
    """Return the page's number in an address to return to; 1 if it is none."""
    try:
        return _PAGE_NUMBER.validate_python(text)
    except ValidationError:
        return 1


def visitor_of(request: Request) -> Visitor:
    """Return the visitor that ``PageRoute`` identified."""
    visitor: Visitor = request.state.visitor
    return visitor


def require_csrf(request: Request, csrf: Annotated[str, Form(max_length=200)] = "") -> None:
    """Check that a form has its session's CSRF token and comes from one of our pages.

    The token alone is not enough. Another site of the same domain, or on another port of this
    machine, can set a visitor cookie whose token it knows. Browsers report where a form comes from.

    Raises:
        UnauthenticatedError: if the session has ended.
        CsrfError: if the token is wrong or the form comes from elsewhere.
    """
    visitor = visitor_of(request)
    is_ours = request.headers.get("sec-fetch-site", "none") in {"same-origin", "none"}
    if not is_ours or not signer_of(request).is_csrf_token(visitor.nonce, csrf):
        if visitor.principal is None and request.url.path not in _FORMS_WITHOUT_LOGIN:
            raise service.UnauthenticatedError("Your session has ended: log in again.")
        raise CsrfError(
            "This form is from an older session or from another site, so nothing was done: go "
            "back, reload the page and send it again."
        )


_FORMS_WITHOUT_LOGIN = ("/ui/login", "/ui/logout", "/ui/clock", "/ui/scheme")
CsrfChecked = Depends(require_csrf)


@dataclass(frozen=True)
class Visit:
    """A request of a logged-in visitor for a page, and its transaction."""

    request: Request
    session: Session
    principal: Principal

    @property
    def runtime(self) -> Runtime:
        """What the service opened at its start."""
        return runtime_of(self.request)

    def show(self, page: PageContext, *, status: int = 200) -> Response:
        """Answer with a page."""
        return render(self.request, page, status=status)

    def refuse(self, page: PageContext, error: Exception) -> Response:
        """Answer with a page that shows an error next to its form."""
        return render(self.request, page, status=status_of(error))


def _caller(role: Role) -> Any:
    async def caller(request: Request) -> Principal:
        principal = logged_in(visitor_of(request))
        require_role(principal, role)
        return principal

    return Depends(caller)


def _visit(role: Role) -> Any:
    # The role is checked first, so that others do not wait for a transaction.
    async def visit(
        request: Request, principal: Annotated[Principal, _caller(role)], session: SessionDep
    ) -> Visit:
        return Visit(request, session, principal)

    return Depends(visit, scope="function")


def logged_in(visitor: Visitor) -> Principal:
    """Return the logged-in visitor; UnauthenticatedError if nobody is logged in."""
    if visitor.principal is None:
        raise service.UnauthenticatedError("Log in with your token to see this page.")
    return visitor.principal


AnyText = Annotated[str, Form()]
ShortText = Annotated[str, Form(max_length=200)]
LongText = Annotated[str, Form(max_length=20_000)]
BackPath = Annotated[str, Form(max_length=LONGEST_PATH)]  # of the page to return to
EventId = Annotated[int, Form(ge=0, le=2**62)]
ReaderVisit = Annotated[Visit, _visit(Role.READER)]
SubmitterVisit = Annotated[Visit, _visit(Role.SUBMITTER)]
ReviewerVisit = Annotated[Visit, _visit(Role.REVIEWER)]
AdminVisit = Annotated[Visit, _visit(Role.ADMIN)]
ForReaders = _caller(Role.READER)


class PageRoute(APIRoute):
    """Identifies the visitor before a body is read, and answers failures with a page.

    A form must have its session's CSRF token.
    """

    body_role: ClassVar[Role | None] = None  # lowest role that may send a body

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        if "POST" in (options.get("methods") or ()):
            options["dependencies"] = [CsrfChecked, *(options.get("dependencies") or ())]
        super().__init__(path, endpoint, **options)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()
        body_role = self.body_role

        async def page(request: Request) -> Response:
            request.state.visitor = None
            try:
                visitor = await caller_of(request, _identify)
                request.state.visitor = visitor
                if body_role is not None and request.method == "POST":
                    require_role(logged_in(visitor), body_role)
                response = await handler(request)
            except Exception as error:  # noqa: BLE001 - the visitor needs a page for any error
                response = failure(request, error)
            return with_visitor_cookie(request, response)

        return page


class ReaderUploadRoute(PageRoute):
    """Like ``UploadPageRoute``, but also for readers, whose glitch is analysed and not stored."""

    body_role = Role.READER


class UploadPageRoute(PageRoute):
    """Checks the role before it reads the body, so that strangers cannot fill the disk."""

    body_role = Role.SUBMITTER


def _identify(request: Request) -> Visitor:
    signer = signer_of(request)
    web_session = signer.read(request.cookies.get(COOKIE_NAME), time.time())
    if web_session is not None:
        with runtime_of(request).sessions() as session:
            principal = holder_of_session(session, web_session.session_id)
        if principal is not None:
            request.state.session_id = web_session.session_id
            request.state.who = principal.name
            return Visitor(principal, web_session.nonce, signer.csrf_token(web_session.nonce))
    cookie = request.cookies.get(VISITOR_COOKIE_NAME, "")
    nonce = cookie if 16 <= len(cookie) <= 64 and cookie.isascii() else secrets.token_urlsafe(16)
    return Visitor(None, nonce, signer.csrf_token(nonce), is_new=nonce != cookie)


def remembered(request: Request, target: str, name: str, value: str) -> Response:
    """Redirect to a page and keep a choice in a cookie, which scripts may also write."""
    response = see_other(target)
    response.set_cookie(
        name, value, max_age=_YEAR_S, path="/ui", samesite="lax", secure=is_https(request)
    )
    return response
