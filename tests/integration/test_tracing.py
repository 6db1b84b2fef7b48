"""Traces go to the collector that the standard variables name, and contain no secrets."""

from __future__ import annotations

import gzip
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from api_fixtures import running_service
from fastapi import FastAPI
from local_server import QuietHandler, serving
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from app.core.embedded import EmbeddedServer
from app.server.tracing import start_tracing

SENT = tuple[str, bytes]  # path, body


@contextmanager
def collector() -> Iterator[tuple[str, list[SENT]]]:
    """Run a collector of OTLP spans over HTTP; yield its address and the requests it received."""
    requests: list[SENT] = []

    class Handler(QuietHandler):
        def reply(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            is_packed = self.headers.get("Content-Encoding") == "gzip"
            requests.append((self.path, gzip.decompress(body) if is_packed else body))
            self.answer(200)

    with serving(Handler) as url:
        yield url, requests


def test_requests_become_spans_without_their_secrets(
    postgres_server: EmbeddedServer,
    migrated_template: str,
    data_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with collector() as (url, requests):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        with (
            running_service(postgres_server, migrated_template, data_folder) as service,
            service.client("reader") as client,
        ):
            client.get("/glitches", params={"limit": 1, "cursor": "a-secret"})
            request_id = client.get("/classes").headers["x-request-id"]
            client.get("/healthz")
            client.get("/readyz")
            client.get("/ui/login", params={"code": "a-secret"})
        assert {path for path, _ in requests} == {"/v1/traces"}
    assert not any(b"a-secret" in body for _, body in requests)
    assert not any(service.tokens["reader"].encode() in body for _, body in requests)
    (resource,) = {
        str(found.resource)
        for _, body in requests
        for found in ExportTraceServiceRequest.FromString(body).resource_spans
    }
    assert "glitch-discovery" in resource
    spans = [
        span
        for _, body in requests
        for found in ExportTraceServiceRequest.FromString(body).resource_spans
        for scope in found.scope_spans
        for span in scope.spans
    ]
    assert sorted(span.name for span in spans) == ["GET /classes", "GET /glitches", "GET /ui/login"]
    (classes,) = (span for span in spans if span.name == "GET /classes")
    assert request_id in str(classes.attributes)


def test_a_collector_that_is_away_holds_nothing_up(
    postgres_server: EmbeddedServer,
    migrated_template: str,
    data_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    with (
        running_service(postgres_server, migrated_template, data_folder) as service,
        service.client(None) as client,
    ):
        assert client.get("/ui/login").status_code == 200  # and the service can stop


def test_without_the_extra_a_sentence_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    caplog.set_level("WARNING", "app.tracing")
    start_tracing(FastAPI())()
    assert caplog.messages == []  # tracing was not requested
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")
    start_tracing(FastAPI())()
    (warning,) = caplog.messages
    assert "pip install 'glitch-discovery[tracing]'" in warning
