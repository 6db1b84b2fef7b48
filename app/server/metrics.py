"""Prometheus metrics: request counts, and the use of limited resources.

Each application has its own registry; there is no global one. If several processes serve one
socket, each writes its metrics into files of the folder that ``PROMETHEUS_MULTIPROC_DIR`` names,
and any of them reports the sum.
"""

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import psutil
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import QueuePool
from starlette.types import Scope

from app.core.errors import NotReadyError
from app.decoding.pool import shared_pool
from app.jobs.broker import live_workers, waiting_messages
from app.jobs.leases import open_job_load
from app.server.readiness import disk_free_bytes
from app.server.runtime import Runtime

_BUCKETS_S = (0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.15, 0.25, 0.5, 1, 2, 5, 10, 30)
_FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"  # defined by prometheus_client
_RECORD_INTERVAL_S = 5.0
_PATIENCE_S = 3.0  # for the database; Prometheus waits 10 s
# File sizes in bytes.
_ROOM = {
    "counter": 1 << 17,
    "histogram": 1 << 20,
    "gauge_livesum": 1 << 16,
    "gauge_livemax": 1 << 16,
}


class Metrics:
    """The metrics of one application; ``registry`` covers all processes that share its folder."""

    def __init__(self) -> None:
        if _FOLDER_VARIABLE in os.environ:
            _take_room(Path(os.environ[_FOLDER_VARIABLE]))
        registry = CollectorRegistry()
        counter, by_route = partial(Counter, registry=registry), ("method", "route")

        def gauge(name: str, words: str, labels: tuple[str, ...] = (), of: str = "sum") -> Gauge:
            mode: Any = f"live{of}"
            return Gauge(name, words, labels, registry=registry, multiprocess_mode=mode)

        self.requests = counter("glitch_http_requests", "Requests answered", (*by_route, "status"))
        self.seconds = Histogram(
            "glitch_http_request_seconds",
            "Time from the first byte of the request to the end of the answer",
            by_route,
            buckets=_BUCKETS_S,
            registry=registry,
        )
        self.in_progress = gauge("glitch_http_requests_in_progress", "Requests being answered")
        self.places = gauge(
            "glitch_requests_by_place",
            "Requests with a place, waiting for one, and refused since the start",
            ("kind", "state"),
        )
        self.decoders = gauge("glitch_decoders_at_work", "Files being decoded")
        self.max_decoders = gauge("glitch_decoders_most", "Files decoded at the same time, at most")
        self.connections = gauge(
            "glitch_database_connections_in_use", "Database connections in use"
        )
        self.max_connections = gauge(
            "glitch_database_connections_most", "Database connections at most"
        )
        self.encoder_passes = counter("glitch_encoder_passes", "Batches processed by the encoder")
        self.encoder_glitches = counter("glitch_encoder_glitches", "Glitches in these batches")
        self.processes = gauge("glitch_api_processes", "Processes that answer requests")
        self.resident = gauge("glitch_api_resident_bytes", "Memory of all these processes")
        self.largest = gauge(
            "glitch_api_largest_resident_bytes",
            "Memory of the largest of these processes",
            of="max",
        )
        self.cpu_seconds = counter("glitch_api_cpu_seconds", "Processor time of all processes")
        self.registry = registry
        if _FOLDER_VARIABLE in os.environ:
            self.registry = CollectorRegistry()
            MultiProcessCollector(self.registry)  # type: ignore[no-untyped-call]
        else:
            ProcessCollector(registry=registry)  # describes one process only

    def note_request(self, scope: Scope, status: int, seconds: float) -> None:
        """Count and time a request by its route template, never by its path.

        This limits the size of a scrape to the number of routes, whatever is requested.
        """
        route = _template(scope)
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self.requests.labels(method, route, str(status)).inc()
        self.seconds.labels(method, route).observe(seconds)


def _take_room(folder: Path) -> None:
    """Create the files that prometheus_client maps, with room for every route.

    prometheus_client would create them empty and let them grow. On a full disk, writing to a mapped
    page without storage kills the process, and no scrape can read the file of a process killed in
    between.

    Raises:
        NotReadyError: if the files cannot be written.
    """
    for kind, size in _ROOM.items():
        file = folder / f"{kind}_{os.getpid()}.db"
        # of an earlier process with this id
        target = file if file.exists() else file.with_suffix("")
        try:
            with target.open("ab") as opened:
                opened.write(bytes(max(0, size - opened.tell())))
            target.replace(file)
        except OSError as error:
            target.unlink(missing_ok=True)
            raise NotReadyError(
                f"The request metrics cannot be written to {folder} ({error.strerror}): make room "
                "there and start again."
            ) from error


def _template(scope: Scope) -> str:
    """Return the full route template; those of pages lack the prefix of all pages."""
    template: str = getattr(scope.get("route"), "path", "none")
    is_page = scope["path"].startswith(_PAGES) and template.startswith("/")
    return _PAGES + template if is_page and not template.startswith(_PAGES) else template


