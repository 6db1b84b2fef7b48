"""Fork the child processes that decode: ``python -m app.decoding.fork_server DESCRIPTOR``.

This process has one thread, the readers and their libraries imported, and no secrets in memory or
environment. For each socket received over the control socket it forks a child that answers the one
request on that socket and ends. It ends when the parent is gone.
"""

import contextlib
import gc
import os
import signal
import socket
import sys
from pathlib import Path
from typing import NoReturn

from app.decoding import operations
from app.decoding.messages import receive_message, send_message
from glitch.files import confinement

STARTED = b"s"  # the child's first byte: later failures are caused by the file
_KILL_FIRST = "500"  # oom_score_adj: the kernel kills a child before the service
_SEND_S = 60.0


def serve(control: socket.socket) -> None:
    """Fork a child for each socket received, until the other end is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps the children
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_KILL_FIRST)
    base = confinement.address_space_bytes()
    confinement.prepare()
    gc.collect()
    gc.freeze()
    while True:
        data, descriptors, _, _ = socket.recv_fds(control, 1, 1)
        if not data:
            return
        for descriptor in descriptors:
            if os.fork() == 0:
                control.close()
                _handle_request(descriptor, base)
            os.close(descriptor)


def _handle_request(descriptor: int, base_bytes: int) -> NoReturn:
    """In the child: answer the one request, and exit without Python's cleanup."""
    status = 1
    try:
        with socket.socket(fileno=descriptor) as channel:
            channel.sendall(STARTED)
            channel.settimeout(_SEND_S)
            request = receive_message(channel).value
            limits = confinement.Limits(**request["limits"])
            file = Path(request["file"])
            confinement.confine_to([file])
            confinement.limit(limits, base_bytes)
            send_message(channel, operations.perform(request["do"], file, request["with"]))
            status = 0
    finally:
        os._exit(status)


def main() -> None:
    """Serve the control socket whose descriptor is given as argument."""
    with socket.socket(fileno=int(sys.argv[1])) as control:
        serve(control)


if __name__ == "__main__":
    main()
