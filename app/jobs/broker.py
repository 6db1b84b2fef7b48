"""The message broker: how the API, the workers and the scheduler use Redis.

Everything in Redis may be lost at any moment. Messages only notify workers of jobs; the other keys
are workers' signs of life and locks for periodic work, and all of them expire.
"""

from __future__ import annotations

import os
import socket
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import psutil

from app.core.errors import LaunchError

if TYPE_CHECKING:
    from celery import Celery
    from redis import Redis

PREFIX = "glitch-discovery:"
WORK_TASK = "glitch-discovery.work"
RECONCILE_TASK = "glitch-discovery.reconcile"
JOBS_QUEUE = "jobs"
RECONCILE_QUEUE = "reconcile"
_ALIVE_KEY = f"{PREFIX}worker-alive"
_ALIVE_S = 60
_WORKER_KEYS = f"{PREFIX}worker:"
_HEARD_S = 300  # longer than _ALIVE_S: with many workers, each receives messages less often
_MAX_WORKERS = 10_000
_SCHEMES = ("redis", "rediss", "unix")
_CONNECT_S = 2.0
# Longer than any worker holds a message; a duplicate delivery does no harm.
_VISIBILITY_S = 1800


def check_redis_url(redis_url: str) -> str:
    """Return the address of Redis unchanged if its scheme is known.

    Raises:
        LaunchError: otherwise. It does not repeat the address, which may contain a password.
    """
    if urlsplit(redis_url).scheme not in _SCHEMES:
        raise LaunchError(
            "REDIS_URL is not a Redis address: give one like redis://:password@host:6379/0 or "
            "unix:///run/redis/redis.sock."
        )
    return redis_url


def celery_url(redis_url: str) -> str:
    """Convert the address of Redis to Celery's spelling, which differs for Unix sockets."""
    parts = urlsplit(check_redis_url(redis_url))
    if parts.scheme != "unix":
        return redis_url
    database = parse_qs(parts.query).get("db", ["0"])[0]
    login = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
    return f"redis+socket://{login}{parts.path}?virtual_host={database}"


def make_celery(redis_url: str) -> Celery:
    """Create a Celery application: JSON messages, late acknowledgement, no stored results."""
    from celery import Celery

    application = Celery("glitch-discovery", broker=celery_url(redis_url), set_as_current=False)
    application.conf.update(
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        task_store_errors_even_if_ignored=False,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_acks_on_failure_or_timeout=True,
        task_default_queue=JOBS_QUEUE,
        worker_prefetch_multiplier=1,
        broker_connection_retry=True,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_connection_timeout=_CONNECT_S,
        broker_transport_options={
            "global_keyprefix": PREFIX,
            "visibility_timeout": _VISIBILITY_S,
            "socket_connect_timeout": _CONNECT_S,
            "socket_keepalive": urlsplit(redis_url).scheme != "unix",
            # A sender gives up quickly, because the reconciler notifies again.
            "max_retries": 1,
            "interval_start": 0,
            "interval_step": 0.1,
            "interval_max": 0.2,
        },
        # Keeps the default, so that tasks go on when the connection to Redis is lost.
        worker_cancel_long_running_tasks_on_connection_loss=False,
        enable_utc=True,
        timezone="UTC",
    )
    return application


def open_redis(redis_url: str) -> Redis:
    """Create a Redis client with short timeouts (2 s)."""
    from redis import Redis

    return Redis.from_url(
        check_redis_url(redis_url), socket_connect_timeout=_CONNECT_S, socket_timeout=_CONNECT_S
    )


class CeleryNotifier:
    """A notifier that sends Celery messages; Celery is imported for the first message."""

    def __init__(self, redis_url: str) -> None:
        self._redis_url = check_redis_url(redis_url)

    @cached_property
    def _application(self) -> Celery:
        return make_celery(self._redis_url)

    def notify(self, job_id: UUID) -> None:
        """Send a message that this job needs a worker.

        Raises:
            kombu.exceptions.OperationalError: if Redis cannot be reached.
        """
        self._application.send_task(
            WORK_TASK, args=[str(job_id)], queue=JOBS_QUEUE, retry=False, ignore_result=True
        )

    def close(self) -> None:
        """Close the connections to Redis."""
        if "_application" in vars(self):
            self._application.close()


def note_worker_alive(redis: Redis) -> None:
    """Record in Redis that this worker is alive (for 60 s) and its memory in bytes (for 300 s)."""
    redis.set(_ALIVE_KEY, "1", ex=_ALIVE_S)
    own_key = f"{_WORKER_KEYS}{socket.gethostname()}:{os.getpid()}"
    redis.set(own_key, psutil.Process().memory_info().rss, ex=_HEARD_S)


def live_workers(redis: Redis) -> list[int]:
    """Memory in bytes of each worker process that was recorded as alive in the last 300 s."""
    keys = list(islice(redis.scan_iter(f"{_WORKER_KEYS}*", count=500), _MAX_WORKERS))
    return [int(size) for size in redis.mget(keys) if size is not None] if keys else []


def check_takes_messages(redis: Redis) -> None:
    """Check that Redis accepts writes.

    Raises:
        RedisError: if it does not, for example because memory or disk is full or it is a replica.
    """
    redis.set(f"{PREFIX}probe", "1", ex=_ALIVE_S)


def is_worker_alive(redis: Redis) -> bool:
    """Whether any worker was recorded as alive in the last minute."""
    # A longer expiry dates from before the clock was set back.
    return 0 < redis.ttl(_ALIVE_KEY) <= _ALIVE_S


def take_turn(redis: Redis, what: str, every_s: int) -> bool:
    """Return whether the caller should do the work ``what``, due every ``every_s`` seconds.

    If Redis was wiped, this is True too early, so the work must be safe to repeat.
    """
    key = f"{PREFIX}{what}"
    is_free = redis.set(key, "1", ex=every_s, nx=True)
    # Redis expires keys by wall-clock time: a clock set back would keep the key too long.
    return bool(is_free or (redis.ttl(key) > every_s and redis.set(key, "1", ex=every_s)))


def waiting_messages(redis: Redis, queue: str = JOBS_QUEUE) -> int:
    """Number of messages in a queue that no worker has taken yet."""
    return int(redis.llen(f"{PREFIX}{queue}"))
