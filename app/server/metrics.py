"""What Prometheus counts of each request. One registry an application, none global."""

from __future__ import annotations

import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_BUCKETS_S = (0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.15, 0.25, 0.5, 1, 2, 5, 10, 30)


class Metrics:
    """The counters of one application."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "glitch_http_requests",
            "Requests answered",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self.seconds = Histogram(
            "glitch_http_request_seconds",
            "Time from the first byte of the request to the end of the answer",
            ("method", "route"),
            buckets=_BUCKETS_S,
            registry=self.registry,
        )
        self.in_progress = Gauge(
            "glitch_http_requests_in_progress", "Requests being answered", registry=self.registry
        )
        ProcessCollector(registry=self.registry)  # memory, processor time, open files


class CountRequests:
    """Counts and times each request under its route's template, never under its path.

    So the size of a scrape is bounded by the routes there are, whatever is asked for.
    """

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.monotonic()
        status = 500

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        with self.metrics.in_progress.track_inprogress():
            try:
                await self.app(scope, receive, send_and_note)
            finally:
                route = _template(scope)
                method = scope["method"] if scope["method"] in _METHODS else "other"
                self.metrics.requests.labels(method, route, str(status)).inc()
                self.metrics.seconds.labels(method, route).observe(time.monotonic() - started)


def _template(scope: Scope) -> str:
    """The route's template as in the address: a page's own lacks the prefix of all pages."""
    template: str = getattr(scope.get("route"), "path", "none")
    is_page = scope["path"].startswith(_PAGES) and template.startswith("/")
    return _PAGES + template if is_page and not template.startswith(_PAGES) else template


_PAGES = "/ui"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
