"""What a service refuses. Each message is a sentence that says what to do next.

Errors about the science of an input are ``glitch.errors``; these are about the catalogue, the
caller and the load. ``app.api.problems`` maps both to HTTP statuses in one table.
"""


class ServiceError(Exception):
    """Root of every refusal of a service."""


class InvalidRequestError(ServiceError, ValueError):
    """A value is of the right shape but means nothing here (unknown class, detector, filter)."""


class NotFoundError(ServiceError):
    """There is no such glitch, class, checkpoint or label."""


class ConflictError(ServiceError):
    """The request contradicts what the catalogue holds."""


class UnauthenticatedError(ServiceError):
    """No token, or one that is unknown or revoked."""


class PermissionDeniedError(ServiceError):
    """The token's role is too weak."""


class NotReadyError(ServiceError):
    """Something that must exist first does not: a published checkpoint, a migrated database."""


class BusyError(ServiceError):
    """Too many requests wait already; the same request may succeed shortly."""

    def __init__(self, message: str, *, retry_after_s: int = 2) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
