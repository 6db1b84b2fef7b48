"""What worker and scheduler have in common as processes of Celery."""

import logging
import warnings

from celery import signals
from celery.exceptions import SecurityWarning

from app.core.errors import NotReadyError
from app.core.settings import Settings


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
