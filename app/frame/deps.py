"""What page routes ask for, and the route class that answers every failure with a page."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar
from urllib.parse import urlencode, urlsplit

from fastapi import Depends, Form, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from app.core import errors as service
from app.core.access import require_role
from app.core.failures import failure_of
from app.core.principals import Principal, Role
from app.core.sign_on import holder_of_session
from app.frame.contexts import FailurePage
from app.frame.render import Visitor, local_path, render
from app.frame.sessions import COOKIE_NAME, VISITOR_COOKIE_NAME, SessionSigner
from app.server.request_scope import RuntimeDep, SessionDep, look_up, runtime_of

__all__ = [
    "Admin",
    "CsrfChecked",
    "CsrfError",
    "Explained",
    "ForReaders",
    "LookPageRoute",
    "PageRoute",
    "Reader",
    "Reviewer",
    "RuntimeDep",
    "SessionDep",
    "SignerDep",
    "Submitter",
    "UploadPageRoute",
    "VisitorDep",
    "explain",
    "failure",
    "is_https",
    "logged_in",
    "require_csrf",
    "runtime_of",
    "see_other",
    "set_cookie",
    "signer_of",
    "visitor_of",
]

_log = logging.getLogger("app.frame")


class CsrfError(service.PermissionDeniedError):
    """A form came without the token of this session."""


def signer_of(request: Request) -> SessionSigner:
    """Signs the cookies of this service."""
    return SessionSigner(runtime_of(request).signing_secret)


SignerDep = Annotated[SessionSigner, Depends(signer_of)]


def visitor_of(request: Request) -> Visitor:
    """Who looks at the page, as ``PageRoute`` found."""
    visitor: Visitor = request.state.visitor
    return visitor


VisitorDep = Annotated[Visitor, Depends(visitor_of)]


def require_csrf(
    request: Request,
    visitor: VisitorDep,
    signer: SignerDep,
    csrf: Annotated[str, Form(max_length=200)] = "",
) -> None:
    """Every form must carry the CSRF token of its session.

    Raises:
        UnauthenticatedError: if the session has ended since the form was made.
        CsrfError: if it is missing or another session's.
    """
    if not signer.is_csrf_token(visitor.nonce, csrf):
        if visitor.principal is None and request.url.path not in _FORMS_WITHOUT_LOGIN:
            raise service.UnauthenticatedError("Your session has ended: log in again.")
        raise CsrfError(
            "This form is from an older session or from another site, so nothing was done: go "
            "back, reload the page and send it again."
        )


_FORMS_WITHOUT_LOGIN = ("/ui/login", "/ui/logout", "/ui/clock", "/ui/scheme")
CsrfChecked = Depends(require_csrf)


def _caller(role: Role) -> Callable[..., Principal]:
    def caller(visitor: VisitorDep) -> Principal:
        principal = logged_in(visitor)
        require_role(principal, role)
        return principal

    return caller


def logged_in(visitor: Visitor) -> Principal:
    """Who looks at the page.

    Raises:
        UnauthenticatedError: if nobody is logged in.
    """
    if visitor.principal is None:
        raise service.UnauthenticatedError("Log in with your token to see this page.")
    return visitor.principal


Reader = Annotated[Principal, Depends(_caller(Role.READER))]
ForReaders = Depends(_caller(Role.READER))
Submitter = Annotated[Principal, Depends(_caller(Role.SUBMITTER))]
Reviewer = Annotated[Principal, Depends(_caller(Role.REVIEWER))]
Admin = Annotated[Principal, Depends(_caller(Role.ADMIN))]


class PageRoute(APIRoute):
    """Finds out who asks before any body is read, and answers failures with a page."""

    body_role: ClassVar[Role | None] = None  # the least role that may send a body

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()
        body_role = self.body_role

        async def page(request: Request) -> Response:
            request.state.visitor = None
            try:
                visitor = await look_up(request, _identify)
                request.state.visitor = visitor
                if body_role is not None and request.method == "POST":
                    require_role(logged_in(visitor), body_role)
                response = await handler(request)
            except Exception as error:  # noqa: BLE001 - whatever is not ours is raised again
                response = failure(request, error)
            return _with_visitor_cookie(request, response)

        return page


class LookPageRoute(PageRoute):
    """As below, where a reader may send a body too: to have it looked at and not stored."""

    body_role = Role.READER


class UploadPageRoute(PageRoute):
    """Looks at the role before it reads the body, so that the untrusted cannot fill the disk."""

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
    known = request.cookies.get(VISITOR_COOKIE_NAME, "")
    nonce = known if 16 <= len(known) <= 64 and known.isascii() else secrets.token_urlsafe(16)
    return Visitor(None, nonce, signer.csrf_token(nonce), is_new=nonce != known)


def _with_visitor_cookie(request: Request, response: Response) -> Response:
    visitor = request.state.visitor
    is_page = response.headers.get("content-type", "").startswith("text/html")
    if visitor is not None and visitor.is_new and is_page:
        set_cookie(request, response, VISITOR_COOKIE_NAME, visitor.nonce, None)
    return response


def set_cookie(
    request: Request, response: Response, name: str, value: str, lifetime_s: int | None
) -> None:
    """A cookie that scripts cannot read and other sites cannot send along with a form."""
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
    """Whether visitors reach the service over TLS, its own or that of a proxy in front."""
    public_url = runtime_of(request).settings.public_url or ""
    return request.url.scheme == "https" or public_url.startswith("https://")


@dataclass(frozen=True)
class Explained:
    """An error that a visitor can act on."""

    status: int
    heading: str
    sentence: str
    is_busy: bool = False  # nothing is broken: the same request may succeed soon
    retry_after_s: int = 5


def explain(error: Exception) -> Explained | None:
    """What to tell a visitor about an error; None if it is not one to act on."""
    if isinstance(error, RequestValidationError):
        wrong = "; ".join(f"{item['loc'][-1]}: {item['msg']}" for item in error.errors()[:5])
        sentence = f"Correct these fields and send the form again: {wrong}."
        return Explained(422, "The form is not complete", sentence)
    known = failure_of(error)
    if known is None and isinstance(error, HTTPException):
        return Explained(error.status_code, "The request cannot be served", error.detail)
    if known is None:
        return None
    return Explained(
        known.status,
        known.page_title or known.title,
        known.sentence or str(error),
        is_busy=known.code == "busy",
        retry_after_s=getattr(error, "retry_after_s", known.retry_after_s),
    )


def failure(request: Request, error: Exception) -> Response:
    """The page for an error that a visitor can act on; any other error is raised again."""
    if isinstance(error, service.UnauthenticatedError):
        return _to_login(request)
    told = explain(error)
    if told is None:
        raise error
    if told.status >= 500 and not told.is_busy:
        _log.error("a page could not be served", exc_info=error)
    request_id = getattr(request.state, "request_id", None)
    page = FailurePage(heading=told.heading, sentence=told.sentence, request_id=request_id)
    response = render(request, page, request.state.visitor, status=told.status)
    if told.status == 503:
        response.headers["Retry-After"] = str(told.retry_after_s)
    return response


def _to_login(request: Request) -> Response:
    """To the login form, and from there back: to the page asked for, or the one of the form.

    A form is not sent again.
    """
    if request.method == "GET":
        query = f"?{request.url.query}" if request.url.query else ""
        asked = local_path(f"{request.url.path}{query}")
    else:
        came_from = urlsplit(request.headers.get("referer", ""))
        asked = local_path(came_from.path if came_from.netloc == request.url.netloc else None)
    query_of_login = {"next": asked}
    if COOKIE_NAME in request.cookies:
        query_of_login["done"] = "session-ended"
    return RedirectResponse(f"/ui/login?{urlencode(query_of_login)}", status_code=303)


def see_other(path: str) -> RedirectResponse:
    """After a form: a fresh GET, so that reloading does not send the form again."""
    return RedirectResponse(path, status_code=303)
