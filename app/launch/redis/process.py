"""Keeps one Redis running: `python -m app.launch.redis.process PROGRAM FOLDER SOCKET`.

Redis would outlive a killed supervisor, so this process watches both. Redis holds only
notifications, which are repeated if lost. So it writes no data to disk, and a full disk does not
stop it.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil

from app.launch.parent_watch import stop_with_supervisor

_STOP_TIMEOUT_S = 5.0
_EARLY_END_S = 2.0  # Redis that ends sooner than this did not start properly
_MAX_PAUSE_S = 10.0
CONFIGURATION = """
port 0
unixsocket "{socket}"
unixsocketperm 600
dir "{folder}"
pidfile "{folder}/redis.pid"
logfile "{folder}/redis.log"
daemonize no
appendonly no
save ""
maxmemory 256mb
maxmemory-policy noeviction
"""


def main() -> None:
    """Start Redis, and restart it when it ends, until SIGTERM or the supervisor's end."""
    program, folder, socket = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    stop_with_supervisor()
    _end_orphan(folder)
    configuration = folder / "redis.conf"
    configuration.write_text(CONFIGURATION.format(socket=socket, folder=_quoted(folder)))
    configuration.chmod(0o600)
    early_ends = 0
    while not stop.is_set():
        started = time.monotonic()
        _run(program, configuration, stop)
        if stop.is_set():
            break
        early_ends = early_ends + 1 if time.monotonic() - started < _EARLY_END_S else 0
        print(  # noqa: T201
            f"Redis ended by itself: starting it again ({folder / 'redis.log'} may say why).",
            file=sys.stderr,
            flush=True,
        )
        stop.wait(min(0.2 * 2**early_ends, _MAX_PAUSE_S))


def _run(program: Path, configuration: Path, stop: threading.Event) -> None:
    """Run Redis until it ends by itself or ``stop`` is set."""
    try:
        redis = subprocess.Popen(  # noqa: S603 - the program that the supervisor found
            [str(program), str(configuration)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as error:
        print(f"Redis cannot be started: {error}.", file=sys.stderr, flush=True)  # noqa: T201
        return
    while redis.poll() is None and not stop.wait(0.1):
        pass
    if redis.poll() is None:
        redis.terminate()
        try:
            redis.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            redis.kill()
            redis.wait()


def _end_orphan(folder: Path) -> None:
    """Kill a Redis left by a killed predecessor, because two would use the same socket."""
    with contextlib.suppress(OSError, ValueError, psutil.Error):
        process = psutil.Process(int((folder / "redis.pid").read_text()))
        if Path(process.cwd()) == folder and process.pid != os.getpid():
            process.kill()
            process.wait(_STOP_TIMEOUT_S)


def _quoted(folder: Path) -> str:
    """Escape a path for Redis's double quotes."""
    return str(folder).replace("\\", "\\\\").replace('"', '\\"')


if __name__ == "__main__":
    main()
