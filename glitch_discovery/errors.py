"""What can go wrong with a request; each message is a sentence that says what to do next."""

from __future__ import annotations


class ServiceError(Exception):
    """The service refused. ``str()`` is its own sentence.

    Attributes:
        status: the HTTP status, such as 404.
        kind: the last part of the problem's type, such as ``not-found``.
        request_id: names the request in the service's log; None where it gave none.
        field: the input that the sentence names; None where it names none.
    """

    def __init__(
        self,
        detail: str,
        *,
        status: int,
        kind: str,
        request_id: str | None,
        field: str | None = None,
    ) -> None:
        """Keep what the service said."""
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.request_id = request_id
        self.field = field


class UnreachableError(Exception):
    """No service answers at the address, or what answers there is none."""


class JobFailedError(Exception):
    """A job that was waited for failed or was cancelled; ``str()`` says why."""
