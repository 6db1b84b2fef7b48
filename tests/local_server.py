"""A local HTTP server for one test, on a free loopback port."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class QuietHandler(BaseHTTPRequestHandler):
    """A handler that treats GET and POST alike and logs nothing."""

    def do_GET(self) -> None:
        """Reply to a GET request."""
        self.reply()

    def do_POST(self) -> None:
        """Reply to a POST request."""
        self.reply()

    def reply(self) -> None:
        """Send the response; each subclass defines it."""
        raise NotImplementedError

    def answer(self, status: int, body: bytes = b"") -> None:
        """Send a complete response; the body, if any, is JSON."""
        self.send_response(status)
        if body:
            self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Run a server with this handler until the block ends, and yield its address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
