"""What worker and scheduler have in common as processes of Celery, and the scheduler.

`glitch-discovery scheduler` knows the broker and no job. Every process of a worker learns here that
it is to stop.
"""

import logging
import multiprocessing
import os
import warnings
from multiprocessing.synchronize import Event
from typing import Any

from celery import signals
from celery.exceptions import SecurityWarning

from app.core.errors import NotReadyError
from app.core.settings import Settings
from app.jobs.broker import RECONCILE_QUEUE, RECONCILE_TASK, make_celery


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


def quieten(settings: Settings) -> None:
    """Keep Celery to what an operator wants to read: not a line for every look at the jobs."""
    signals.setup_logging.connect(lambda **_: None, weak=False)  # the log stays as it is set up
    if settings.log_level != "debug":
        for name in ("celery.app.trace", "celery.worker.strategy", "celery.beat"):
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

    It keeps no file: what is due is in the database.

    Raises:
        NotReadyError: if REDIS_URL is not set.
    """
    _, redis_url = addresses(settings)
    application = make_celery(redis_url)
    quieten(settings)
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
