"""The HTTP service as a child of `up`: `python -m app.launch.serve SOCKET_DESCRIPTOR`.

It imports its libraries, which takes seconds, while the supervisor starts the database; then does
what the supervisor orders on standard input, line by line: ``prepare DATABASE_URL``, answered by
one JSON line, and ``serve``. One process for both, so that the libraries are imported once.
"""

from __future__ import annotations

import json
import os
import socket
import sys

from app.launch.parent_watch import stop_with_supervisor
from app.launch.sentences import reported_as_sentences


def main() -> None:
    """Prepare and serve, on the socket that the supervisor has bound, until SIGTERM."""
    stop_with_supervisor()
    with reported_as_sentences():
        from app.launch.prepare import prepare
        from app.main import create_app
        from app.server.http_protocol import http_server

        os.environ["DATABASE_URL"] = _await_order("prepare")
        print(json.dumps(prepare()), flush=True)  # noqa: T201 - the supervisor reads it
        _await_order("serve")
        listener = socket.socket(fileno=int(sys.argv[1]))
        http_server(create_app()).run(sockets=[listener])


def _await_order(wanted: str) -> str:
    """What follows the wanted word on the next line; ends the process if none comes."""
    order, _, rest = sys.stdin.readline().rstrip("\n").partition(" ")
    if order != wanted:
        raise SystemExit(0)  # the supervisor is stopping
    return rest


if __name__ == "__main__":
    main()
