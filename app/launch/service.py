"""The HTTP service as a child of `up`: `python -m app.launch.service SOCKET_DESCRIPTOR`."""

from __future__ import annotations

import socket
import sys

from app.launch.lifeline import follow_lifeline

_GRACEFUL_STOP_S = 8


def main() -> None:
    """Serve on the socket that the supervisor has bound, until SIGTERM."""
    follow_lifeline()
    listener = socket.socket(fileno=int(sys.argv[1]))

    import uvicorn

    from app.main import create_app

    config = uvicorn.Config(
        create_app(),
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_GRACEFUL_STOP_S,
    )
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
