"""The parent's side: a limited number of child processes, forked by a fork server."""

import atexit
import logging
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from app.core.errors import BusyError
from app.decoding.fork_server import STARTED
from app.decoding.messages import (
    BrokenMessageError,
    Message,
    pack,
    receive_message,
    send_message,
    unpack,
)
from glitch import errors as science
from glitch.files.compressed import gunzipped
from glitch.files.confinement import Limits

_GRACE_S = 5.0  # beyond the child's time limit, for its response to arrive
_START_S = 30.0  # for the fork server to import its libraries on a busy machine
_ATTEMPTS = 2
_log = logging.getLogger("app.decoding")


class _NoServerError(Exception):
    """The fork server ended before it forked a child."""


class DecoderPool:
    """Decodes files in child processes, each of which answers one request and ends."""

    def __init__(self, children: int = 2, timeout_s: float = 30.0) -> None:
        self._turns = threading.BoundedSemaphore(children)
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._server: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._waiting = 0
        self._at_work = 0

    @property
    def at_work(self) -> int:
        """Number of files being decoded."""
        return self._at_work

    def start(self) -> None:
        """Start the fork server now instead of at the first request."""
        with self._lock:
            self._ensure_server()

    def close(self) -> None:
        """End the fork server. A later request starts another."""
        with self._lock:
            self._stop_server()

    def perform(
        self, do: str, file: Path, arguments: Mapping[str, Any], limits: Limits, name: str
    ) -> Any:
        """Return the result of one of ``operations`` on a file; the child can open no other file.

        ``arguments`` are plain values; ``name`` is the file's name in messages.

        Raises:
            GlitchError: the operation's error, or ``FormatError`` if the child was killed.
            BusyError: if too many files wait.
        """
        with self.turn(), gunzipped(file, repr(name)) as plain:
            request = {
                "do": do,
                "file": str(plain.resolve()),
                "with": pack({"name": name, **arguments}).value,
                "limits": asdict(limits),
            }
            for attempt in range(1, _ATTEMPTS + 1):
                try:
                    return _result(unpack(self._exchange(request, limits, name)), name)
                except _NoServerError:
                    _log.warning("the fork server of the decoders ended: it is started again")
                    if attempt == _ATTEMPTS:
                        raise BusyError(
                            "Files cannot be decoded at the moment: try again in a few seconds."
                        ) from None
        raise AssertionError("unreachable")

    def _exchange(self, request: dict[str, Any], limits: Limits, name: str) -> Message:
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                control = self._hand_over(theirs)
            ours.settimeout(_START_S)
            try:
                started = ours.recv(1)
            except OSError:
                started = b""
            if started != STARTED:
                self._give_up(control)
                raise _NoServerError
            ours.settimeout(limits.wall_s + _GRACE_S)
            try:
                send_message(ours, Message(request))
                return receive_message(ours)
            except (BrokenMessageError, OSError) as error:
                _log.warning("a child ended while it decoded a file", extra={"file_name": name})
                raise science.FormatError(
                    f"{name!r} cannot be decoded within the time and memory that one file may "
                    "take: it is damaged. Save it again, cut to the seconds around the glitch, "
                    "and send that."
                ) from error

    def _hand_over(self, channel: socket.socket) -> socket.socket:
        """Send a child's end of a channel to the fork server; return the control socket used."""
        with self._lock:
            control = self._ensure_server()
            try:
                socket.send_fds(control, [b"c"], [channel.fileno()])
            except OSError:
                self._stop_server()
                raise _NoServerError from None
            return control

    def _give_up(self, control: socket.socket) -> None:
        """Stop a fork server that forks no child, unless another request has stopped it already."""
        with self._lock:
            if self._control is control:
                self._stop_server()

    def _ensure_server(self) -> socket.socket:
        if self._control is not None and self._server is not None and self._server.poll() is None:
            return self._control
        self._stop_server()
        ours, theirs = socket.socketpair()
        with theirs:
            self._server = subprocess.Popen(  # noqa: S603 - our own module, no shell
                [sys.executable, "-P", "-m", "app.decoding.fork_server", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                cwd="/",
                env=_environment(),
            )
        self._control = ours
        return ours

    def _stop_server(self) -> None:
        if self._control is not None:
            self._control.close()  # which ends the server
            self._control = None
        if self._server is not None:
            with suppress(subprocess.TimeoutExpired):
                self._server.wait(2)
            self._server.kill()  # nothing, if it has ended
            self._server.wait()
            self._server = None

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Hold a place for a file that another process decodes, or raise BusyError."""
        if not self._turns.acquire(timeout=self._timeout_s):
            raise BusyError("Too many files wait to be read: try again in a few seconds.")
        self._at_work += 1
        try:
            yield
        finally:
            self._at_work -= 1
            self._turns.release()


def _result(response: Any, name: str) -> Any:
    if "result" in response:
        return response["result"]
    if "unforeseen" in response:
        _log.warning(
            "a reader failed unexpectedly on a file",
            extra={"file_name": name, "trace": response["unforeseen"]},
        )
    raise error_of(response)


def error_of(answer: Mapping[str, Any]) -> science.GlitchError:
    """Convert an error reported by a child to an exception of ``glitch.errors``."""
    kind = getattr(science, str(answer["error"]), science.FormatError)
    if not (isinstance(kind, type) and issubclass(kind, science.GlitchError)):
        kind = science.FormatError
    return kind(str(answer["detail"]), field=answer.get("field"))


def _environment() -> dict[str, str]:
    """Environment of the child, without the parent's variables, which contain passwords."""
    return {
        "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
        "PATH": os.environ.get("PATH", os.defpath),
        "LANG": "C.UTF-8",
        "OMP_NUM_THREADS": "1",  # a process that forks must have one thread
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "HDF5_PLUGIN_PATH": "/nonexistent",  # a file can name filters to load from there
        "HDF5_USE_FILE_LOCKING": "FALSE",
    }


@dataclass
class _Shared:
    pool: DecoderPool | None = None


_shared = _Shared()
_shared_lock = threading.Lock()


def shared_pool() -> DecoderPool:
    """This process's pool, created when first needed."""
    with _shared_lock:
        if _shared.pool is None:
            _shared.pool = DecoderPool()
            atexit.register(_end)
        return _shared.pool


@contextmanager
def running_pool(*, children: int, timeout_s: float) -> Iterator[DecoderPool]:
    """Run this process's pool with these limits for the duration of the block."""
    with _shared_lock:
        previous, _shared.pool = _shared.pool, DecoderPool(children, timeout_s)
        pool = _shared.pool
    pool.start()
    try:
        yield pool
    finally:
        with _shared_lock:
            _shared.pool = previous
        pool.close()


def _end() -> None:
    if _shared.pool is not None:
        _shared.pool.close()


def _forget() -> None:
    """Drop the pool in a forked process: with a shared fork server, requests would mix."""
    global _shared_lock  # noqa: PLW0603 - a thread of the parent may hold the lock
    _shared_lock = threading.Lock()
    _shared.pool = None


os.register_at_fork(after_in_child=_forget)
