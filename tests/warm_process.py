"""Test processes that begin with everything imported: copies of one that has collected the tests.

Collecting the tests imports PyTorch, gwpy, the service and every module of tests, and puts checks
of types and probes into our packages: half a minute of a processor. xdist does so in each of its
processes. Here one process does it and is then forked for each; what a copy goes on to import,
store or change is its own. xdist starts ``python -u -c LINE`` as ever, where "python" is
``warm_process.py join``, which has a copy run that line at its own ends of the pipes.

Where that fails (a test cannot be imported, say), a new interpreter runs the line.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from typing import Any

import psutil

WAITS_S = 600.0  # for a test process to ask, before the one that was to be copied ends


def start(config: Any, specs: list[Any]) -> None:
    """Have xdist's processes begin as copies of one that is started here."""
    folder = tempfile.mkdtemp(prefix="glitch-warm-")
    address = f"{folder}/socket"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen(len(specs))
        number = listener.fileno()
        asked = [str(number), str(len(specs)), *map(str, config.invocation_params.args)]
        server = subprocess.Popen([sys.executable, __file__, "serve", *asked], pass_fds=[number])

    def end() -> None:
        copies = psutil.Process(server.pid).children() if server.poll() is None else []
        for one in (*copies, server):  # if any hangs; xdist has waited for them
            one.kill()
        server.wait()
        shutil.rmtree(folder, ignore_errors=True)

    config.add_cleanup(end)
    for spec in specs:
        spec.python = shlex.join([sys.executable, __file__, "join", address])


def serve(listener: socket.socket, n_copies: int, arguments: list[str]) -> None:
    """Collect what pytest is to run, then become so many test processes, each in its own copy."""
    import threading

    import pytest

    # Else the question whether there is a GPU keeps the copies from using it.
    os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"
    said = os.dup(1), os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for number in (1, 2):
        os.dup2(nowhere, number)
    code = pytest.main([*arguments, "--collect-only", "-p", "no:cacheprovider"])
    for number, kept in zip((1, 2), said, strict=True):
        os.dup2(kept, number)
        os.close(kept)
    os.close(nowhere)
    if code != pytest.ExitCode.OK or threading.active_count() > 1:
        return
    from jaxtyping import _pytest_plugin  # not before pytest, which looks at what it imports

    # Our packages have their checks of types; jaxtyping refuses to put them in again.
    del _pytest_plugin.pytest_load_initial_conftests
    listener.settimeout(WAITS_S)
    copies = []
    for _ in range(n_copies):
        asking = listener.accept()[0]
        line, streams, *_ = socket.recv_fds(asking, 4096, 3)
        if not (copy := os.fork()):
            listener.close()
            asking.send(b"1")
            asking.detach()  # open until this process has ended
            for number, stream in enumerate(streams):
                os.dup2(stream, number)
                os.close(stream)
            exec(line.decode(), {"__name__": "__main__"})  # noqa: S102
            return
        copies.append(copy)
        for number in (*streams, asking.detach()):
            os.close(number)
    listener.close()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the copies are asked to end by xdist
    for copy in copies:
        os.waitpid(copy, 0)


def join(address: str, interpreter: list[str]) -> None:
    """Have a copy do what an interpreter is asked to do, and end when it does."""
    with socket.socket(socket.AF_UNIX) as asking:
        try:
            asking.connect(address)
            socket.send_fds(asking, [interpreter[-1].encode()], [0, 1, 2])
            is_done = asking.recv(1)
        except OSError:
            is_done = b""
        if not is_done:
            os.execv(sys.executable, [sys.executable, *interpreter])  # noqa: S606
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        nowhere = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1):  # else xdist would not see the copy's end
            os.dup2(nowhere, number)
        asking.recv(1)


if __name__ == "__main__":
    sys.path.pop(0)  # this folder, which no other test process has
    del globals()["__file__"]  # what multiprocessing starts from a copy needs no main module
    if sys.argv[1] == "serve":
        number, n_copies, *arguments = sys.argv[2:]
        serve(socket.socket(fileno=int(number)), int(n_copies), arguments)
    else:
        join(sys.argv[2], sys.argv[3:])
