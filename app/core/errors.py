"""Errors of requests. Each message says what to do next.

``app.core.failures`` defines the response to each of them, and to each of ``glitch.errors``.
"""

from glitch.errors import FormatError


class ServiceError(Exception):
    """Root of every error that a caller of a service can act on.

    Attributes:
        field: The input that the sentence calls by the API's name, as of ``glitch.errors``.
    """

    def __init__(self, message: str = "", *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class InvalidRequestError(ServiceError):
    """A parameter has a value that no request may have."""


class UnauthenticatedError(ServiceError):
    """The token is missing, unknown or revoked."""


class PermissionDeniedError(ServiceError):
    """The token is good, but its role or its owner may not do this."""


class NotFoundError(ServiceError):
    """There is no such thing."""


class ConflictError(ServiceError):
    """The request contradicts what is stored (already revoked, name taken, other content)."""


class NotReadyError(ServiceError):
    """The service lacks something that an operator must provide (no active checkpoint)."""


class BusyError(ServiceError):
    """Too many requests wait already; the same request may succeed shortly."""

    def __init__(self, message: str, *, retry_after_s: int = 2) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class StorageAwayError(BusyError):
    """The object store that keeps the files does not answer as it should."""


class IssuerUnreachableError(ServiceError):
    """An issuer's keys are needed to check a token or a login, and cannot be had now."""


class UnsupportedFileError(FormatError):
    """The file is of no kind that is read here, whatever its name says."""
