"""The scheduler, and the parts of Celery processes that it shares with the worker.

`glitch-discovery scheduler` uses only the broker and runs no jobs. This module also tells every
process of a worker when to stop.
"""

import logging
import multiprocessing
import os
import signal
import threading
import warnings
from multiprocessing.synchronize import Event

from celery import signals
from celery.exceptions import SecurityWarning

from app.core.errors import NotReadyError
from app.core.settings import Settings
from app.jobs.broker import RECONCILE_QUEUE, RECONCILE_TASK, make_celery

_log = logging.getLogger("worker.scheduler")


def addresses(settings: Settings) -> tuple[str, str]:
    """Return the addresses of the database and of Redis.

    Raises:
        NotReadyError: if one is not set.
    """
    if settings.database_url is None or settings.redis_url is None:
        missing = "DATABASE_URL" if settings.database_url is None else "REDIS_URL"
        raise NotReadyError(
            f"{missing} is not set: give the address that the service uses, or start with `make "
            "up`, which starts both and a worker."
        )
    return settings.database_url.get_secret_value(), settings.redis_url.get_secret_value()


def configure_celery_logs(settings: Settings) -> None:
    """Reduce Celery's logs to what operators need, without a line for every reconciliation."""
    signals.setup_logging.connect(lambda **_: None, weak=False)  # keeps the log as configured
    if settings.log_level != "debug":
        for name in ("celery.app.trace", "celery.worker.strategy"):
            logging.getLogger(name).setLevel(logging.WARNING)
    # Celery warns about pickled messages as root; our messages are JSON, and no others are
    # accepted.
    warnings.simplefilter("ignore", SecurityWarning)


# Created before the pool forks, so that all of its processes share it.
_stop: Event = multiprocessing.get_context("fork").Event()


def ask_to_stop(*_: object, **__: object) -> None:
    """In the worker's main process: let all processes leave their chunks and stop.

    Called by Celery or as a signal handler.
    """
    _stop.set()


def is_stopping() -> bool:
    """Return whether this worker must stop."""
    return _stop.is_set()


def leave_now() -> None:
    """End this process of the pool at once, after its chunk was released.

    Otherwise a handler that does not check for a stop would delay the end of the whole worker.
    """
    os._exit(0)


def run_scheduler(settings: Settings) -> None:
    """Send a reconciliation message every few seconds, until SIGTERM or SIGINT. One is enough.

    The scheduler stores nothing, because the database decides what is due. Celery's beat is not
    used, because it depends on the time of day: if the clock is set back, it sends nothing for that
    time.

    Raises:
        NotReadyError: if DATABASE_URL or REDIS_URL is not set.
    """
    _, redis_url = addresses(settings)
    application = make_celery(redis_url)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    is_away = False
    while not stop.wait(settings.reconcile_s):
        try:
            # Without "expires", which would compare the clocks of two machines.
            application.send_task(RECONCILE_TASK, queue=RECONCILE_QUEUE, retry=False)
        except Exception as error:  # noqa: BLE001  (the next try may reach Redis again)
            if not is_away:
                _log.warning("Redis accepts no messages (%s): further tries are not logged", error)
            is_away = True
        else:
            is_away = False
