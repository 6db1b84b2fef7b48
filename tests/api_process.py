"""The service as a process that a test can kill while it is held up at one step of an upload.

``python api_process.py LISTENING_DESCRIPTOR storage|storing|nowhere``; settings come from the
environment.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from pathlib import Path
from typing import Any


def _for_ever(*_: Any, **__: Any) -> None:
    time.sleep(600)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from app.batches import options
    from app.core.settings import Settings
    from app.main import create_app
    from app.server.http_protocol import http_server

    if sys.argv[2] == "storage":
        os.fsync = _for_ever  # the file is written but does not have its final name yet
    elif sys.argv[2] == "storing":
        options.create_batch = _for_ever  # type: ignore[assignment]  # the file has its name, but no job
    listener = socket.socket(fileno=int(sys.argv[1]))
    http_server(create_app(Settings())).run(sockets=[listener])
