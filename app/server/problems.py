"""Every error as ``application/problem+json`` (RFC 9457)."""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import DBAPIError
from starlette.exceptions import HTTPException
from starlette.routing import Match

from app.core.failures import FAILURES, failure_of, log_failure

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:glitch-discovery:problem:"
_METHODS = ("DELETE", "GET", "PATCH", "POST", "PUT")
_log = logging.getLogger("app.server")

_NEXT_STEP = {
    404: "There is no such address here; /docs lists every route.",
    405: "This address does not take that method; /docs lists every route and its methods.",
}


def problem_response(
    status: int,
    detail: str,
    *,
    name: str = "",
    title: str = "",
    request_id: str | None = None,
    headers: Mapping[str, str] | None = None,
    extra: Mapping[str, Any] | None = None,
) -> JSONResponse:
    """Make one problem document.

    ``name`` is the last part of the ``type`` URN; by default, the status phrase.
    """
    phrase = HTTPStatus(status).phrase
    content: dict[str, Any] = {
        "type": TYPE_PREFIX + (name or phrase.lower().replace(" ", "-")),
        "title": title or phrase,
        "status": status,
        "detail": detail,
    }
    if request_id is not None:
        content["request_id"] = request_id
    return JSONResponse(
        content | dict(extra or {}),
        status_code=status,
        headers=dict(headers or {}),
        media_type=MEDIA_TYPE,
    )


def _request_id(request: Request) -> str | None:
    return getattr(request.state, "request_id", None)


async def _known_problem(request: Request, error: Exception) -> JSONResponse:
    failure = failure_of(error)
    if failure is None:  # for example an unrelated OSError; ``unexpected`` answers it
        raise error
    headers = {}
    if failure.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="glitch-discovery"'
    if failure.status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = str(failure.retry_after_s)
    log_failure(_log, failure, error)
    return problem_response(
        failure.status,
        failure.sentence,
        name=failure.code,
        title=failure.title,
        request_id=_request_id(request),
        headers=headers,
        extra={"field": failure.field} if failure.field else None,
    )


async def _payload_problem(request: Request, error: Exception) -> JSONResponse:
    """Answer 422 to a payload of the wrong shape, without repeating the values that were sent."""
    if not isinstance(error, RequestValidationError):  # pragma: no cover - narrows the type
        raise TypeError("only request validation errors come here") from error
    wrong = [
        {"field": ".".join(str(part) for part in item["loc"]), "reason": _reason(item)}
        for item in error.errors()
    ]
    sentence = "; ".join(f"{item['field']}: {item['reason']}" for item in wrong[:5])
    return problem_response(
        422,
        f"Correct these fields and send again: {sentence}.",
        name="payload",
        title="The payload has the wrong shape",
        request_id=_request_id(request),
        extra={"errors": wrong},
    )


def _reason(item: Mapping[str, Any]) -> str:
    """Return what is wrong with a field, in terms of the request."""
    if "Expected UploadFile" in item["msg"]:
        return f"It is a file: send it as curl -F {item['loc'][1]}=@PATH does"
    if item["type"] == "json_invalid":
        return "It is not valid JSON from there on"
    return str(item["msg"])


async def _http_problem(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, HTTPException):  # pragma: no cover - narrows the type
        raise TypeError("only HTTP exceptions come here") from error
    if failure_of(error) is not None:
        return await _known_problem(request, error)
    phrase = HTTPStatus(error.status_code).phrase
    detail = error.detail
    if detail == phrase:  # Starlette's own text, which does not say what to do
        detail = _NEXT_STEP.get(error.status_code, f"{phrase}.")
    headers = dict(error.headers or {})
    if error.status_code == 400:  # from Starlette: the body cannot be parsed
        is_json = "json" in request.headers.get("content-type", "")
        way = "a body of JSON" if is_json else "the fields as multipart/form-data, as curl -F does"
        if "maximum" in detail.lower():  # a form with too many or too large fields
            way = "fewer or shorter fields"
        detail = f"{detail.rstrip('.')}: send {way}."
    if error.status_code == 405:
        headers["Allow"] = ", ".join(sorted(_methods_of(request)))
    return problem_response(
        error.status_code,
        detail,
        name="too-large" if error.status_code == 413 else "",
        request_id=_request_id(request),
        headers=headers,
    )


def _methods_of(request: Request) -> set[str]:
    """Return every method that this address accepts, on any route."""
    methods = set()
    for method in _METHODS:
        scope = {**request.scope, "method": method}
        if any(route.matches(scope)[0] is Match.FULL for route in request.app.routes):
            methods.add(method)
    return methods | {"HEAD"} if "GET" in methods else methods


def unexpected(request_id: str | None) -> JSONResponse:
    """Return the response to an unexpected error."""
    return problem_response(
        500,
        "An unexpected error occurred; nothing was stored. Try again, and if it lasts, give the "
        f"operator the request id {request_id}.",
        name="internal",
        title="An unexpected error",
        request_id=request_id,
    )


def install(application: FastAPI) -> None:
    """Register the problem responses for all errors.

    The handlers are coroutines, because a plain function would need a thread, and a refusal of an
    overloaded service would wait for one behind the uploads.
    """
    for kind in FAILURES:
        application.add_exception_handler(kind, _known_problem)
    application.add_exception_handler(RequestValidationError, _payload_problem)
    application.add_exception_handler(HTTPException, _http_problem)
    application.add_exception_handler(OSError, _known_problem)
    application.add_exception_handler(DBAPIError, _known_problem)
