"""The worker as a process: `glitch-discovery worker`."""

import signal
import time
from typing import Any
from uuid import UUID

from celery import Celery, signals

from app.core.settings import Settings
from app.jobs.broker import JOBS_QUEUE, RECONCILE_QUEUE, RECONCILE_TASK, WORK_TASK, make_celery
from worker.celery_process import addresses, ask_to_stop, configure_celery_logs, is_stopping
from worker.stalled import watch_for_stall
from worker.tasks import Process

# A process that has been larger is replaced after its task. In KiB, as for Celery. Encoding stays
# below, but drawing the map or clustering many thousand glitches does not, and the process would
# keep that memory.
_LARGEST_PROCESS_KIB = 640 * 1024
_POLL_INTERVAL_S = 2.0


def run_worker(settings: Settings) -> int:
    """Run jobs until SIGTERM or SIGINT, and return the exit code.

    Ends with ``stalled.EXIT_STALLED`` if it no longer receives messages and should be restarted.

    Raises:
        NotReadyError: if DATABASE_URL or REDIS_URL is not set.
    """
    database_url, redis_url = addresses(settings)
    application = make_celery(redis_url)
    _declare_tasks(application, settings, database_url, redis_url)
    configure_celery_logs(settings)
    signals.worker_ready.connect(lambda **_: watch_for_stall(redis_url), weak=False)
    signals.worker_shutting_down.connect(ask_to_stop, weak=False)
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


def run_until_idle(settings: Settings, idle_s: float) -> int:
    """Run due jobs in this process, and return once none has been due for ``idle_s`` seconds.

    For batch systems, which start and end their jobs themselves. It does not wait for messages, but
    reads what is due from the database, where other workers may claim chunks at the same time.

    Raises:
        NotReadyError: if DATABASE_URL or REDIS_URL is not set.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ask_to_stop)
    process = Process(settings, *addresses(settings))
    try:
        last_s = time.monotonic()
        while not is_stopping() and time.monotonic() - last_s < idle_s:
            if process.work_once():
                last_s = time.monotonic()
            else:
                time.sleep(_POLL_INTERVAL_S)
    finally:
        process.close()
    return 0


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
