"""The supervisor's side of the service process: its orders, its answers, whether it answers."""

import json
import queue
import socket
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from app.launch.child import KILL_AFTER_S, Child
from app.launch.data_directory import HeldLock
from app.launch.errors import ChildFailedError, LaunchError

_PREPARED_WITHIN_S = 600.0  # a migration of a large catalogue takes its time
_READY_WITHIN_S = 120.0
_JOINED_WITHIN_S = 180.0  # it imports its libraries first
_POLL_S = 0.05


@dataclass(frozen=True)
class Prepared:
    """What the preparation found."""

    checkpoint: str
    login_code: str | None  # None: the token in the folder is no good
    demo_job: str | None  # its id, while it is to be filled


class ServiceProcess(Child):
    """`app.launch.serve` as a child; it imports its libraries from the moment it is made."""

    def __init__(
        self, lock: HeldLock, listener: socket.socket, environment: Mapping[str, str]
    ) -> None:
        """Start it, on a bound socket that several may share; it holds the lock too."""
        # What comes to the shared socket, any of them answers: each has one of its own beside it.
        with socket.create_server(("127.0.0.1", 0)) as own:
            self._url = f"http://127.0.0.1:{own.getsockname()[1]}"
            sockets = (listener.fileno(), own.fileno())
            super().__init__(
                "The service",
                "app.launch.serve",
                [str(descriptor) for descriptor in sockets],
                environment=environment,
                keep_open=(lock.descriptor, *sockets),
                is_conversing=True,
            )
        self._watchdog: Watchdog | None = None  # before it serves, its starter watches
        self._answers: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._listen, name="service-answers", daemon=True).start()

    def _listen(self) -> None:
        for line in self.lines():
            self._answers.put(line)

    def prepare(self, database_url: str, check_stop: Callable[[], None]) -> Prepared:
        """Have it migrate, publish and see to the token; ``check_stop`` raises to end the wait.

        Raises:
            ChildFailedError: if it ends; it has said why.
            LaunchError: if it takes unreasonably long.
        """
        self.tell(f"prepare {database_url}")
        deadline = time.monotonic() + _PREPARED_WITHIN_S
        while True:
            try:
                return Prepared(**json.loads(self._answers.get(timeout=_POLL_S)))
            except queue.Empty:
                self._check(check_stop, deadline, "The preparation of the database")

    def join(self, database_url: str) -> None:
        """Have it serve a database that another one has prepared; does not wait for it."""
        self.tell(f"join {database_url}")
        self.tell("serve")
        self._watchdog = Watchdog(self._url, first_within_s=_JOINED_WITHIN_S)

    def serve(self, check_stop: Callable[[], None]) -> None:
        """Have it serve; returns once ``/readyz`` answers 200.

        Raises:
            ChildFailedError: if it ends; it has said why.
            LaunchError: if it is not ready in time.
        """
        self.tell("serve")
        deadline = time.monotonic() + _READY_WITHIN_S
        while not _answers(f"{self._url}/readyz"):
            self._check(check_stop, deadline, f"The service at {self._url}")
            time.sleep(_POLL_S)
        self._watchdog = Watchdog(self._url)

    def _check(self, check_stop: Callable[[], None], deadline: float, what: str) -> None:
        check_stop()
        if (code := self.exit_code) is not None:
            raise ChildFailedError(self.name, code or 1)
        if time.monotonic() > deadline:
            raise LaunchError(f"{what} was not ready in time: its messages above say why.")

    @property
    def is_silent(self) -> bool:
        """Whether it does not answer any more, or never did."""
        return self._watchdog is not None and self._watchdog.is_silent

    def stop(self, *, within_s: float = KILL_AFTER_S) -> None:
        """Stop it; requests that it has begun are answered first."""
        if self._watchdog is not None:
            self._watchdog.close()
        super().stop(within_s=within_s)


def _answers(url: str, patience_s: float = 2.0) -> bool:
    """Whether the address answers 200; not where it refuses, is too late, or says otherwise."""
    try:
        with urllib.request.urlopen(url, timeout=patience_s) as answer:  # noqa: S310 - http, ours
            return bool(answer.status == 200)
    except OSError:
        return False


MOST_FAILURES = 6
_PAUSE_S = 1.0
_PATIENCE_S = 5.0  # of one question; six make half a minute


class Watchdog:
    """Asks ``/healthz`` again and again, from a thread: a process can live on with its loop stuck.

    Args:
        url: The address of the service.
        first_within_s: How long the first answer may take from now, in seconds.
    """

    def __init__(self, url: str, *, first_within_s: float = 0.0) -> None:
        self._url = f"{url}/healthz"
        self._counts_from = time.monotonic() + first_within_s
        self._failures = 0
        self._is_over = threading.Event()
        threading.Thread(target=self._ask, name="watchdog", daemon=True).start()

    @property
    def is_silent(self) -> bool:
        """Whether so many questions in a row were not answered that it will not answer again."""
        return self._failures >= MOST_FAILURES

    def close(self) -> None:
        """Ask no more."""
        self._is_over.set()

    def _ask(self) -> None:
        while not self._is_over.wait(_PAUSE_S):
            if _answers(self._url, _PATIENCE_S):
                self._failures = 0
                self._counts_from = 0.0
            else:
                self._failures += time.monotonic() > self._counts_from
