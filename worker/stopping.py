"""Learning in every process of a worker that it is to stop."""

import multiprocessing
import os
from multiprocessing.synchronize import Event

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
