"""Login and logout, and the visitor's preferences: GPS or UTC, light or dark."""

from __future__ import annotations

import hmac
import time
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Query, Request, Response

from app.core import sign_on
from app.core.access import Principal, verify_token
from app.core.errors import PermissionDeniedError, UnauthenticatedError, required
from app.frame import deps
from app.frame.contexts import LoggedOutPage, LoginPage
from app.frame.failures import see_other
from app.frame.render import CLOCK_COOKIE_NAME, SCHEME_COOKIE_NAME, local_path, render
from app.frame.sessions import COOKIE_NAME, MAX_COOKIE_CHARACTERS
from app.server.form_fields import takes_any
from app.server.request_scope import SessionDep, base_url, runtime_of

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from app.issuers.login import LoginProvider

router = APIRouter(route_class=deps.PageRoute)

_MAX_TOKEN_LENGTH = 200
_LOGIN_S = 600  # time limit for a login at the provider
LOGIN_COOKIE_NAME = "glitch_login"
PROVIDER_COOKIE_NAME = "glitch_provider"  # the session's ID token, needed to log out there
_MAX_COOKIE_TOKEN = 3800  # browsers discard cookies of more than 4096 bytes


@router.get("/login")
@takes_any  # providers add parameters to the callback address
def login_form(
    request: Request,
    session: SessionDep,
    code: Annotated[str | None, Query()] = None,
    next: Annotated[str | None, Query()] = None,  # noqa: A002 - the name in the address
) -> Response:
    """Show the login form or, with the code of a login link, a button that logs in.

    Opening the page does not log in. Otherwise a link on another site could put a visitor into
    somebody else's session, and programs that prefetch links would use up the code.
    """
    next_path = local_path(next)
    if code is None:
        if deps.visitor_of(request).principal is not None:
            return see_other(next_path)
        return render(request, _form(request, None, next_path))
    try:
        holder = sign_on.holder_of_code(session, code)
    except UnauthenticatedError as error:
        return render(request, _form(request, str(error), next_path), status=401)
    page = LoginPage(None, next_path, code=code, holder=holder.name)
    return _uncached(render(request, page))


@router.post("/login")
def login(
    *,
    request: Request,
    session: SessionDep,
    token: deps.AnyText = "",
    code: Annotated[str | None, Form()] = None,
    next: Annotated[str | None, Form()] = None,  # noqa: A002 - the name in the form
) -> Response:
    """Exchange a token or the code of a login link for a session."""
    next_path = local_path(next)
    try:
        principal = (
            _principal(session, token) if code is None else sign_on.redeem_code(session, code)
        )
    except UnauthenticatedError as error:
        sign_on.note_refused_login(session, client_of(request))
        sentence = "That token is unknown or revoked: check that you copied all of it."
        page = _form(request, sentence if code is None else str(error), next_path)
        return render(request, page, status=401)
    method = "token" if code is None else "code"
    return _start_session(request, session, principal, method, next_path=next_path)


@router.get("/login/provider")
def to_provider(
    request: Request,
    next: Annotated[str | None, Query()] = None,  # noqa: A002 - the name in the address
) -> Response:
    """Redirect to the login provider; a signed cookie stores the attempt.

    This is a link, not a form, because the pages' security policy allows forms to this service
    only.
    """
    address, attempt = _provider(request).begin(_callback_address(request))
    attempt_values = (attempt.state, attempt.nonce, attempt.verifier, int(time.time()) + _LOGIN_S)
    signer = deps.signer_of(request)
    cookie = signer.seal("login", *attempt_values, local_path(next))
    if len(cookie) > MAX_COOKIE_CHARACTERS:
        cookie = signer.seal("login", *attempt_values, local_path(None))
    response = see_other(address)
    deps.set_cookie(request, response, LOGIN_COOKIE_NAME, cookie, _LOGIN_S)
    return _uncached(response)


@router.get("/login/callback")
@takes_any
def from_provider(
    request: Request,
    session: SessionDep,
    state: Annotated[str, Query()] = "",
    code: Annotated[str, Query()] = "",
) -> Response:
    """Complete a login at the provider, if it was started in this browser."""
    provider, signer = _provider(request), deps.signer_of(request)
    begun = signer.unseal("login", request.cookies.get(LOGIN_COOKIE_NAME))
    next_path = local_path(begun[4] if begun else None)
    try:
        attempt = _attempt(begun, state, code)
        principal, id_token = provider.finish(_callback_address(request), code, attempt)
    except (UnauthenticatedError, PermissionDeniedError) as error:
        sign_on.note_refused_login(session, client_of(request))
        status = 401 if isinstance(error, UnauthenticatedError) else 403
        form = _form(request, str(error), next_path)
        response: Response = render(request, form, status=status)
    else:
        response = _start_session(request, session, principal, "provider", next_path=next_path)
        id_hint = id_token if len(id_token) <= _MAX_COOKIE_TOKEN else ""
        deps.set_cookie(request, response, PROVIDER_COOKIE_NAME, f"={id_hint}", signer.lifetime_s)
    response.delete_cookie(LOGIN_COOKIE_NAME, path="/ui")
    return _uncached(response)


