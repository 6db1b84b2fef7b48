"""Requests to the service, and its errors as exceptions."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import httpx

from glitch_discovery.errors import ServiceError, UnreachableError

_TIMEOUT_S = 180.0  # a large file over a slow network; the service bounds its own work


class Transport:
    """One connection pool to one service."""

    def __init__(self, url: str, token: str | None) -> None:
        """Open nothing yet.

        Args:
            url: where the service listens.
            token: sent with each request.
        """
        self.url = url.rstrip("/")
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._http = httpx.Client(headers=headers, timeout=_TIMEOUT_S)

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def ask(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        """The JSON that the service answers; options are those of ``httpx.request``.

        Raises:
            ServiceError: if it refuses.
            UnreachableError: if nothing answers, or something else does.
        """
        with self._reachable():
            answer = self._http.request(method, f"{self.url}{path}", **options)
        return self._content(answer)

    def send(
        self, path: str, files: Sequence[tuple[str, Path]], fields: Mapping[str, object]
    ) -> dict[str, Any]:
        """The JSON that the service answers to files, streamed from disk, and form fields.

        Raises:
            OSError: if a file cannot be read.
            ServiceError: if the service refuses.
            UnreachableError: if nothing answers, or something else does.
        """
        with opened(files) as parts:
            return self.ask("POST", path, files=parts, data=form(fields))

    def fetch(self, path: str, target: Path, **options: Any) -> None:
        """Keep an answer as a file; streamed, so that memory does not grow with it.

        Raises:
            ServiceError: if the service refuses.
            UnreachableError: if it stops answering.
            OSError: if the file cannot be written. No half of it is left.
        """
        partial = target.with_name(f".{target.name}.part")
        try:
            with self._reachable(), self._http.stream("GET", f"{self.url}{path}", **options) as got:
                if got.is_error:
                    got.read()
                    self._content(got)
                with partial.open("wb") as file:
                    for block in got.iter_bytes():
                        file.write(block)
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)

    def read(self, path: str, **options: Any) -> bytes:
        """An answer that is no JSON, whole.

        Raises:
            ServiceError: if the service refuses.
            UnreachableError: if nothing answers.
        """
        with self._reachable():
            answer = self._http.get(f"{self.url}{path}", **options)
        if answer.is_error:
            self._content(answer)
        return answer.content

    def pages(self, path: str, query: Mapping[str, Any], size: int) -> Iterator[dict[str, Any]]:
        """The items of a list, page by page as they are wanted."""
        wanted = form(query)
        cursor = None
        while True:
            page = self.ask("GET", path, params=wanted | form({"limit": size, "cursor": cursor}))
            yield from page["items"]
            if (cursor := page["next"]) is None:
                return

    @contextlib.contextmanager
    def _reachable(self) -> Iterator[None]:
        try:
            yield
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise UnreachableError(
                f"No service answers at {self.url} ({error}): start it with `make up`, or give "
                "another address."
            ) from error

    def _content(self, answer: httpx.Response) -> dict[str, Any]:
        try:
            content = answer.json()
        except ValueError:
            content = None
        if not isinstance(content, dict):
            raise UnreachableError(
                f"{self.url} answered {answer.status_code} and no JSON: is it Glitch Discovery?"
            )
        if answer.is_error:
            raise ServiceError(
                str(content.get("detail") or content.get("title") or answer.status_code),
                status=answer.status_code,
                kind=str(content.get("type", "")).rpartition(":")[2],
                request_id=content.get("request_id"),
                field=_field(content),
            )
        return content


def _field(problem: Mapping[str, Any]) -> str | None:
    """The input that a problem is about: named by itself, or by the first of its errors."""
    errors = problem.get("errors") or [{}]
    return problem.get("field") or str(errors[0].get("field", "")).rpartition(".")[2] or None


@contextlib.contextmanager
def opened(files: Sequence[tuple[str, Path]]) -> Iterator[list[tuple[str, tuple[str, BinaryIO]]]]:
    """Files as the parts of a form, streamed from disk.

    Raises:
        OSError: if one cannot be read.
    """
    with contextlib.ExitStack() as stack:
        yield [(field, (path.name, stack.enter_context(_opened(path)))) for field, path in files]


def _opened(path: Path) -> BinaryIO:
    if path.is_fifo() or path.is_char_device():  # whose length nobody knows, and which may wait
        raise OSError(errno.EINVAL, "a pipe or device: write it to a file first", str(path))
    return path.open("rb")


def form(fields: Mapping[str, object]) -> dict[str, str | list[str]]:
    """Fields as a form has them: lists repeat, booleans are words, None is left out."""
    return {
        name: [_text(item) for item in value] if isinstance(value, list | tuple) else _text(value)
        for name, value in fields.items()
        if value is not None
    }


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