_PAGES = "/ui"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class OwnLoad:
    """Records the use of this process's limited resources in the metrics."""

    def __init__(self, metrics: Metrics, runtime: Runtime) -> None:
        self._metrics = metrics
        self._runtime = runtime
        self._encoded = (0, 0)  # passes and glitches at the last record
        self._cpu_s = 0.0
        self._lock = threading.Lock()

    def note(self) -> None:
        """Record the current values."""
        with self._lock:
            self._record()

    def _record(self) -> None:
        metrics, settings = self._metrics, self._runtime.settings
        admissions = self._runtime.admissions
        for kind, admission in (
            ("read", admissions.reads),
            ("upload", admissions.uploads),
            ("table", admissions.tables),
            ("events", admissions.events),
        ):
            for state in ("at_work", "waiting", "refused"):
                metrics.places.labels(kind, state).set(getattr(admission, state))
        metrics.decoders.set(shared_pool().at_work)
        metrics.max_decoders.set(settings.decoders)
        pool = self._runtime.engine.pool
        if isinstance(pool, QueuePool):
            metrics.connections.set(pool.checkedout())
        metrics.max_connections.set(settings.database_pool)
        passes, glitches = self._runtime.encoders.work_done()
        metrics.encoder_passes.inc(passes - self._encoded[0])
        metrics.encoder_glitches.inc(glitches - self._encoded[1])
        self._encoded = passes, glitches
        resident = psutil.Process().memory_info().rss
        metrics.processes.set(1)
        metrics.resident.set(resident)
        metrics.largest.set(resident)
        cpu_s = time.process_time()
        metrics.cpu_seconds.inc(cpu_s - self._cpu_s)
        self._cpu_s = cpu_s

    async def note_for_ever(self) -> None:
        """Record every few seconds, because any process may answer a scrape."""
        while True:
            self.note()
            await asyncio.sleep(_RECORD_INTERVAL_S)


class LoadCollector(Collector):
    """Disk space and background work, which are the same for all processes.

    Values that cannot be determined (no database or Redis) are left out, so that an alert can test
    for their absence. The number of series does not depend on the number of workers and jobs.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="metrics")
        self._running_query: Future[list[Metric]] | None = None

    def collect(self) -> Iterator[Metric]:
        """Yield the current metrics, without the database's if it does not respond in time."""
        if (free := disk_free_bytes(self._runtime.settings.data_dir)) is not None:
            name = "glitch_data_disk_free_bytes"
            yield _gauge(name, "Free space on the disk of the data directory", free)
        if self._running_query is None or self._running_query.done():
            self._running_query = self._executor.submit(lambda: list(self._jobs()))
        with contextlib.suppress(TimeoutError):  # otherwise the scrape would hang, too
            yield from self._running_query.result(_PATIENCE_S)
        yield from self._workers()

    def _jobs(self) -> Iterator[Metric]:
        if (audit := self._runtime.index_audit()) is not None:
            yield _gauge(
                "glitch_vector_index_recall",
                "Share of the ten nearest that the vector index finds, at its last audit",
                audit.recall,
                checkpoint=audit.checkpoint,
            )
            yield _gauge(
                "glitch_vector_index_audited_timestamp_seconds",
                "When the vector index was last audited",
                audit.made_at.timestamp(),
                checkpoint=audit.checkpoint,
            )
        try:
            with self._runtime.sessions() as session:
                load = open_job_load(session)
        except SQLAlchemyError:
            return
        jobs = GaugeMetricFamily("glitch_jobs", "Jobs that have not ended", labels=("state",))
        for state, (number, _) in load.items():
            jobs.add_metric((state,), number)
        yield jobs
        oldest_s = load["queued"][1]
        yield _gauge(
            "glitch_oldest_waiting_job_seconds",
            "Age of the oldest waiting job, 0 if none waits",
            oldest_s,
        )

    def _workers(self) -> Iterator[Metric]:
        redis = self._runtime.redis
        if redis is None:
            return
        try:
            messages, sizes = waiting_messages(redis), live_workers(redis)
        except RedisError:
            return
        yield _gauge("glitch_messages_waiting", "Messages about jobs that wait in Redis", messages)
        yield _gauge("glitch_workers", "Worker processes alive within five minutes", len(sizes))
        yield _gauge("glitch_workers_resident_bytes", "Memory of all workers", sum(sizes))
        yield _gauge(
            "glitch_workers_largest_resident_bytes", "Memory of one", max(sizes, default=0)
        )


def _gauge(name: str, words: str, value: float, **labels: str) -> Metric:
    gauge = GaugeMetricFamily(name, words, labels=tuple(labels))
    gauge.add_metric(tuple(labels.values()), value)
    return gauge
