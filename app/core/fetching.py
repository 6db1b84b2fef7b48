"""Requests to other servers, with limits on the size and total time of the response.

HTTP clients limit the time of each step only, and a response, including its head, may arrive byte
by byte. They also decompress each chunk completely, and 64 kB of compressed data may expand to
gigabytes, so compressed responses are not accepted.
"""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

import httpx

# Errors of a request. OSError includes TimeoutError and a missing SSL_CERT_FILE.
UNREACHED = (httpx.HTTPError, httpx.InvalidURL, OSError)


UNPACKED = {"Accept-Encoding": "identity"}
"""Headers that request an uncompressed response; ``check_unpacked`` checks that it is one."""


class AnswerTooLongError(ValueError):
    """The response exceeds the limit."""


def check_unpacked(answer: httpx.Response) -> None:
    """Refuse a compressed response.

    Some servers compress although ``UNPACKED`` was sent.

    Raises:
        httpx.DecodingError: if the response is compressed.
    """
    if answer.headers.get("content-encoding", "identity").lower() != "identity":
        raise httpx.DecodingError("it came packed, which was not asked for")


def as_json(answer: httpx.Response) -> Any:
    """Return the content of a JSON response.

    Raises:
        ValueError: if it is not JSON, or is nested too deeply.
    """
    try:
        return answer.json()
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def is_temporary_failure(status: int) -> bool:
    """Return whether a status means a temporary failure of the server."""
    return status in {408, 425, 429} or httpx.codes.is_server_error(status)


class _Resolvers(ThreadPoolExecutor):
    """Threads that resolve host names. Never waited for, because a name server may not answer."""

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        del wait
        super().shutdown(wait=False, cancel_futures=cancel_futures)


Taker = Callable[[bytes], bool]
"""Takes one chunk of a response, and returns whether to continue."""


class Fetcher:
    """Sends requests one after the other over persistent connections; for one thread.

    Args:
        patience_s: Maximum time of a request in seconds, including name resolution.
        options: Options of ``httpx.AsyncClient``. By default redirects are not followed.
    """

    def __init__(self, patience_s: float, **options: Any) -> None:
        self._patience_s = patience_s
        # No timeout per step unless the options set one, because the total time is limited.
        self._client = httpx.AsyncClient(**{"timeout": None, **options})
        self._client.event_hooks = {"request": [self._check]}
        self._is_secure = False  # whether the current request was made to an https address
        self._runner = asyncio.Runner()
        self._runner.get_loop().set_default_executor(_Resolvers())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._runner.run(self._client.aclose())
        self._runner.close()

    def get(
        self,
        url: str,
        max_bytes: int,
        headers: Mapping[str, str] | None = None,
        form: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Return the response to a GET, or to a POST if there is a form.

        Error statuses are returned as well, because their content may be useful.

        Raises:
            AnswerTooLongError: if it has more than ``max_bytes`` bytes.
            httpx.HTTPError, httpx.InvalidURL, OSError: if the request fails, as in ``UNREACHED``.
        """
        heads: list[httpx.Response] = []
        body = bytearray()

        def begin(answer: httpx.Response) -> Taker:
            check_unpacked(answer)
            heads.append(answer)
            return take

        def take(piece: bytes) -> bool:
            body.extend(piece)
            if len(body) > max_bytes:
                raise AnswerTooLongError("its answer is too long")
            return True

        form_argument = {} if form is None else {"data": form}
        self.read(url, begin, "GET" if form is None else "POST", headers, **form_argument)
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
        """Pass on the chunks of a response as they arrive.

        Args:
            url: The address.
            begin: Takes the head of the response; returns the function that takes the chunks, or
            None to stop there.
            method: The HTTP method.
            headers: Headers in addition to ``UNPACKED``.
            sent: The request body, as keyword arguments of ``httpx``.
        """
        self._is_secure = url.lower().startswith("https:")
        whole = {**UNPACKED, **(headers or {})}

        async def receive() -> None:
            async with (
                asyncio.timeout(self._patience_s),
                self._client.stream(method, url, headers=whole, **sent) as answer,
            ):
                if (take := begin(answer)) is not None:
                    async for piece in answer.aiter_raw():
                        if not take(piece):
                            return

        self._runner.run(receive())

    async def _check(self, request: httpx.Request) -> None:
        """Refuse redirects from https to http, which could lead to a cloud's metadata service."""
        if self._is_secure and request.url.scheme != "https":
            raise httpx.UnsupportedProtocol("it leads from https to http")


def fetch(
    url: str,
    *,
    max_bytes: int,
    patience_s: float,
    headers: Mapping[str, str] | None = None,
    form: Mapping[str, str] | None = None,
    **options: Any,
) -> httpx.Response:
    """Return one response; see ``Fetcher.get``."""
    with Fetcher(patience_s, **options) as fetcher:
        return fetcher.get(url, max_bytes, headers, form)
