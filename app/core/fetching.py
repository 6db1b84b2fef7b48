"""Requests to other servers, with limits on the size and total time of the response.

HTTP clients limit each step only, and a response, including its head, may arrive byte by byte. They
also unpack each piece completely, and 64 kB of compressed data may unpack to gigabytes, so
compressed responses are not accepted.
"""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
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


class _Resolvers(ThreadPoolExecutor):
    """Threads that ask for addresses; a name server may not answer, so none is waited for."""

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        del wait
        super().shutdown(wait=False, cancel_futures=cancel_futures)


Taker = Callable[[bytes], bool]
"""Takes a piece of an answer; says whether more is wanted."""


class Fetcher:
    """Sends requests one after the other over kept connections; for one thread.

    Args:
        patience_s: How long one may take, in seconds, from the name of the server on.
        options: Of ``httpx.AsyncClient``; redirects are not followed if they do not say so.
    """

    def __init__(self, patience_s: float, **options: Any) -> None:
        self._patience_s = patience_s
        # Without a bound of each step, as the whole is bounded, unless the options give one.
        self._client = httpx.AsyncClient(**{"timeout": None, **options})
        self._client.event_hooks = {"request": [self._check]}
        self._is_secure = False  # what is asked for now
        self._runner = asyncio.Runner()
        self._runner.get_loop().set_default_executor(_Resolvers())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close its connections."""
        self._runner.run(self._client.aclose())
        self._runner.close()

    def get(
        self,
        url: str,
        most_bytes: int,
        headers: Mapping[str, str] | None = None,
        form: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """The answer, to a form if there is one; that of a failure may be worth reading too.

        Raises:
            AnswerTooLongError: if it has too many bytes.
            httpx.HTTPError, httpx.InvalidURL, OSError: as ``UNREACHED`` has them.
        """
        heads: list[httpx.Response] = []
        body = bytearray()

        def begin(answer: httpx.Response) -> Taker:
            check_unpacked(answer)
            heads.append(answer)
            return take

        def take(piece: bytes) -> bool:
            body.extend(piece)
            if len(body) > most_bytes:
                raise AnswerTooLongError("its answer is too long")
            return True

        sent = {} if form is None else {"data": form}
        self.read(url, begin, "GET" if form is None else "POST", headers, **sent)
        head = heads[0]
        return httpx.Response(head.status_code, content=bytes(body), request=head.request)

    def read(
        self,
        url: str,
        begin: Callable[[httpx.Response], Taker | None],
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        **sent: Any,
    ) -> None:
        """Pass the pieces of an answer on as they come.

        Args:
            url: The address.
            begin: Takes the head; returns what takes the pieces, None if none is wanted.
            method: As HTTP calls it.
            headers: Beside those that ask for an answer as it is.
            sent: The body, as ``httpx`` calls its kinds.
        """
        self._is_secure = url.lower().startswith("https:")
        self._runner.run(self._read(url, begin, method, {**UNPACKED, **(headers or {})}, sent))

    async def _check(self, request: httpx.Request) -> None:
        """Follow no redirect from https to http, as to a cloud's metadata of this machine."""
        if self._is_secure and request.url.scheme != "https":
            raise httpx.UnsupportedProtocol("it leads from https to http")

    async def _read(
        self,
        url: str,
        begin: Callable[[httpx.Response], Taker | None],
        method: str,
        headers: Mapping[str, str],
        sent: Mapping[str, Any],
    ) -> None:
        async with (
            asyncio.timeout(self._patience_s),
            self._client.stream(method, url, headers=headers, **sent) as answer,
        ):
            take = begin(answer)
            if take is None:
                return
            async for piece in answer.aiter_raw():
                if not take(piece):
                    return


def fetch(
    url: str,
    *,
    most_bytes: int,
    patience_s: float,
    headers: Mapping[str, str] | None = None,
    form: Mapping[str, str] | None = None,
    **options: Any,
) -> httpx.Response:
    """One response, by a ``Fetcher``."""
    with Fetcher(patience_s, **options) as fetcher:
        return fetcher.get(url, most_bytes, headers, form)
