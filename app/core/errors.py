"""Errors of requests. Each message says what to do next.

``app.core.failures`` defines the responses to these errors and to those of ``glitch.errors``.
"""

from collections.abc import Collection
from typing import TypeVar

from glitch.errors import FormatError

RowT = TypeVar("RowT")


class LaunchError(Exception):
    """The service cannot start or continue; the message gives the reason to the operator."""


class ServiceError(Exception):
    """Base class of all errors that the caller of a service can act on.

    Attributes:
        field: API name of the input that the message is about, as in ``glitch.errors``.
    """

    def __init__(self, message: str = "", *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class InvalidRequestError(ServiceError):
    """A parameter has a value that is never valid."""


class UnauthenticatedError(ServiceError):
    """The token is missing, unknown, expired or revoked."""


class PermissionDeniedError(ServiceError):
    """The token is valid, but its role or its owner may not do this."""


class NotFoundError(ServiceError):
    """The requested object does not exist."""


def required(row: RowT | None, text: str) -> RowT:
    """Return the row; NotFoundError with this text if there is none."""
    if row is None:
        raise NotFoundError(text)
    return row


def check_choice(name: str, choices: Collection[str], what: str) -> None:
    """Refuse a name that is not among the choices."""
    if name not in choices:
        listed = ", ".join(choices)
        raise InvalidRequestError(f"There is no {what} {name[:40]!r}: give one of {listed}.")


class ConflictError(ServiceError):
    """The request contradicts what is stored (already revoked, name taken, other content)."""


class NotReadyError(ServiceError):
    """The service lacks something that an operator must provide (no active checkpoint)."""


class BusyError(ServiceError):
    """Too many requests are waiting; the same request may succeed shortly."""

    def __init__(self, message: str, *, retry_after_s: int = 2) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class StorageAwayError(BusyError):
    """The object store, or the folder, with the files does not answer correctly."""


class IssuerUnreachableError(ServiceError):
    """A token or login cannot be checked, because the issuer's keys cannot be fetched."""


class UnsupportedFileError(FormatError):
    """The content of the file has no supported format, regardless of the file name."""
