"""Runs Redis beside the service: `python -m app.launch.redis.process PROGRAM FOLDER SOCKET`.

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
from pathlib import Path

import psutil

from app.launch.parent_watch import stop_with_supervisor

_STOP_TIMEOUT_S = 5.0
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
    """Run Redis until it ends by itself, or until SIGTERM or the supervisor's end."""
    program, folder, socket = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    stop_with_supervisor()
    _end_orphan(folder)
    configuration = folder / "redis.conf"
    configuration.write_text(CONFIGURATION.format(socket=socket, folder=_quoted(folder)))
    configuration.chmod(0o600)
    try:
        redis = subprocess.Popen(  # noqa: S603 - the program that the supervisor found
            [str(program), str(configuration)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as error:
        raise SystemExit(f"Redis cannot be started: {error}.") from None
    while redis.poll() is None and not stop.wait(0.1):
        pass
    if redis.poll() is None:
        redis.terminate()
        try:
            redis.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            redis.kill()
            redis.wait()
    sys.exit(redis.returncode if redis.returncode >= 0 else 128 - redis.returncode)


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
