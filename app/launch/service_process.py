"""The supervisor's side of a service process: orders, replies, health checks."""

import json
import queue
import socket
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from app.core.errors import LaunchError
from app.launch.child import KILL_AFTER_S, Child
from app.launch.data_directory import HeldLock
from app.launch.errors import ChildFailedError

_PREPARED_WITHIN_S = 600.0  # migrating a large catalogue takes long
_READY_WITHIN_S = 120.0
_JOINED_WITHIN_S = 180.0  # includes importing its libraries
_POLL_S = 0.05


@dataclass(frozen=True)
class StartResult:
    """Results of the preparation."""

    checkpoint: str
    login_code: str | None  # None: the token in the folder is not valid
    demo_job: str | None  # id of the job that fills the demonstration, until it has ended


class ServiceProcess(Child):
    """`app.launch.serve` as a child; it starts to import its libraries at once."""

    def __init__(
        self, lock: HeldLock, listener: socket.socket, environment: Mapping[str, str]
    ) -> None:
        """Start it on a bound socket that several processes may share; it also holds the lock."""
        # Any process may answer on the shared socket, so each has a private one for health checks.
        with socket.create_server(("127.0.0.1", 0)) as private:
            self._url = f"http://127.0.0.1:{private.getsockname()[1]}"
            sockets = (listener.fileno(), private.fileno())
            super().__init__(
                "The service",
                "app.launch.serve",
                [str(descriptor) for descriptor in sockets],
                environment=environment,
                keep_open=(lock.descriptor, *sockets),
                is_conversing=True,
            )
        # set when it serves; before that the caller waits for it
        self._watchdog: Watchdog | None = None
        self._answers: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._listen, name="service-answers", daemon=True).start()

    def _listen(self) -> None:
        for line in self.lines():
            self._answers.put(line)

    def prepare(self, database_url: str, check_stop: Callable[[], None]) -> StartResult:
        """Make it prepare the database; ``check_stop`` raises to end the wait.

        Raises:
            ChildFailedError: if it ends; it has reported the reason.
            LaunchError: if it takes too long.
        """
        self.order(f"prepare {database_url}")
        deadline = time.monotonic() + _PREPARED_WITHIN_S
        while True:
            try:
                return StartResult(**json.loads(self._answers.get(timeout=_POLL_S)))
            except queue.Empty:
                self._check(check_stop, deadline, "The preparation of the database")

    def join(self, database_url: str) -> None:
        """Make it serve a database that another process has prepared, without waiting for it."""
        self.order(f"join {database_url}")
        self.order("serve")
        self._watchdog = Watchdog(self._url, first_within_s=_JOINED_WITHIN_S)

    def serve(self, check_stop: Callable[[], None]) -> None:
        """Make it serve, and return once ``/readyz`` answers 200.

        Raises:
            ChildFailedError: if it ends; it has reported the reason.
            LaunchError: if it is not ready in time.
        """
        self.order("serve")
        deadline = time.monotonic() + _READY_WITHIN_S
        while not _answers(f"{self._url}/readyz"):
            self._check(check_stop, deadline, f"The service at {self._url}")
            time.sleep(_POLL_S)
        self._watchdog = Watchdog(self._url)

    def _check(self, check_stop: Callable[[], None], deadline: float, subject: str) -> None:
        check_stop()
        if (code := self.exit_code) is not None:
            raise ChildFailedError(self.name, code or 1)
        if time.monotonic() > deadline:
            raise LaunchError(f"{subject} was not ready in time: its messages above say why.")

    @property
    def is_silent(self) -> bool:
        """Whether it has stopped answering, or never answered in time."""
        return self._watchdog is not None and self._watchdog.is_silent

    def stop(self, *, within_s: float = KILL_AFTER_S) -> None:
        """Stop it; requests in progress are answered first."""
        if self._watchdog is not None:
            self._watchdog.close()
        super().stop(within_s=within_s)


def _answers(url: str, patience_s: float = 2.0) -> bool:
    """Return whether a GET of the address is answered with 200 in time."""
    try:
        with urllib.request.urlopen(url, timeout=patience_s) as answer:  # noqa: S310 - http, ours
            return bool(answer.status == 200)
    except OSError:
        return False


MAX_FAILURES = 6
_PAUSE_S = 1.0
_PATIENCE_S = 5.0  # for one request; six failures take half a minute


class Watchdog:
    """Polls ``/healthz`` in a thread, because a process can run on with a blocked event loop.

    Args:
        url: The address of the service.
        first_within_s: Maximum time until the first response, in seconds.
    """

    def __init__(self, url: str, *, first_within_s: float = 0.0) -> None:
        self._url = f"{url}/healthz"
        self._failures_count_from = time.monotonic() + first_within_s
        self._failures = 0
        self._is_over = threading.Event()
        threading.Thread(target=self._poll, name="watchdog", daemon=True).start()

    @property
    def is_silent(self) -> bool:
        """Whether so many requests in a row have failed that it must be considered stuck."""
        return self._failures >= MAX_FAILURES

    def close(self) -> None:
        """Stop polling."""
        self._is_over.set()

    def _poll(self) -> None:
        while not self._is_over.wait(_PAUSE_S):
            if _answers(self._url, _PATIENCE_S):
                self._failures = 0
                self._failures_count_from = 0.0
            else:
                self._failures += time.monotonic() > self._failures_count_from
