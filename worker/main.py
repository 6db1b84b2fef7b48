"""The worker and the scheduler as processes: `glitch-discovery worker` and `... scheduler`."""

from __future__ import annotations

import logging
import warnings
from typing import Any
from uuid import UUID

from celery import Celery, signals
from celery.exceptions import SecurityWarning

from app.services.errors import NotReadyError
from app.services.jobs.broker import (
    JOBS_QUEUE,
    RECONCILE_QUEUE,
    RECONCILE_TASK,
    WORK_TASK,
    make_celery,
)
from app.settings import Settings
from worker.hearing import watch_hearing
from worker.stopping import ask_to_stop
from worker.tasks import Process

_log = logging.getLogger("worker")
# A process that has grown over this is replaced after its task. KiB, as Celery counts.
_LARGEST_PROCESS_KIB = 1_400_000


def run_worker(settings: Settings) -> int:
    """Work on jobs until SIGTERM or SIGINT; the exit code.

    Ends with ``hearing.EXIT_DEAF`` where it no longer hears its messages and should be started
    again.

    Raises:
        NotReadyError: if DATABASE_URL or REDIS_URL is not set.
    """
    database_url, redis_url = _addresses(settings)
    application = make_celery(redis_url)
    _declare_tasks(application, settings, database_url, redis_url)
    _quieten(settings)
    signals.worker_ready.connect(lambda **_: watch_hearing(redis_url), weak=False)
    signals.worker_shutting_down.connect(_on_shutdown, weak=False)
    application.conf.update(
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_max_memory_per_child=_LARGEST_PROCESS_KIB,
        worker_send_task_events=False,
    )
    worker: Any = application.Worker(
        pool="prefork",
        concurrency=settings.worker_processes,
        queues=[RECONCILE_QUEUE, JOBS_QUEUE],
        loglevel=settings.log_level.upper(),
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        optimization="fair",
        quiet=True,
    )
    worker.start()
    return int(worker.exitcode or 0)


def run_scheduler(settings: Settings) -> None:
    """Have jobs reconciled every few seconds, until SIGTERM or SIGINT. One is enough.

    It keeps no file: what is due is in the database.

    Raises:
        NotReadyError: if REDIS_URL is not set.
    """
    _, redis_url = _addresses(settings)
    application = make_celery(redis_url)
    _quieten(settings)
    application.conf.update(
        beat_scheduler="celery.beat:Scheduler",
        beat_max_loop_interval=max(settings.reconcile_s / 2, 0.1),
        beat_schedule={
            "reconcile": {
                "task": RECONCILE_TASK,
                "schedule": settings.reconcile_s,
                # Without "expires": it would compare the clocks of two machines.
                "options": {"queue": RECONCILE_QUEUE, "retry": False},
            }
        },
    )
    beat: Any = application.Beat(loglevel=settings.log_level.upper(), quiet=True)
    beat.run()


def _declare_tasks(
    application: Celery, settings: Settings, database_url: str, redis_url: str
) -> None:
    opened: list[Process] = []

    def open_process(**_: object) -> None:
        opened[:] = [Process(settings, database_url, redis_url)]

    def close_process(**_: object) -> None:
        for process in opened:
            process.close()

    signals.worker_process_init.connect(open_process, weak=False)
    signals.worker_process_shutdown.connect(close_process, weak=False)

    @application.task(name=WORK_TASK, ignore_result=True)  # type: ignore[untyped-decorator]
    def work(job_id: str) -> None:
        opened[0].work(UUID(job_id))

    @application.task(name=RECONCILE_TASK, ignore_result=True)  # type: ignore[untyped-decorator]
    def reconcile() -> None:
        opened[0].reconcile()


def _quieten(settings: Settings) -> None:
    """Keep Celery to what an operator wants to read: not a line for every look at the jobs."""
    signals.setup_logging.connect(_keep_logging, weak=False)
    if settings.log_level != "debug":
        for name in ("celery.app.trace", "celery.worker.strategy", "celery.beat"):
            logging.getLogger(name).setLevel(logging.WARNING)
    # It warns of root because of pickled messages; ours are JSON, and nothing else is accepted.
    warnings.simplefilter("ignore", SecurityWarning)


def _keep_logging(**_: object) -> None:
    """Connected so that Celery leaves the log as the caller has set it up."""


def _on_shutdown(**_: object) -> None:
    ask_to_stop()


def _addresses(settings: Settings) -> tuple[str, str]:
    if settings.database_url is None or settings.redis_url is None:
        missing = "DATABASE_URL" if settings.database_url is None else "REDIS_URL"
        raise NotReadyError(
            f"{missing} is not set: give the address that the service uses, or start with "
            "`make up`, which brings its own and a worker beside."
        )
    return settings.database_url.get_secret_value(), settings.redis_url.get_secret_value()
