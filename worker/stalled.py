"""Detects that this worker no longer receives messages; it then ends, to be restarted.

After Redis was unavailable, a Celery worker may consider itself connected but never receive a
message again (celery/celery issues 8030, 8091, 10302). It reports no error, but messages wait in
Redis while no process of the worker is busy. Such a worker ends itself, and its supervisor (`up`,
the container's restart policy, systemd) restarts it with a new connection.
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
_END_S = 5.0  # for a report that is being sent
EXIT_STALLED = 75  # EX_TEMPFAIL of sysexits.h: a retry may succeed

# Created before the pool forks, so that all of its processes share it. It holds a time of the
# machine's monotonic clock. This is not a value of multiprocessing, because those create temporary
# folders, which a killed worker leaves behind.
_last_sign = memoryview(mmap.mmap(-1, 8)).cast("d")
_last_sign[0] = time.monotonic()


class BusyProcesses:
    """Signs of life of one process of the pool while it runs a task.

    Until ``close``, ``report`` reports them every two seconds, because a process takes no messages
    during a long chunk, and a worker in a batch system never takes any.
    """

    def __init__(self, report: Callable[[], None]) -> None:
        self._report = report
        self._is_at_work = threading.Event()
        self._has_ended = threading.Event()
        self._thread = threading.Thread(target=self._report_regularly, name="at-work", daemon=True)
        self._thread.start()

    def __enter__(self) -> None:
        _last_sign[0] = time.monotonic()
        self._is_at_work.set()

    def __exit__(self, *_: object) -> None:
        _last_sign[0] = time.monotonic()
        self._is_at_work.clear()

    def close(self) -> None:
        """Stop reporting, so that the connection used by ``report`` may be closed."""
        self._has_ended.set()
        self._is_at_work.set()
        self._thread.join(_END_S)

    def _report_regularly(self) -> None:
        while self._is_at_work.wait() and not self._has_ended.is_set():
            _last_sign[0] = time.monotonic()
            self._report()
            self._has_ended.wait(LOOK_EVERY_S)


class StallCheck:
    """Detects that messages have waited for ``patience_s`` seconds while this worker was idle."""

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
    """Check every two seconds in a thread, and end this worker when it has stalled."""
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
    except RedisError:  # unavailable; Celery tries to reconnect
        return 0


def _end_worker() -> None:
    """End the worker without Celery, whose own exit may hang; no task is running."""
    _log.error(
        "messages wait in Redis, and this worker has taken none for %.0f s: it ends with exit code "
        "%d, to be started again",
        PATIENCE_S,
        EXIT_STALLED,
    )
    for process in psutil.Process().children(recursive=True):
        process.kill()
    os._exit(EXIT_STALLED)
