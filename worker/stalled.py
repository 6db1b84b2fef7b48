"""Detection that this worker receives no messages any more; it then ends, to be restarted.

After Redis was away a Celery worker may consider itself connected and yet never receive a message
again (celery/celery issues 8030, 8091, 10302). It reports no error, but messages wait in Redis
while no process of the worker is busy. Such a worker ends itself, and its supervisor (`up`, the
container's restart policy, systemd) restarts it with a new connection.
"""

import logging
import mmap
import os
import threading
import time
from collections.abc import Callable

import psutil
from redis import Redis
from redis.exceptions import RedisError

from app.jobs.broker import JOBS_QUEUE, RECONCILE_QUEUE, open_redis, waiting_messages

_log = logging.getLogger("worker")
PATIENCE_S = 20.0
LOOK_EVERY_S = 2.0
_END_S = 5.0  # for a sign that is being sent
EXIT_STALLED = 75  # EX_TEMPFAIL of sysexits.h: worth another try

# Made before the pool forks, so that all of its processes share it. The clock is the machine's
# (monotonic), not a process's. No value of multiprocessing: each has a folder in the temporary one,
# which a killed worker leaves behind.
_last_sign = memoryview(mmap.mmap(-1, 8)).cast("d")
_last_sign[0] = time.monotonic()


class BusyProcesses:
    """Signs of life of one process of the pool, for as long as it is at a task.

    ``tell`` tells others of it every two seconds, until ``close``: at a long chunk no message is
    taken, and a worker of a batch system takes none at all.
    """

    def __init__(self, tell: Callable[[], None]) -> None:
        self._tell = tell
        self._is_at_work = threading.Event()
        self._has_ended = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="at-work", daemon=True)
        self._thread.start()

    def __enter__(self) -> None:
        _last_sign[0] = time.monotonic()
        self._is_at_work.set()

    def __exit__(self, *_: object) -> None:
        _last_sign[0] = time.monotonic()
        self._is_at_work.clear()

    def close(self) -> None:
        """Report nothing more: the connection of ``tell`` may be closed now."""
        self._has_ended.set()
        self._is_at_work.set()
        self._thread.join(_END_S)

    def _keep(self) -> None:
        while self._is_at_work.wait() and not self._has_ended.is_set():
            _last_sign[0] = time.monotonic()
            self._tell()
            self._has_ended.wait(LOOK_EVERY_S)


class StallCheck:
    """Whether messages wait that this worker, idle, does not take, at every look for so long."""

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._waiting_since: float | None = None

    def is_stalled(self, now: float, waiting: int, last_sign: float) -> bool:
        """Judge by one more check, at monotonic times in seconds.

        ``waiting`` is the number of messages that no worker has taken; ``last_sign`` is when this
        one was last busy.
        """
        if waiting == 0:
            self._waiting_since = None
            return False
        if self._waiting_since is None:
            self._waiting_since = now
        return now - max(self._waiting_since, last_sign) >= self._patience_s


def watch_for_stall(redis_url: str) -> None:
    """Look every two seconds, in a thread; end this worker when it has stalled."""
    redis = open_redis(redis_url)

    def watch() -> None:
        check = StallCheck(PATIENCE_S)
        while True:
            time.sleep(LOOK_EVERY_S)
            if check.is_stalled(time.monotonic(), _waiting(redis), _last_sign[0]):
                _end_worker()

    threading.Thread(target=watch, name="stall-check", daemon=True).start()


def _waiting(redis: Redis) -> int:
    try:
        return sum(waiting_messages(redis, queue) for queue in (JOBS_QUEUE, RECONCILE_QUEUE))
    except RedisError:  # away: nothing can be heard, and Celery tries to connect again
        return 0


def _end_worker() -> None:
    """Nothing is at work, so nothing is lost; Celery's own way out may hang like the rest of it."""
    _log.error(
        "messages wait in Redis, and this worker has taken none for %.0f s: it ends with exit code "
        "%d, to be started again",
        PATIENCE_S,
        EXIT_STALLED,
    )
    for process in psutil.Process().children(recursive=True):
        process.kill()
    os._exit(EXIT_STALLED)
