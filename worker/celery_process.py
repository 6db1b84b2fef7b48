"""Common parts of worker and scheduler as Celery processes, and the scheduler.

`glitch-discovery scheduler` uses only the broker and no jobs. Every process of a worker learns here
that it is to stop.
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
    """Those of the database and of Redis.

    Raises:
        NotReadyError: if one is not set.
    """
    if settings.database_url is None or settings.redis_url is None:
        missing = "DATABASE_URL" if settings.database_url is None else "REDIS_URL"
        raise NotReadyError(
            f"{missing} is not set: give the address that the service uses, or start with "
            "`make up`, which brings its own and a worker beside."
        )
    return settings.database_url.get_secret_value(), settings.redis_url.get_secret_value()


def configure_celery_logs(settings: Settings) -> None:
    """Reduce Celery's logs to what an operator needs: no line for every check of the jobs."""
    signals.setup_logging.connect(lambda **_: None, weak=False)  # the log stays as it is set up
    if settings.log_level != "debug":
        for name in ("celery.app.trace", "celery.worker.strategy"):
            logging.getLogger(name).setLevel(logging.WARNING)
    # It warns of root because of pickled messages; ours are JSON, and nothing else is accepted.
    warnings.simplefilter("ignore", SecurityWarning)


# Made before the pool forks, so that all of its processes share it.
_stop: Event = multiprocessing.get_context("fork").Event()


def ask_to_stop(*_: object, **__: object) -> None:
    """In the worker's main process, by Celery or a signal: let the others leave their chunks."""
    _stop.set()


def is_stopping() -> bool:
    """Whether this worker is to stop."""
    return _stop.is_set()


def leave_now() -> None:
    """End this process of the pool at once; its chunk has been given back.

    A handler that listens to no stop would else hold the whole worker up.
    """
    os._exit(0)


def run_scheduler(settings: Settings) -> None:
    """Have jobs reconciled every few seconds, until SIGTERM or SIGINT. One is enough.

    It keeps no file: what is due is in the database. Not by Celery's beat, which goes by the time
    of day: where that is set back, it is silent for as long.

    Raises:
        NotReadyError: if REDIS_URL is not set.
    """
    _, redis_url = addresses(settings)
    application = make_celery(redis_url)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    is_away = False
    while not stop.wait(settings.reconcile_s):
        try:
            # Without "expires": it would compare the clocks of two machines.
            application.send_task(RECONCILE_TASK, queue=RECONCILE_QUEUE, retry=False)
        except Exception as error:  # noqa: BLE001  (the next try may reach Redis again)
            if not is_away:
                _log.warning("Redis takes no messages (%s): tried on without a word", error)
            is_away = True
        else:
            is_away = False
