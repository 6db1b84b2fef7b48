"""Middleware of every request: request id, access log, security headers, body limits.

It is plain ASGI, because Starlette's ``BaseHTTPMiddleware`` breaks streaming and context variables.
"""

import asyncio
import logging
import re
import tempfile
import time
import uuid
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.core.logs import request_id_of_context
from app.server.metrics import Metrics
from app.server.problems import problem_response, unexpected

_log = logging.getLogger("app.access")
_ACCEPTED_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")
# for bodies that are not multipart uploads, because they are held in memory
_SMALL_BODY_BYTES = 1_000_000
_PIECE_BYTES = 1 << 16
_BATCH_PATHS = frozenset({"/batches", "/ui/batch"})
_PROBES = frozenset({"/healthz", "/readyz", "/metrics", "/status.json"})  # polled every few seconds

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class RequestContext:
    """Outermost middleware: sets the request id, logs, counts, handles unexpected errors.

    The id is taken from ``X-Request-ID`` if it is safe to log, and generated otherwise.
    """

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        sent_id = Headers(scope=scope).get("x-request-id", "")
        request_id = sent_id if _ACCEPTED_ID.fullmatch(sent_id) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        token = request_id_of_context.set(request_id)
        method = scope["method"]
        if method == "HEAD":  # handled as GET; the server omits the body
            scope = {**scope, "method": "GET"}
        started = time.monotonic()
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = request_id
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")  # unless the route set it
            await send(message)

        try:
            with self.metrics.in_progress.track_inprogress():
                await self.app(scope, receive, send_with_headers)
        except Exception:
            if status:  # the response has begun, so only the server can close the connection
                raise
            logging.getLogger("app.server").exception("unexpected error")
            await unexpected(request_id)(scope, receive, send_with_headers)
        finally:
            duration_s = time.monotonic() - started
            # Only the path, because a query string can contain a signature.
            is_probe = scope["path"] in _PROBES
            _log.log(
                logging.DEBUG if is_probe else logging.INFO,
                "request",
                extra={
                    "method": method,
                    "path": scope["path"],
                    "status": status,
                    "duration_ms": round(1000 * duration_s, 1),
                    "client": (scope.get("client") or ("unknown",))[0],
                    "who": scope["state"].get("who"),  # the caller's name, if authenticated
                },
            )
            request_id_of_context.reset(token)
            self.metrics.note_request(scope, status or 500, duration_s)


@dataclass(frozen=True, eq=False)
class WholeForOldClients:
    """Gives each response to an HTTP/1.0 request a length.

    Otherwise the server would use chunked encoding, which older clients do not know: they would
    save the chunk headers as part of the file. Event streams have no end; only proxies, which
    understand chunks, request them with HTTP/1.0.
    """

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["http_version"] != "1.0":
            await self.app(scope, receive, send)
            return
        begin: Message | None = None

        async def send_whole(message: Message) -> None:
            nonlocal begin
            if message["type"] == "http.response.start":
                headers = Headers(raw=message["headers"])
                is_event_stream = headers.get("content-type", "").startswith("text/event-stream")
                if "content-length" in headers or is_event_stream or message["status"] == 304:
                    await send(message)
                else:
                    begin = message
                return
            if begin is not None:
                buffer.write(message.get("body", b""))
                if message.get("more_body", False):
                    return
                MutableHeaders(scope=begin)["Content-Length"] = str(buffer.tell())
                await send(begin)
                begin = None
                buffer.seek(0)
                while piece := buffer.read(_PIECE_BYTES):
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
                message = {"type": "http.response.body", "body": b"", "more_body": False}
            await send(message)

        with tempfile.SpooledTemporaryFile(_SMALL_BODY_BYTES) as buffer:
            await self.app(scope, receive, send_whole)


@dataclass(frozen=True, eq=False)
class BodyBounds:
    """Limits a request body in bytes (declared, then counted as it arrives) and in time.

    A truncated form is refused, because the field in which it was cut would count as not sent.
    ``batch_bytes`` and ``batch_timeout_s`` apply to batches, sent to the API or the page. A pause
    of a batch may take ``timeout_s`` too.
    """

    app: ASGIApp
    max_bytes: int
    timeout_s: float
    batch_bytes: int
    batch_timeout_s: float

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        is_batch = scope["path"] in _BATCH_PATHS
        limit = self.batch_bytes if is_batch else self.max_bytes
        is_form = headers.get("content-type", "").lower().startswith("multipart/form-data")
        scope.setdefault("state", {})["is_multipart"] = is_form
        if not is_form:
            limit = min(limit, _SMALL_BODY_BYTES)
        declared = headers.get("content-length", "")
        is_too_large = declared.isascii() and declared.isdigit() and int(declared) > limit
        sentence = _too_large(limit, is_batch=is_batch, is_form=is_form)
        if is_too_large and not scope["path"].startswith("/ui/"):
            refusal = problem_response(
                413,
                sentence,
                name="too-large",
                title="The input is too large",
                request_id=scope.get("state", {}).get("request_id"),
            )
            await refusal(scope, receive, send)
            return

        received, end, is_read = 0, b"", False
        timeout_s = self.batch_timeout_s if is_batch else self.timeout_s
        deadline = time.monotonic() + timeout_s

        async def bounded_receive() -> Message:
            nonlocal received, end, is_read
            if is_read:  # receive() then waits for the client to disconnect, without a deadline
                return await receive()
            if is_too_large:  # the page's route answers it with a page
                raise HTTPException(413, sentence)
            try:
                async with asyncio.timeout(min(self.timeout_s, deadline - time.monotonic())):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(
                    408,
                    f"The body did not arrive within {timeout_s:g} s, or paused for "
                    f"{self.timeout_s:g} s: send a smaller file or use a faster connection.",
                ) from None
            body = message.get("body", b"")
            received += len(body)
            end = (end + body[-16:])[-16:]
            if received > limit:
                raise HTTPException(413, sentence)
            is_gone = message["type"] != "http.request"
            is_last = not is_gone and not message.get("more_body", False)
            if is_form and is_last and received and not end.rstrip().endswith(b"--"):
                raise HTTPException(
                    400,
                    "The form does not end with its boundary, so it was truncated on the way: "
                    "send it again.",
                )
            is_read = is_gone or is_last
            return message

        await self.app(scope, bounded_receive, send)


def _too_large(limit: int, *, is_batch: bool, is_form: bool) -> str:
    if not is_form:
        return (
            f"The request is over the limit of {limit / 1e6:g} MB: send less text, or files as "
            "multipart/form-data."
        )
    if is_batch:
        return (
            f"The batch is over the limit of {limit / 1e6:g} MB: send it in several parts, or ask "
            "the operator to raise GLITCH_MAX_BATCH_MB."
        )
    return (
        f"The request body is over the limit of {limit / 1e6:g} MB: cut the file to the seconds "
        "around the glitch (32 s are enough), or ask the operator to raise GLITCH_MAX_UPLOAD_MB."
    )
