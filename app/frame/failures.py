"""Error pages, and the redirect to the login."""

import logging
from urllib.parse import urlencode, urlsplit

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse
from starlette.exceptions import HTTPException

from app.core import errors as service
from app.core.failures import Failure, failure_of, log_failure
from app.frame.contexts import FailurePage, NavItem
from app.frame.render import NAVIGATION, local_path, referring_page, render
from app.frame.sessions import COOKIE_NAME

_log = logging.getLogger("app.frame")
_UNFORESEEN = Failure(
    500,
    "internal",
    "An unexpected error",
    sentence="An unexpected error occurred; nothing was stored. Try again, and if it lasts, give "
    "the operator the number of the request below.",
)
_NO_SUCH_PAGE = Failure(
    404,
    "not-found",
    "Not found",
    sentence="The address is damaged, so there is no page: follow a link to it, or search for its "
    "subject.",
)


class CsrfError(service.PermissionDeniedError):
    """A form without the CSRF token of its session."""


def explain(error: Exception) -> Failure | None:
    """Return the response to an error of a page; None for an unexpected one."""
    if isinstance(error, RequestValidationError):
        if any(item["loc"][0] == "path" for item in error.errors()):
            return _NO_SUCH_PAGE
        if all(item["loc"][0] == "query" for item in error.errors()):
            names = " and ".join(f"“{item['loc'][-1]}”" for item in error.errors()[:5])
            sentence = f"The address has an invalid value of {names}: remove it."
            return Failure(400, "bad-request", "The address is damaged", sentence=sentence)
        wrong = "; ".join(f"{item['loc'][-1]}: {item['msg']}" for item in error.errors()[:5])
        sentence = f"Correct these fields and send the form again: {wrong}."
        return Failure(422, "payload", "The form is not complete", sentence=sentence)
    if isinstance(error, CsrfError):
        return Failure(403, "forbidden", "This form is out of date", sentence=str(error))
    expected = failure_of(error)
    if expected is None and isinstance(error, HTTPException):
        title = "The request cannot be served"
        return Failure(error.status_code, "http", title, sentence=error.detail)
    return expected


def status_of(error: Exception) -> int:
    """Return the status of a page that shows this error next to its form."""
    expected = explain(error)
    return 400 if expected is None else expected.status


def failure(request: Request, error: Exception) -> Response:
    """Return the page with an error message, or a redirect to the login form."""
    if isinstance(error, service.UnauthenticatedError):
        return _to_login(request)
    expected = explain(error)
    if expected is None:
        expected = _UNFORESEEN
        _log.error("a page could not be served", exc_info=error)
    else:
        log_failure(_log, expected, error)
    request_id = getattr(request.state, "request_id", None)
    heading = expected.page_title or expected.title
    back, section = _return_page(request), _section_of(request.url.path)
    is_passing = expected.status >= 500
    page = FailurePage(heading, expected.sentence, back, section, request_id, is_passing)
    response = render(request, page, status=expected.status)
    if expected.status == 503:
        response.headers["Retry-After"] = str(expected.retry_after_s)
    return response


def _section_of(path: str) -> NavItem:
    """Return the list page that an address belongs to."""
    path = path.replace("/ui/exports/", "/ui/jobs/")  # a file of a job
    alternative = next((item for item in NAVIGATION if path.startswith(item.href)), None)
    return alternative or next(item for item in NAVIGATION if item.name == "catalogue")


def _to_login(request: Request) -> Response:
    """Redirect to the login form, which returns to the requested page afterwards.

    After a form it returns to the form's page; the form is not sent again.
    """
    if request.method == "GET":
        query = f"?{request.url.query}" if request.url.query else ""
        return_path = local_path(f"{request.url.path}{query}")
    else:
        return_path = local_path(_return_page(request))
    query_of_login = {"next": return_path}
    if request.method != "GET":
        query_of_login["done"] = "unsent"
    elif COOKIE_NAME in request.cookies:
        query_of_login["done"] = "session-ended"
    return RedirectResponse(f"/ui/login?{urlencode(query_of_login)}", status_code=303)


def _return_page(request: Request) -> str | None:
    """Return the page to go back to after a failure; None if it is the login or this page."""
    path = referring_page(request)
    nowhere = ("/ui/login", request.url.path if request.method == "GET" else "")
    return None if path is None or urlsplit(path).path in nowhere else local_path(path)


def see_other(path: str, **query: str) -> RedirectResponse:
    """Redirect after a form, so that reloading does not send the form again.

    ``query`` adds query parameters, from which the page reports what was done.
    """
    if query:
        path += f"{'&' if '?' in path else '?'}{urlencode(query)}"
    return RedirectResponse(path, status_code=303)
