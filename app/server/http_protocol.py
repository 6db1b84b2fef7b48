"""The HTTP server of every process, with time limits on the receipt of requests.

uvicorn waits without limit for the head of a request, for the rest of a body whose response is
already sent, and for a client to read. It also stores all headers and trailers. A few hundred
incomplete requests would take every file descriptor of the process, and an endless one all its
memory.
"""

from __future__ import annotations

import asyncio
import resource
import socket
from typing import Any, ClassVar

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

GRACEFUL_STOP_S = 8
# clients and proxies reuse connections; uvicorn's 5 s would close them during reuse
KEEP_ALIVE_S = 30
LONGEST_CONNECTION_S = 5.0  # after this, the connection is closed with its next response
HEAD_WITHIN_S = 15.0
READ_WITHIN_S = 120  # limit on a client that reads nothing of a response
_DESCRIPTORS, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
_MAX_IDLE = 4096  # connections without a current request
MAX_IDLE = min(_MAX_IDLE, _DESCRIPTORS // 2) if _DESCRIPTORS > 0 else _MAX_IDLE
MAX_PIPELINED = 50  # requests sent before the first response; hardly any client pipelines
MAX_HEAD_BYTES = 1 << 16  # browsers' cookies and addresses are far shorter
_TOO_LONG_BODY = b"The head of the request is over 64 KiB: send fewer or shorter header fields."
_TOO_LONG = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (len(_TOO_LONG_BODY), _TOO_LONG_BODY)
)


_INVALID = (
    "This is not a valid HTTP/1.1 request: send one Host, one Content-Length or "
    "Transfer-Encoding: chunked, lines that end in CR LF and are not folded, and an address under "
    "64 KiB of ASCII."
)


class _LateClosing(asyncio.Transport):
    """The transport of one response. It is not closed before the request body has arrived.

    Closing a connection while a body still arrives resets it, and then the sender, especially a
    proxy, may lose the response.
    """

    def __init__(self, transport: asyncio.Transport, cycle: RequestResponseCycle) -> None:
        super().__init__()
        self._transport = transport
        self._cycle = cycle

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._transport.write(data)

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def close(self) -> None:
        if not (self._cycle.response_complete and self._cycle.more_body):
            self._transport.close()


class TimedHttpProtocol(HttpToolsProtocol):
    """Closes a connection whose request head takes over HEAD_WITHIN_S or MAX_HEAD_BYTES.

    The same limits apply to the rest of a body that arrives after the response, and to the data
    between two parts of a body (chunk extensions, trailers). All of that is discarded.

    If more than MAX_IDLE connections are idle, the one that has been idle longest is closed.

    If several processes share a socket, one of them may accept all clients that connect at the same
    moment. So connections are closed after LONGEST_CONNECTION_S; a client that reconnects is
    accepted by any process with capacity.
    """

    head_within_s = HEAD_WITHIN_S
    longest_s = LONGEST_CONNECTION_S
    max_idle = MAX_IDLE
    _idle: ClassVar[dict[TimedHttpProtocol, None]] = {}  # of this process, longest idle first

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._timer: asyncio.TimerHandle | None = None
        self._is_in_head = True
        self._is_answered = True
        self._empty_bytes = 0  # bytes received since the last body data or complete head
        self._is_old_at = 0.0

    def data_received(self, data: bytes) -> None:
        """Process received data, within the limits on heads and on data between body parts."""
        self._empty_bytes += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._empty_bytes > MAX_HEAD_BYTES:
            if self._is_in_head and self._is_answered:
                self.transport.write(_TOO_LONG)
            self.transport.close()
        elif self._is_answered and not (self._timer or self.timeout_keep_alive_task):
            # uvicorn cancels the keep-alive timer at any byte
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the time limit for the first request head."""
        super().connection_made(transport)
        connected = transport.get_extra_info("socket")
        if hasattr(socket, "TCP_USER_TIMEOUT") and connected.family != socket.AF_UNIX:
            level, option = socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT
            connected.setsockopt(level, option, 1000 * READ_WITHIN_S)
        self._is_old_at = self.loop.time() + self.longest_s
        self._wait()
        self._note_idle()

    def _note_idle(self) -> None:
        self._idle[self] = None
        if len(self._idle) > self.max_idle:
            oldest = next(iter(self._idle))
            del self._idle[oldest]
            oldest.transport.close()

    def send_400_response(self, msg: str) -> None:
        """Refuse an invalid request; the parser's own message does not say what to do."""
        del msg
        super().send_400_response(_INVALID)

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the timers."""
        self._stop_waiting()
        self._idle.pop(self, None)
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """Start the time limit for the head of a further request."""
        super().on_message_begin()
        self._is_in_head = True
        if self._timer is None:
            self._wait()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep headers and ignore trailers."""
        if self._is_in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Check the head of a request, and pass it on."""
        hosts = sum(name == b"host" for name, _ in self.headers)
        if hosts > 1 or (hosts == 0 and self.parser.get_http_version() == "1.1"):
            raise ValueError("not one host")  # a proxy might use the other one
        if len(self.pipeline) >= MAX_PIPELINED:
            self.transport.close()
            raise ValueError("too many requests before an answer")  # also stops the parser
        self._stop_waiting()
        self._idle.pop(self, None)
        self._is_in_head = self._is_answered = False
        self._empty_bytes = 0
        before = self.cycle
        super().on_headers_complete()
        if self.cycle is not before:  # not a WebSocket
            self.cycle.transport = _LateClosing(self.transport, self.cycle)

    def on_body(self, body: bytes) -> None:
        """Pass on a part of the body."""
        self._empty_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Note the end of a request; after its response, the connection may be used again."""
        super().on_message_complete()
        self._stop_waiting()
        if self.parser.should_upgrade():
            return
        if self.cycle.response_complete and not self.cycle.keep_alive:
            self.transport.close()
        elif self.loop.time() > self._is_old_at and not self.cycle.response_started:
            self.cycle.keep_alive = False

    def on_response_complete(self) -> None:
        """Wait for the rest of a body if the response was sent before its end."""
        super().on_response_complete()
        # False if a further request has already arrived
        self._is_answered = self.cycle.response_complete
        if self._is_answered:
            self._note_idle()
            if self.cycle.more_body:
                self._wait()

    def _wait(self) -> None:
        self._timer = self.loop.call_later(self.head_within_s, self._close_late)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _close_late(self) -> None:
        self._timer = None
        if not self.transport.is_closing():
            self.transport.close()


def http_server(application: FastAPI) -> uvicorn.Server:
    """Make the server of the application; ``run(sockets=[...])`` serves until it should exit."""
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
    # Otherwise event streams would delay the stop until GRACEFUL_STOP_S.
    application.state.is_stopping = lambda: server.should_exit
    return server
