"""Every error as ``application/problem+json`` (RFC 9457), by one table from error to status."""

from __future__ import annotations

import errno
import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException

from app.core import errors as service
from app.decoding.errors import DecodersBusyError
from app.glitches.upload import UnsupportedFileError
from glitch import errors as science

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:glitch-discovery:problem:"
_log = logging.getLogger("app.server")

# Error class -> (status, short name in `type`, title). The most derived class decides.
PROBLEMS: dict[type[Exception], tuple[int, str, str]] = {
    science.GlitchError: (400, "bad-input", "The input cannot be used"),
    science.FormatError: (400, "unreadable-file", "The file is empty or damaged"),
    UnsupportedFileError: (415, "unsupported-file", "The file is of no kind that is read here"),
    science.StrainError: (400, "bad-strain", "The strain cannot be turned into views"),
    science.ImageError: (400, "bad-picture", "The picture is not a usable omega scan"),
    science.TooLargeError: (413, "too-large", "The input is too large"),
    science.MissingExtraError: (415, "missing-extra", "This file needs an optional package"),
    science.CheckpointError: (503, "checkpoint", "The model cannot be used"),
    service.InvalidRequestError: (400, "bad-request", "The request cannot be served"),
    service.NotFoundError: (404, "not-found", "There is no such thing"),
    service.ConflictError: (409, "conflict", "The request contradicts the catalogue"),
    service.UnauthenticatedError: (401, "unauthenticated", "A valid token is needed"),
    service.PermissionDeniedError: (403, "forbidden", "The token's role is too weak"),
    service.NotReadyError: (503, "not-ready", "The service is not ready"),
    service.BusyError: (503, "busy", "The service is busy"),
    DecodersBusyError: (503, "busy", "The service is busy"),
}

_NEXT_STEP = {
    404: "There is no such address here; /docs lists every route.",
    405: "This address does not take that method; /docs lists every route and its methods.",
}

_STORAGE_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NO_ROOM = frozenset({"53100"})  # PostgreSQL's disk_full
_DATABASE_GONE = (
    "The database did not answer; nothing was stored. Try again in a few seconds, and if it "
    "lasts, tell the operator (see /readyz)."
)


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
    """One problem document.

    Args:
        status: HTTP status.
        detail: A sentence that a person can act on.
        name: Last part of the ``type`` URN; without it, the status phrase.
        title: Short and the same for every problem of the type.
        request_id: The id under which the log knows this request.
        headers: Response headers to add.
        extra: Further members.
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


def _known_problem(request: Request, error: Exception) -> JSONResponse:
    kind = next(base for base in type(error).__mro__ if base in PROBLEMS)
    status, name, title = PROBLEMS[kind]
    headers = {}
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="glitch-discovery"'
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = str(getattr(error, "retry_after_s", 5))
    return problem_response(
        status,
        str(error),
        name=name,
        title=title,
        request_id=_request_id(request),
        headers=headers,
    )


def _payload_problem(request: Request, error: Exception) -> JSONResponse:
    """422: the payload has the wrong shape. The values sent are not echoed back."""
    if not isinstance(error, RequestValidationError):  # pragma: no cover - narrows the type
        raise TypeError("only request validation errors come here") from error
    is_form = request.headers.get("content-type", "").startswith("multipart/")
    wrong = [
        {
            "field": ".".join(str(part) for part in item["loc"]),
            "reason": _reason(item, is_form=is_form),
        }
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


def _reason(item: Mapping[str, Any], *, is_form: bool) -> str:
    """What is wrong with a field, in words of whoever sent it."""
    if is_form and item["type"] == "missing":
        return f"{item['msg']}. It was not sent, or the upload ended before it was whole"
    if "Expected UploadFile" in item["msg"]:
        return f"It is a file: send it as curl -F {item['loc'][-1]}=@PATH does"
    if item["type"] == "json_invalid":
        return "It is no JSON from there on"
    return str(item["msg"])


def _http_problem(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, HTTPException):  # pragma: no cover - narrows the type
        raise TypeError("only HTTP exceptions come here") from error
    phrase = HTTPStatus(error.status_code).phrase
    detail = error.detail
    if detail == phrase:  # Starlette's own, which says nothing to do next
        detail = _NEXT_STEP.get(error.status_code, f"{phrase}.")
    if error.status_code == 400:  # Starlette's: the multipart body cannot be taken apart
        detail = f"{detail.rstrip('.')}: send the fields as multipart/form-data, as curl -F does."
    return problem_response(
        error.status_code,
        detail,
        name="too-large" if error.status_code == 413 else "",
        request_id=_request_id(request),
        headers=error.headers,
    )


def _database_problem(request: Request, error: Exception) -> JSONResponse:
    if is_disk_full(error):
        return _full(request, error)
    _log.error("database unavailable", exc_info=error)
    return problem_response(
        503,
        _DATABASE_GONE,
        name="database",
        title="The database is not available",
        request_id=_request_id(request),
        headers={"Retry-After": "5"},
    )


def _crowded_problem(request: Request, error: Exception) -> JSONResponse:
    _log.warning("no database connection became free: %s", error)
    return problem_response(
        503,
        "The service answers as many requests as it can: try again in a few seconds.",
        name="busy",
        title="The service is busy",
        request_id=_request_id(request),
        headers={"Retry-After": "2"},
    )


def _storage_problem(request: Request, error: Exception) -> JSONResponse:
    """507 where a disk of the service is full; other errors of files are nobody's to act on."""
    if not is_disk_full(error):
        raise error
    return _full(request, error)


def is_disk_full(error: Exception) -> bool:
    """Whether a disk of the service, or of its database, has no room left."""
    state = getattr(getattr(error, "orig", None), "sqlstate", None)
    return getattr(error, "errno", None) in _STORAGE_FULL or state in _NO_ROOM


def _full(request: Request, error: Exception) -> JSONResponse:
    _log.error("no space left for an upload", exc_info=error)
    return problem_response(
        507,
        "The service has no space left for this upload; nothing was stored. Tell the operator, "
        "and send it again once there is.",
        name="storage-full",
        title="The service's disk is full",
        request_id=_request_id(request),
    )


def _unexpected_problem(request: Request, error: Exception) -> JSONResponse:
    """500 without internals: the log line under the same request id has them."""
    _log.error("unexpected error", exc_info=error)
    return unexpected(_request_id(request))


def unexpected(request_id: str | None) -> JSONResponse:
    """The answer to an error that nobody foresaw."""
    return problem_response(
        500,
        "Something failed here that should not have; nothing was stored. Try again, and if it "
        f"lasts, give the operator the request id {request_id}.",
        name="internal",
        title="An unexpected error",
        request_id=request_id,
    )


def install(application: FastAPI) -> None:
    """Teach the application to answer every error in this form."""
    for kind in PROBLEMS:
        application.add_exception_handler(kind, _known_problem)
    application.add_exception_handler(RequestValidationError, _payload_problem)
    application.add_exception_handler(HTTPException, _http_problem)
    application.add_exception_handler(OperationalError, _database_problem)
    application.add_exception_handler(PoolTimeoutError, _crowded_problem)
    application.add_exception_handler(OSError, _storage_problem)
    application.add_exception_handler(DBAPIError, _unexpected_problem)
