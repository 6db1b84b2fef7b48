"""The HTTP server as every process runs it; connections must say what they want in time.

uvicorn waits for ever for the head of a request, and keeps whatever comes of it: a few hundred
half-sent ones would take every descriptor of the process, and an endless one all its memory.
"""

from __future__ import annotations

import asyncio
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

GRACEFUL_STOP_S = 8
KEEP_ALIVE_S = 30  # clients and proxies reuse connections; uvicorn closes after 5 s, in their faces
LONGEST_CONNECTION_S = 5.0  # then it ends with its next answer, which says so
HEAD_WITHIN_S = 15.0
MOST_HEAD_BYTES = 1 << 16  # cookies and addresses of browsers stay far below
_TOO_LONG_BODY = b"The head of the request is over 64 KiB: send fewer or shorter header fields."
_TOO_LONG = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (len(_TOO_LONG_BODY), _TOO_LONG_BODY)
)


class TimedHttpProtocol(HttpToolsProtocol):
    """Closes a connection whose request head takes over HEAD_WITHIN_S or MOST_HEAD_BYTES.

    Where several processes share a socket, clients that connect at the same moment may all be
    taken by one. So none stays for long: who comes back is taken by whichever has time.
    """

    head_within_s = HEAD_WITHIN_S
    longest_s = LONGEST_CONNECTION_S

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._head_timer: asyncio.TimerHandle | None = None
        self._head_bytes = 0
        self._is_old_at = 0.0

    def data_received(self, data: bytes) -> None:
        """Take what came, unless the head does not end."""
        super().data_received(data)
        if self._head_timer is None or self.transport.is_closing():
            return
        self._head_bytes += len(data)
        if self._head_bytes > MOST_HEAD_BYTES:
            self.transport.write(_TOO_LONG)
            self.transport.close()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Await the first head from here on."""
        super().connection_made(transport)
        self._is_old_at = self.loop.time() + self.longest_s
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Await nothing more."""
        self._stop_waiting()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """Await the head of a further request of the connection."""
        super().on_message_begin()
        if self._head_timer is None:
            self._await_head()

    def on_headers_complete(self) -> None:
        """The head is there."""
        self._stop_waiting()
        super().on_headers_complete()
        if self.loop.time() > self._is_old_at and not self.parser.should_upgrade():
            self.cycle.keep_alive = False

    def _await_head(self) -> None:
        self._head_bytes = 0
        self._head_timer = self.loop.call_later(self.head_within_s, self._give_up)

    def _stop_waiting(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _give_up(self) -> None:
        self._head_timer = None
        if not self.transport.is_closing():
            self.transport.close()


def http_server(application: FastAPI) -> uvicorn.Server:
    """A server of the application; ``run(sockets=[...])`` listens until it should exit."""
    config = uvicorn.Config(
        application,
        http=TimedHttpProtocol,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACEFUL_STOP_S,
        timeout_keep_alive=KEEP_ALIVE_S,
    )
    server = uvicorn.Server(config)
    # Streams of events would else hold the stop up until its grace is over.
    application.state.is_stopping = lambda: server.should_exit
    return server