def _form(request: Request, error: str | None, next_path: str) -> LoginPage:
    runtime = runtime_of(request)
    if runtime.login_provider is None:
        return LoginPage(error, next_path)
    href = f"/ui/login/provider?{urlencode({'next': next_path})}"
    label = runtime.settings.oidc_label
    return LoginPage(error, next_path, provider=label, provider_href=href)


def _provider(request: Request) -> LoginProvider:
    provider = runtime_of(request).login_provider
    return required(provider, "Only tokens log in here: enter one at /ui/login.")


def _callback_address(request: Request) -> str:
    return f"{base_url(request)}/ui/login/callback"


def _attempt(begun: list[Any], state: str, code: str) -> sign_on.Attempt:
    """Return the login attempt of this browser if it matches the returned state.

    Raises:
        UnauthenticatedError: if it does not match, is too old or was not completed.
    """
    expected = str(begun[0]) if begun and begun[3] > time.time() else ""
    if not expected or not hmac.compare_digest(expected.encode(), state.encode()):
        raise UnauthenticatedError(
            "This login was started in another browser, or too long ago: start again."
        )
    if not code:
        raise UnauthenticatedError("The login was not completed: start again, or use a token.")
    return sign_on.Attempt(*begun[:3])


def _start_session(
    request: Request, session: Session, principal: Principal, method: str, *, next_path: str
) -> Response:
    visitor, signer = deps.visitor_of(request), deps.signer_of(request)
    if visitor.principal is not None:
        sign_on.end_session(session, request.state.session_id, visitor.principal)
    session_id = sign_on.open_session(session, principal, signer.lifetime_s, method)
    cookie, _ = signer.issue(str(session_id), time.time())
    response = see_other(next_path)
    deps.set_cookie(request, response, COOKIE_NAME, cookie, signer.lifetime_s)
    if PROVIDER_COOKIE_NAME in request.cookies:  # of an earlier session
        response.delete_cookie(PROVIDER_COOKIE_NAME, path="/ui")
    return _uncached(response)


def client_of(request: Request) -> str:
    """Return the client's address, as seen by the service."""
    return request.client.host if request.client else "unknown"


def _principal(session: Session, token: str) -> Principal:
    token = token.strip()
    if not 0 < len(token) <= _MAX_TOKEN_LENGTH or not token.isascii() or not token.isprintable():
        raise UnauthenticatedError("That is not a token.")
    return verify_token(session, token)


def _uncached(response: Response) -> Response:
    """Forbid caching and referrers, because the address of a login link contains its code."""
    response.headers["Cache-Control"] = "no-store"
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


@router.post("/logout")
def logout(request: Request, session: SessionDep) -> Response:
    """End the session, for all copies of its cookie."""
    visitor = deps.visitor_of(request)
    if visitor.principal is not None:
        sign_on.end_session(session, request.state.session_id, visitor.principal)
    is_of_provider = PROVIDER_COOKIE_NAME in request.cookies
    response = see_other("/ui/logout/provider") if is_of_provider else _logged_out()
    response.delete_cookie(COOKIE_NAME, path="/ui")
    return response


@router.get("/logout/provider")
def logout_at_provider(request: Request) -> Response:
    """Show a page that logs out at the provider, whose session would admit the next user.

    The page redirects by itself, because the pages' security policy allows forms, and redirects
    after them, to this service only. A link on another site cannot log out a logged-in visitor.
    """
    provider = runtime_of(request).login_provider
    id_cookie = request.cookies.get(PROVIDER_COOKIE_NAME)
    is_logged_in = deps.visitor_of(request).principal is not None
    if is_logged_in or provider is None or id_cookie is None:
        return _logged_out()
    href = provider.logout_address(f"{base_url(request)}/ui/login", id_cookie.removeprefix("="))
    if href is None:
        response = _logged_out()
    else:
        page = LoggedOutPage(runtime_of(request).settings.oidc_label, href)
        response = render(request, page)
    response.delete_cookie(PROVIDER_COOKIE_NAME, path="/ui")
    return _uncached(response)


def _logged_out() -> Response:
    return see_other("/ui/login", done="logged-out")


@router.post("/clock")
def choose_clock(
    request: Request, clock: deps.AnyText = "gps", back: deps.AnyText = ""
) -> Response:
    """Show times in GPS or UTC from now on. Scripts set the same cookie without this route."""
    return deps.remembered(
        request, local_path(back), CLOCK_COOKIE_NAME, "utc" if clock == "utc" else "gps"
    )


@router.post("/scheme")
def choose_scheme(
    request: Request, scheme: deps.ShortText = "system", back: deps.AnyText = ""
) -> Response:
    """Use light or dark colours, or the system's, from now on. Scripts set the same cookie."""
    chosen = scheme if scheme in {"light", "dark"} else "system"
    return deps.remembered(request, local_path(back), SCHEME_COOKIE_NAME, chosen)
