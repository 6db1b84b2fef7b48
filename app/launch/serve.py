"""The HTTP service as a child of `up`: `python -m app.launch.serve SOCKET_DESCRIPTOR...`.

It imports its libraries, which takes seconds, while the supervisor starts the database; then does
what the supervisor orders on standard input, line by line: ``prepare DATABASE_URL``, answered by
one JSON line, or ``join DATABASE_URL`` where another process has prepared it; then ``serve``. One
process for both, so that the libraries are imported once.
"""

import contextlib
import gc
import json
import os
import resource
import socket
import sys
from dataclasses import asdict

from app.launch.errors import reported_as_sentences
from app.launch.parent_watch import stop_with_supervisor


def main() -> None:
    """Prepare and serve, on the sockets that the supervisor has bound, until SIGTERM."""
    stop_with_supervisor()
    with reported_as_sentences():
        _take_all_descriptors()
        gc.disable()  # a sixth of the time of imports, which leave next to no garbage
        from app.launch.prepare import prepare
        from app.main import create_app
        from app.server.http_protocol import http_server

        gc.freeze()  # modules stay: no collection needs to look through them again
        gc.enable()
        order, os.environ["DATABASE_URL"] = _await_order("prepare", "join")
        if order == "prepare":
            print(json.dumps(asdict(prepare())), flush=True)  # noqa: T201 - the supervisor reads it
        _await_order("serve")
        sockets = [socket.socket(fileno=int(descriptor)) for descriptor in sys.argv[1:]]
        http_server(create_app()).run(sockets=sockets)


def _take_all_descriptors() -> None:
    """A connection needs one; shells and systemd give 1,024 unless asked for more."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # macOS names a limit that it refuses
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _await_order(*wanted: str) -> tuple[str, str]:
    """One of the wanted words and what follows it on the next line; ends the process if none."""
    order, _, rest = sys.stdin.readline().rstrip("\n").partition(" ")
    if order not in wanted:
        raise SystemExit(0)  # the supervisor is stopping
    return order, rest


if __name__ == "__main__":
    main()
