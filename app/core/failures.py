"""The response to each error: one table for problem responses of the API and for pages."""

import errno
import logging
from dataclasses import dataclass, replace

from sqlalchemy.exc import DataError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from app.core import errors as service
from glitch import errors as science


@dataclass(frozen=True)
class Failure:
    """The response to an error."""

    status: int
    code: str  # last part of the problem's ``type``
    title: str  # short, and the same for all errors of this type
    page_title: str = ""  # heading of the page that reports it; empty: the title
    sentence: str = ""  # replaces an error message that is not meant for users
    retry_after_s: int = 5  # s; when the same request may succeed; for status 503 only
    level: int = 0  # level of the log line; 0: none
    field: str | None = None  # API name of the input that the message is about


FAILURES: dict[type[Exception], Failure] = {
    science.GlitchError: Failure(400, "bad-input", "The input cannot be used"),
    science.FormatError: Failure(400, "unreadable-file", "The file is empty or damaged"),
    service.UnsupportedFileError: Failure(
        415, "unsupported-file", "The file type is not supported"
    ),
    science.StrainError: Failure(400, "bad-strain", "The strain cannot be turned into views"),
    science.ImageError: Failure(400, "bad-picture", "The picture is not a usable omega scan"),
    science.TooLargeError: Failure(413, "too-large", "The input is too large"),
    science.CheckpointError: Failure(503, "checkpoint", "The model cannot be used"),
    service.InvalidRequestError: Failure(400, "bad-request", "The request cannot be served"),
    service.NotFoundError: Failure(404, "not-found", "Not found"),
    service.ConflictError: Failure(
        409, "conflict", "The request contradicts the catalogue", "This cannot be done now"
    ),
    service.UnauthenticatedError: Failure(
        401, "unauthenticated", "A valid token is needed", "Log in first"
    ),
    service.PermissionDeniedError: Failure(
        403, "forbidden", "The token's role is not sufficient", "Your role is not sufficient"
    ),
    service.NotReadyError: Failure(503, "not-ready", "The service is not ready"),
    service.IssuerUnreachableError: Failure(
        503,
        "issuer",
        "The token's issuer cannot be reached",
        retry_after_s=30,
        level=logging.WARNING,
    ),
    service.BusyError: Failure(503, "busy", "The service is busy"),
    OperationalError: Failure(
        503,
        "database",
        "The database is not available",
        "The database does not answer",
        "The database did not answer; nothing was stored. Try again in a few seconds, and if it "
        "lasts, tell the operator (see /readyz).",
        level=logging.ERROR,
    ),
    DataError: Failure(
        400,
        "bad-request",
        "The request cannot be served",
        sentence="A value of the request cannot be stored or looked up, for example a text with a "
        "NUL character or a number that is too large. Correct it and send the request again.",
        level=logging.WARNING,
    ),
    PoolTimeoutError: Failure(
        503,
        "busy",
        "The service is busy",
        sentence="The service has reached its limit of concurrent requests: try again in a few "
        "seconds.",
        retry_after_s=2,
        level=logging.WARNING,
    ),
}
_DISK_FULL = Failure(
    507,
    "storage-full",
    "The service's disk is full",
    sentence="The service has no disk space left; nothing was stored. Tell the operator, and send "
    "it again when there is space.",
    level=logging.ERROR,
)
_READ_ONLY = replace(
    _DISK_FULL,
    title="The service's disk is read-only",
    sentence="The service's disk is read-only; nothing was stored. Tell the operator, and send it "
    "again when the disk is writable.",
)
_DATABASE_READ_ONLY = replace(
    FAILURES[OperationalError],
    page_title="The database is read-only",
    sentence="The database is read-only at present; nothing was stored. Try again in a few "
    "minutes, and if it lasts, tell the operator (see /readyz).",
    retry_after_s=60,
)
_FULL_ERRNOS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_DATABASE_FULL_STATE = "53100"  # PostgreSQL's disk_full
READ_ONLY_STATE = "25006"  # PostgreSQL's read_only_sql_transaction
# Messages for faults of the database itself, by the beginning of the SQLSTATE.
_STATE_TEXTS = {
    "57014": "The database cancelled a statement: its statement_timeout is too short, or an "
    "operator cancelled it. Try again; if it lasts, the operator must raise that time for the "
    "service's user (ALTER ROLE ... SET statement_timeout).",
    "55P03": "A statement waited too long for rows or tables locked by others: try again; if it "
    "lasts, the operator finds them in pg_stat_activity.",
    "40": "Another transaction changed the same rows at the same time: try again.",
    "53": "The database lacks memory, connections or space for temporary files: try again in a "
    "few minutes; if it lasts, the operator must give it more (its log says which).",
    "58": "The database cannot use its own files: the operator must check its log and its disk "
    "first.",
    "XX": "The database found its own files damaged: the operator must check its log, and restore "
    "a backup if it cannot be repaired.",
    "42501": "The service's user may not use a table of the database: the operator must grant it "
    "all rights on them.",
}


def failure_of(error: Exception) -> Failure | None:
    """Return the response to an error; None for an unexpected one.

    The most derived class in the table decides.
    """
    # FastAPI reports a full disk, while it spools a form, as a form that cannot be parsed.
    for cause in (error, error.__cause__):
        full = getattr(cause, "errno", None) in _FULL_ERRNOS
        if full or sqlstate(cause) == _DATABASE_FULL_STATE:
            return _DISK_FULL
        if getattr(cause, "errno", None) == errno.EROFS:
            return _READ_ONLY
    if sqlstate(error) == READ_ONLY_STATE:
        return _DATABASE_READ_ONLY
    if (sentence := database_failure(error)) is not None:
        return replace(FAILURES[OperationalError], sentence=sentence)
    failure = next((FAILURES[base] for base in type(error).__mro__ if base in FAILURES), None)
    return failure and replace(
        failure,
        sentence=failure.sentence or str(error),
        retry_after_s=getattr(error, "retry_after_s", failure.retry_after_s),
        field=getattr(error, "field", None),
    )


def database_failure(error: BaseException | None) -> str | None:
    """Return the message for a fault of the database itself; None for any other error."""
    state = sqlstate(error) or "none"
    return next((text for prefix, text in _STATE_TEXTS.items() if state.startswith(prefix)), None)


def log_failure(log: logging.Logger, failure: Failure, error: Exception) -> None:
    """Log an expected failure in one line, if it has a log level.

    The traceback (15 kB) is included only at level debug. Otherwise an unavailable database would
    write one for each request, until the disk of the log is full as well.
    """
    if failure.level:
        message = " ".join(str(getattr(error, "orig", None) or error).split())
        trace = error if log.isEnabledFor(logging.DEBUG) else None
        log.log(failure.level, "%s: %s", failure.code, message[:500], exc_info=trace)


def sqlstate(error: BaseException | None) -> str | None:
    """Return PostgreSQL's error code; None if the error has none or came from elsewhere."""
    return getattr(getattr(error, "orig", None), "sqlstate", None)
