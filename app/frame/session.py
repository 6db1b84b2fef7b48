"""Log in, log out, which clock times are shown in, and light or dark."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import APIRouter, Form, Query, Request, Response

from app.core.access import verify_token
from app.core.errors import UnauthenticatedError
from app.core.principals import Principal
from app.core.sign_on import (
    end_session,
    holder_of_code,
    note_refused_login,
    open_session,
    redeem_code,
)
from app.frame.contexts import LoginPage
from app.frame.deps import (
    CsrfChecked,
    PageRoute,
    SessionDep,
    SignerDep,
    VisitorDep,
    is_https,
    see_other,
    set_cookie,
)
from app.frame.render import CLOCK_COOKIE_NAME, SCHEME_COOKIE_NAME, local_path, render
from app.frame.sessions import COOKIE_NAME

router = APIRouter(route_class=PageRoute)

_YEAR_S = 365 * 24 * 3600
_LONGEST_TOKEN = 200


@router.get("/login")
def login_form(
    *,
    request: Request,
    session: SessionDep,
    visitor: VisitorDep,
    code: Annotated[str | None, Query()] = None,
    next: Annotated[str | None, Query()] = None,  # noqa: A002 - the name in the address
) -> Response:
    """The form; or, with the code of a login link, a button that logs in.

    Looking at the page logs nobody in: a link on another site could put a visitor into a session
    that is not theirs, and whatever fetches links ahead would use the code up.
    """
    next_path = local_path(next)
    if code is None:
        if visitor.principal is not None:
            return see_other(next_path)
        return render(request, LoginPage(None, next_path), visitor)
    try:
        holder = holder_of_code(session, code)
    except UnauthenticatedError as error:
        return render(request, LoginPage(str(error), next_path), visitor, status=401)
    page = LoginPage(None, next_path, code=code, holder=holder.name)
    return _unkept(render(request, page, visitor))


@router.post("/login", dependencies=[CsrfChecked])
def login(
    *,
    request: Request,
    session: SessionDep,
    signer: SignerDep,
    visitor: VisitorDep,
    token: Annotated[str, Form()] = "",
    code: Annotated[str | None, Form()] = None,
    next: Annotated[str | None, Form()] = None,  # noqa: A002 - the name in the form
) -> Response:
    """Exchange a token, or the code of a login link, for a session."""
    next_path = local_path(next)
    try:
        principal = _principal(session, token) if code is None else redeem_code(session, code)
    except UnauthenticatedError as error:
        note_refused_login(session, client_of(request))
        sentence = "That token is unknown or revoked: check that all of it was copied."
        page = LoginPage(sentence if code is None else str(error), next_path)
        return render(request, page, visitor, status=401)
    if visitor.principal is not None:
        end_session(session, request.state.session_id, visitor.principal)
    way = "token" if code is None else "code"
    session_id = open_session(session, principal, signer.lifetime_s, way)
    cookie, _ = signer.issue(str(session_id), time.time())
    response = see_other(next_path)
    set_cookie(request, response, COOKIE_NAME, cookie, signer.lifetime_s)
    return _unkept(response)


def client_of(request: Request) -> str:
    """The address of whoever asks, as the service sees it."""
    return request.client.host if request.client else "unknown"


def _principal(session: SessionDep, token: str) -> Principal:
    token = token.strip()
    if not 0 < len(token) <= _LONGEST_TOKEN or not token.isascii() or not token.isprintable():
        raise UnauthenticatedError("That is no token.")
    return verify_token(session, token)


def _unkept(response: Response) -> Response:
    """The address of a login link holds its code: nothing may keep or pass it on."""
    response.headers["Cache-Control"] = "no-store"
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


@router.post("/logout", dependencies=[CsrfChecked])
def logout(request: Request, session: SessionDep, visitor: VisitorDep) -> Response:
    """End the session, here and wherever its cookie was copied to."""
    if visitor.principal is not None:
        end_session(session, request.state.session_id, visitor.principal)
    response = see_other("/ui/login?done=logged-out")
    response.delete_cookie(COOKIE_NAME, path="/ui")
    return response


@router.post("/clock", dependencies=[CsrfChecked])
def choose_clock(
    request: Request,
    clock: Annotated[str, Form()] = "gps",
    back: Annotated[str | None, Form()] = None,
) -> Response:
    """Show times in GPS or UTC from now on. Scripts do the same without this address."""
    return _remembered(request, back, CLOCK_COOKIE_NAME, "utc" if clock == "utc" else "gps")


@router.post("/scheme", dependencies=[CsrfChecked])
def choose_scheme(
    request: Request,
    scheme: Annotated[str, Form(max_length=10)] = "system",
    back: Annotated[str | None, Form()] = None,
) -> Response:
    """Light or dark from now on, or as the system has it. Scripts do the same in place."""
    chosen = scheme if scheme in {"light", "dark"} else "system"
    return _remembered(request, back, SCHEME_COOKIE_NAME, chosen)


def _remembered(request: Request, back: str | None, name: str, value: str) -> Response:
    """Back to the page, with a choice kept in a cookie that scripts may write too."""
    response = see_other(local_path(back))
    response.set_cookie(
        name, value, max_age=_YEAR_S, path="/ui", samesite="lax", secure=is_https(request)
    )
    return response
