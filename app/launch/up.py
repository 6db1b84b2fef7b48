"""`glitch-discovery up`: from an empty folder to a service that answers, and back."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from rich.console import Console

from app.launch.address import base_url, take_address
from app.launch.child import Child
from app.launch.data_directory import prepare_data_directory
from app.launch.database import running_database
from app.launch.demo_progress import load_demo
from app.launch.errors import ChildFailedError, LaunchError
from app.launch.lifeline import stop_with_parent
from app.launch.lock import STOPPING, HeldLock, hold_data_directory
from app.launch.settings import LaunchSettings
from app.launch.token_file import TOKEN_FILE, read_token

_READY_WITHIN_S = 120.0
_POLL_S = 0.1
_MOST_RESTARTS = 3
_RESTART_WINDOW_S = 60.0


class StopRequestedError(Exception):
    """Ctrl-C or SIGTERM came; everything is to stop."""


@dataclass(frozen=True)
class _Held:
    """What one start holds while it runs."""

    folder: Path
    lock: HeldLock
    listener: socket.socket
    url: str
    environment: dict[str, str]  # of the children


class Supervisor:
    """Starts the parts in order, watches them, and stops them in reverse order."""

    def __init__(self, settings: LaunchSettings, console: Console) -> None:
        """Take nothing yet; ``run`` does.

        Args:
            settings: from the environment.
            console: for everything but the two lines on standard output.
        """
        self._settings = settings
        self._console = console
        self._stop = threading.Event()

    def run(self) -> None:
        """Serve until Ctrl-C or SIGTERM.

        Raises:
            LaunchError: if a part cannot start or does not stay up, in one sentence.
        """
        folder = prepare_data_directory(self._settings.data_dir)
        with (
            self._signals(),
            contextlib.suppress(StopRequestedError),
            hold_data_directory(folder, "a service that is starting") as lock,
            contextlib.closing(take_address(self._settings.host, self._settings.port)) as listener,
        ):
            read_token(folder)  # a damaged one is told before anything starts
            url = base_url(listener, self._settings.host)
            lock.describe(f"the service at {url}")
            try:
                with running_database(self._settings, folder, lock.descriptor) as database_url:
                    environment = {"DATABASE_URL": database_url, "GLITCH_DATA_DIR": str(folder)}
                    self._run_children(_Held(folder, lock, listener, url, environment))
            finally:
                lock.describe(STOPPING)

    def _run_children(self, held: _Held) -> None:
        self._check_stop()
        prepared = self._prepare(held)
        if missing := int(str(prepared["demo_missing"])):
            load_demo(
                missing,
                self._settings.demo_processes,
                held.environment,
                console=self._console,
                keep_open=(held.lock.descriptor,),
                check_stop=self._check_stop,
            )
        self._serve(held, is_token_good=bool(prepared["is_token_good"]))

    def _prepare(self, held: _Held) -> dict[str, object]:
        with contextlib.ExitStack() as stack:
            child = Child(
                "The preparation of the database",
                "app.launch.prepare",
                environment=held.environment,
                keep_open=(held.lock.descriptor,),
                stdout=subprocess.PIPE,
            )
            stack.callback(child.stop)
            while (code := child.exit_code) is None:
                self._check_stop()
                time.sleep(_POLL_S)
            if code:
                raise ChildFailedError(child.name, code)
            answer: dict[str, object] = json.loads(list(child.lines())[-1])
            return answer

    def _serve(self, held: _Held, *, is_token_good: bool) -> None:
        ends: list[float] = []
        while True:
            child = Child(
                "The service",
                "app.launch.service",
                [str(held.listener.fileno())],
                environment=held.environment,
                keep_open=(held.lock.descriptor, held.listener.fileno()),
            )
            try:
                self._wait_until_ready(child, held.url)
                if not ends:
                    self._tell(held, is_token_good=is_token_good)
                while (code := child.exit_code) is None:
                    self._check_stop()
                    time.sleep(_POLL_S)
            except StopRequestedError:
                # Closed first, so that new clients are refused instead of waiting for nobody.
                held.listener.close()
                raise
            finally:
                child.stop()
            ends = [end for end in ends if time.monotonic() - end < _RESTART_WINDOW_S]
            ends.append(time.monotonic())
            if len(ends) > _MOST_RESTARTS:
                raise LaunchError(
                    f"The service ended {len(ends)} times within a minute (last exit code {code}): "
                    "its messages above say why."
                )
            self._console.print(f"The service ended with exit code {code}; starting it again.")

    def _wait_until_ready(self, child: Child, url: str) -> None:
        deadline = time.monotonic() + _READY_WITHIN_S
        while not _answers(f"{url}/readyz"):
            self._check_stop()
            if (code := child.exit_code) is not None:
                raise ChildFailedError(child.name, code)
            if time.monotonic() > deadline:
                raise LaunchError(
                    f"The service at {url} was not ready within {_READY_WITHIN_S:.0f} s: its "
                    f"messages above and {url}/readyz say what is missing."
                )
            time.sleep(_POLL_S)

    def _tell(self, held: _Held, *, is_token_good: bool) -> None:
        print(f"ready {held.url}", flush=True)  # noqa: T201 - the line that scripts wait for
        if is_token_good:
            link = f"{held.url}/ui/login?token={read_token(held.folder)}"
            print(f"log in: {link}", flush=True)  # noqa: T201
        else:
            self._console.print(
                f"The token in {held.folder / TOKEN_FILE} is unknown or revoked: remove the file "
                "and start again for a new one, or use another token."
            )

    def _check_stop(self) -> None:
        if self._stop.is_set():
            raise StopRequestedError

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """Let Ctrl-C, SIGTERM and a closed terminal ask for the orderly stop, and only that."""

        def ask(_number: int, _frame: FrameType | None) -> None:
            self._stop.set()

        wanted = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        before = {number: signal.signal(number, ask) for number in wanted}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _answers(url: str) -> bool:
    """Whether the address answers 200."""
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - our own http address
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def up(settings: LaunchSettings, *, is_stopped_with_parent: bool) -> None:
    """Run the service in the foreground until it is asked to stop.

    Args:
        settings: from the environment.
        is_stopped_with_parent: stop when the parent process (`make`) is gone.

    Raises:
        LaunchError: in one sentence, if it cannot start or stay up.
    """
    if is_stopped_with_parent:
        stop_with_parent()
    Supervisor(settings, Console(stderr=True, highlight=False)).run()
