"""The HTTP service as a child of `up`: `python -m app.launch.serve SOCKET_DESCRIPTOR...`.

It imports its libraries, which takes seconds, while the supervisor starts the database. Then it
follows orders on standard input, one per line: ``prepare DATABASE_URL``, answered by one line of
JSON, or ``join DATABASE_URL`` if another process has prepared the database; then ``serve``.
Preparing and serving share a process, so that the libraries are imported once.
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
    """Prepare and serve on the sockets bound by the supervisor, until SIGTERM."""
    stop_with_supervisor()
    with reported_as_sentences():
        _take_all_descriptors()
        gc.disable()  # takes a sixth of the import time, although imports leave almost no garbage
        from app.launch.prepare import prepare
        from app.main import create_app
        from app.server.http_protocol import http_server

        gc.freeze()  # modules stay, so later collections need not examine them
        gc.enable()
        order, os.environ["DATABASE_URL"] = _await_order("prepare", "join")
        if order == "prepare":
            print(json.dumps(asdict(prepare())), flush=True)  # noqa: T201 - the supervisor reads it
        _await_order("serve")
        sockets = [socket.socket(fileno=int(descriptor)) for descriptor in sys.argv[1:]]
        http_server(create_app()).run(sockets=sockets)


def _take_all_descriptors() -> None:
    """Raise the limit of file descriptors, which connections need; the default is often 1,024."""
    _, hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # macOS reports a maximum that it refuses
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard_limit, hard_limit))


def _await_order(*expected: str) -> tuple[str, str]:
    """Read an expected order and its argument; exit if there is none."""
    order, _, argument = sys.stdin.readline().rstrip("\n").partition(" ")
    if order not in expected:
        raise SystemExit(0)  # the supervisor is stopping
    return order, argument


if __name__ == "__main__":
    main()
