"""Cookies that scripts cannot read, for pages alone."""

from __future__ import annotations

from fastapi import Request, Response

from app.frame.sessions import VISITOR_COOKIE_NAME
from app.server.request_scope import runtime_of


def with_visitor_cookie(request: Request, response: Response) -> Response:
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
