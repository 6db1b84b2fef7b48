"""Forks the children that decode: ``python -m app.decoding.fork_server DESCRIPTOR``.

One thread, the readers and their libraries imported, nothing secret in memory or environment. For
each socket that comes over the control socket it forks a child that answers the one request on
it and ends. It ends itself when the parent is gone.
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

STARTED = b"s"  # the child's first byte: what goes wrong from here on is the file's doing
_KILL_FIRST = "500"  # to the kernel's mind where memory runs out, rather than the service
_SEND_S = 60.0


def serve(control: socket.socket) -> None:
    """Fork a child for each socket received, until the other end is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to act on
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps
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
                _answer(descriptor, base)
            os.close(descriptor)


def _answer(descriptor: int, base_bytes: int) -> NoReturn:
    """In the child: answer the one request, and end without Python's cleanup."""
    status = 1
    try:
        with socket.socket(fileno=descriptor) as channel:
            channel.sendall(STARTED)
            channel.settimeout(_SEND_S)
            request = receive_message(channel).value
            limits = confinement.Limits(**request["limits"])
            file = Path(request["file"])
            confinement.shut_in([file])
            confinement.limit(limits, base_bytes)
            send_message(channel, operations.perform(request["do"], file, request["with"]))
            status = 0
    finally:
        os._exit(status)


def main() -> None:
    """Serve the control socket whose descriptor is the argument."""
    with socket.socket(fileno=int(sys.argv[1])) as control:
        serve(control)


if __name__ == "__main__":
    main()
