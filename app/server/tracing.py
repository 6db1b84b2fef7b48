"""OpenTelemetry traces, if its standard environment variables request them.

Otherwise OpenTelemetry is not imported, so it costs neither time nor memory.
"""

import logging
import os
import threading
from collections.abc import Callable
from typing import Any

from fastapi import FastAPI

from glitch_discovery.version import VERSION

_ENDPOINT_VARIABLES = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_PROBES = r"/healthz$,/readyz$,/metrics$,/status\.json$"
_WITH_QUERY = ("http.url", "http.target", "url.full")
_FLUSH_S = 3.0  # s; an unreachable collector must not delay the shutdown
_log = logging.getLogger("app.tracing")


def start_tracing(application: FastAPI) -> Callable[[], None]:
    """Send a span of each request to the collector configured by the environment, if any.

    Returns:
        A function that sends the last spans and stops tracing.
    """
    if not any(os.environ.get(name) for name in _ENDPOINT_VARIABLES):
        return lambda: None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
        from opentelemetry.metrics import NoOpMeterProvider
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        _log.warning(
            "OTEL_EXPORTER_OTLP_ENDPOINT is set, but no traces are sent, because %s is not "
            "installed: pip install 'glitch-discovery[tracing]'.",
            error.name,
        )
        return lambda: None
    resource = Resource.create()
    if str(resource.attributes["service.name"]).startswith("unknown_service"):
        resource = resource.merge(Resource({"service.name": "glitch-discovery"}))
    provider = TracerProvider(resource=resource.merge(Resource({"service.version": VERSION})))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    FastAPIInstrumentor.instrument_app(
        application,
        server_request_hook=_without_query,
        tracer_provider=provider,
        meter_provider=NoOpMeterProvider(),  # /metrics provides metrics
        excluded_urls=None if os.environ.get("OTEL_PYTHON_EXCLUDED_URLS") else _PROBES,
        http_capture_headers_server_response=["x-request-id"],
        exclude_spans=["receive", "send"],
    )

    def stop() -> None:
        ending = threading.Thread(target=provider.shutdown, daemon=True)
        ending.start()
        ending.join(_FLUSH_S)

    return stop


def _without_query(span: Any, scope: dict[str, Any]) -> None:
    """Remove the query, which can contain a signature or a login code."""
    for name in _WITH_QUERY:
        span.set_attribute(name, scope["path"])
    span.set_attribute("url.query", "")
