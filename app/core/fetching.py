"""Requests to other servers, with limits on the size and total time of the response.

HTTP clients limit each step only, and a response, including its head, may arrive byte by byte. They
also unpack each piece completely, and 64 kB of compressed data may unpack to gigabytes, so
compressed responses are not accepted.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, Self

import httpx

# What asking may end with; OSError in time, or of an SSL_CERT_FILE that is not there.
UNREACHED = (httpx.HTTPError, httpx.InvalidURL, OSError)


UNPACKED = {"Accept-Encoding": "identity"}
"""Headers that ask for an answer as it is; ``check_unpacked`` sees whether it came so."""


class AnswerTooLongError(ValueError):
    """The response exceeds the limit."""


def check_unpacked(answer: httpx.Response) -> None:
    """Refuse a compressed response, though ``UNPACKED`` was sent.

    Raises:
        httpx.DecodingError: if it did.
    """
    if answer.headers.get("content-encoding", "identity").lower() != "identity":
        raise httpx.DecodingError("it came packed, which was not asked for")


def as_json(answer: httpx.Response) -> Any:
    """The content of a response.

    Raises:
        ValueError: if that is no JSON, or nested deeper than anything sensible.
    """
    try:
        return answer.json()
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def is_temporary_failure(status: int) -> bool:
    """Whether a status means a temporary failure of the server."""
    return status in {408, 425, 429} or httpx.codes.is_server_error(status)


class Fetcher:
    """Sends requests one after the other over kept connections; for one thread.

    Args:
        most_bytes: Of an answer.
        patience_s: How long one may take, in seconds, from the name of the server on.
        options: Of ``httpx.AsyncClient``; redirects are not followed if they do not say so.
    """

    def __init__(self, most_bytes: int, patience_s: float, **options: Any) -> None:
        self._most_bytes = most_bytes
        self._patience_s = patience_s
        self._runner = asyncio.Runner()
        self._client = httpx.AsyncClient(timeout=None, **options)  # noqa: S113  (bounded below)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close its connections."""
        self._runner.run(self._client.aclose())
        self._runner.close()

    def get(self, url: str, headers: Mapping[str, str] | None = None) -> httpx.Response:
        """The answer; of one that is no success its body may be worth reading too.

        Raises:
            AnswerTooLongError: if it has too many bytes.
            httpx.HTTPError, httpx.InvalidURL, OSError: as ``UNREACHED`` has them.
        """
        return self._runner.run(self._get(url, headers))

    async def _get(self, url: str, headers: Mapping[str, str] | None) -> httpx.Response:
        body = bytearray()
        async with (
            asyncio.timeout(self._patience_s),
            self._client.stream("GET", url, headers={**UNPACKED, **(headers or {})}) as answer,
        ):
            check_unpacked(answer)
            async for piece in answer.aiter_raw():
                body += piece
                if len(body) > self._most_bytes:
                    raise AnswerTooLongError("its answer is too long")
        return httpx.Response(answer.status_code, content=bytes(body), request=answer.request)


def fetch(
    url: str,
    *,
    most_bytes: int,
    patience_s: float,
    headers: Mapping[str, str] | None = None,
    **options: Any,
) -> httpx.Response:
    """One response, by a ``Fetcher``."""
    with Fetcher(most_bytes, patience_s, **options) as fetcher:
        return fetcher.get(url, headers)
