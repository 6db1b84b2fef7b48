"""What Prometheus is told of each request. One registry an application, none global."""

from __future__ import annotations

import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
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
        self.index_recall = Gauge(
            "glitch_vector_index_recall",
            "Share of the ten nearest that the vector index finds, at its last audit",
            ("checkpoint",),
            registry=self.registry,
        )
        self.index_audited = Gauge(
            "glitch_vector_index_audited_timestamp_seconds",
            "When the vector index was last audited",
            ("checkpoint",),
            registry=self.registry,
        )
        self.places = Gauge(
            "glitch_requests_by_place",
            "Requests with a place, waiting for one, and refused since the start",
            ("kind", "state"),
            registry=self.registry,
        )
        self.decoding = Gauge(
            "glitch_decoders_at_work", "Files being decoded by children", registry=self.registry
        )
        self.connections = Gauge(
            "glitch_database_connections_in_use", "Of the pool", registry=self.registry
        )
        self.disk_free = Gauge(
            "glitch_data_disk_free_bytes",
            "Left on the disk of the data directory",
            registry=self.registry,
        )


class CountRequests:
    """Counts and times each request under its route's template, never under its path."""

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
                route = getattr(scope.get("route"), "path", "none")
                method = scope["method"] if scope["method"] in _METHODS else "other"
                self.metrics.requests.labels(method, route, str(status)).inc()
                self.metrics.seconds.labels(method, route).observe(time.monotonic() - started)


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
