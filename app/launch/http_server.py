"""The HTTP server as every process of this project runs it, the tests' included."""

from __future__ import annotations

import uvicorn
from fastapi import FastAPI

from app.server.http_protocol import TimedHttpProtocol

GRACEFUL_STOP_S = 8
KEEP_ALIVE_S = 30  # clients and proxies reuse connections; uvicorn closes after 5 s, in their faces


def http_server(application: FastAPI) -> uvicorn.Server:
    """A server of the application; ``run(sockets=[...])`` listens until it should exit."""
    config = uvicorn.Config(
        application,
        http=TimedHttpProtocol,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACEFUL_STOP_S,
        timeout_keep_alive=KEEP_ALIVE_S,
    )
    server = uvicorn.Server(config)
    # Streams of events would else hold the stop up until its grace is over.
    application.state.is_stopping = lambda: server.should_exit
    return server
