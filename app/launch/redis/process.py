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
    quoted = str(folder).replace("\\", "\\\\").replace('"', '\\"')
    configuration.write_text(CONFIGURATION.format(socket=socket, folder=quoted))
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
    redis.terminate()  # like kill, does nothing if it has ended
    with contextlib.suppress(subprocess.TimeoutExpired):
        redis.wait(_STOP_TIMEOUT_S)
    redis.kill()
    status = redis.wait()
    sys.exit(status if status >= 0 else 128 - status)


def _end_orphan(folder: Path) -> None:
    """Kill a Redis left by a killed predecessor, because two would use the same socket."""
    with contextlib.suppress(OSError, ValueError, psutil.Error):
        process = psutil.Process(int((folder / "redis.pid").read_text()))
        if Path(process.cwd()) == folder and process.pid != os.getpid():
            process.kill()
            process.wait(_STOP_TIMEOUT_S)


if __name__ == "__main__":
    main()
