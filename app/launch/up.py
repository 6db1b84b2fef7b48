"""`glitch-discovery up`: from an empty folder to a running service, and its stop."""

import contextlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from app.launch import data_directory
from app.launch.address import address_of, take_address
from app.launch.child import Child, KeptChild
from app.launch.database import RunningDatabase, running_database
from app.launch.parent_watch import stop_with_parent
from app.launch.redis.broker import RunningBroker, running_broker
from app.launch.service_process import ServiceProcess, StartResult
from app.launch.serving import COUNTS, Serving
from app.launch.settings import LaunchSettings
from app.launch.worker_process import ROLES

_POLL_S = 0.1
_LOGS_EVERY_S = 60.0
_PLAIN_POLL_S = 15.0  # interval of progress lines of the demonstration, if they go to a log
_PROCESSES = 2  # number of service processes, if there are enough cores


class StopRequestedError(Exception):
    """Ctrl-C or SIGTERM was received, so everything must stop."""


@dataclass(frozen=True)
class _Place:
    """What one running service holds: its folder, lock, socket, address and Redis."""

    folder: Path
    lock: data_directory.HeldLock
    listener: socket.socket
    url: str
    broker: RunningBroker

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables for all child processes."""
        folder, redis_url = str(self.folder), self.broker.url
        return {"GLITCH_DATA_DIR": folder, "REDIS_URL": redis_url, **terminal_logs()}

    def spawn(self, environment: Mapping[str, str]) -> ServiceProcess:
        return ServiceProcess(self.lock, self.listener, {**self.environment, **environment})

    def start_background(self, database: RunningDatabase, console: Console) -> list[KeptChild]:
        threads = os.environ.get("OMP_NUM_THREADS", "1")
        settings = {"DATABASE_URL": database.url, "OMP_NUM_THREADS": threads}
        environment = self.environment | settings
        return [
            KeptChild(
                partial(
                    Child,
                    f"The {role}",
                    "app.launch.worker_process",
                    [role],
                    environment=environment,
                    keep_open=(self.lock.descriptor,),
                ),
                console,
            )
            for role in ROLES
        ]


class Supervisor:
    """Starts the parts in order, watches them, and stops them in reverse order."""

    def __init__(self, settings: LaunchSettings, console: Console) -> None:
        """Store the settings; ``run`` starts. Apart from two lines, output goes to the console."""
        self._settings = settings
        self._console = console
        self._stop = threading.Event()
        self._background: list[KeptChild] = []

    def run(self) -> None:
        """Serve until Ctrl-C or SIGTERM.

        Raises:
            LaunchError: if a part cannot start or keeps failing, in one sentence.
        """
        folder = data_directory.prepare_data_directory(self._settings.data_dir)
        with (
            self._signals(),
            contextlib.suppress(StopRequestedError),
            data_directory.hold_data_directory(folder, "a service that is starting") as lock,
            contextlib.closing(take_address(self._settings.host, self._settings.port)) as listener,
        ):
            data_directory.read_token(folder)  # reports a damaged file before anything starts
            url = address_of(self._settings.host, listener.getsockname()[1])
            lock.describe(f"the service at {url}")
            try:
                with running_broker(
                    self._settings, folder, lock.descriptor, self._console
                ) as broker:
                    self._run_parts(_Place(folder, lock, listener, url, broker))
            finally:
                lock.describe(data_directory.STOPPING)

    def _run_parts(self, place: _Place) -> None:
        with contextlib.ExitStack() as stack:
            cores = os.cpu_count() or 1
            processes = self._settings.api_processes or min(cores, _PROCESSES)
            serving = Serving(place.spawn, processes, place.folder / COUNTS, self._console)
            stack.callback(serving.stop)
            database = stack.enter_context(
                running_database(self._settings, place.folder, place.lock.descriptor)
            )
            stack.callback(self._stop_background)
            # runs before the parts that it needs stop; above: in case those do not start
            stack.callback(serving.stop)
            try:
                self._serve(place, serving, database)
            except StopRequestedError:
                place.listener.close()  # refuse new clients instead of letting them wait
                raise

    def _serve(self, place: _Place, serving: Serving, database: RunningDatabase) -> None:
        prepared = serving.open(database.url, self._check_stop)
        self._print_address(place, prepared)
        # Not earlier, because their imports would compete with the service's for the cores.
        self._background = place.start_background(database, self._console)
        token = data_directory.read_token(place.folder)
        if prepared.demo_job and prepared.login_code and token:
            arguments = (place.url, token, prepared.demo_job, self._console)
            threading.Thread(target=_show_filling, args=arguments, daemon=True).start()
        logs_at = 0.0
        while True:
            self._check_stop()
            database.check(self._console.print)
            place.broker.check()
            if time.monotonic() > logs_at:
                data_directory.bound_logs(place.folder)
                logs_at = time.monotonic() + _LOGS_EVERY_S
            for child in self._background:
                child.check()
            serving.check()
            time.sleep(_POLL_S)

    def _print_address(self, place: _Place, prepared: StartResult) -> None:
        print_line(f"ready {place.url}")  # scripts wait for this line
        if prepared.login_code is not None:
            print_line(f"log in: {place.url}/ui/login?code={prepared.login_code}")
        else:
            file = place.folder / data_directory.TOKEN_FILE
            self._console.print(
                f"The token in {file} is unknown or revoked: remove the file and start again for a "
                "new one, or use another token."
            )

    def _stop_background(self) -> None:
        for child in self._background:
            # all at the same time; a chunk in progress is finished or handed back
            child.ask_to_stop()
        for child in self._background:
            child.stop()

    def _check_stop(self) -> None:
        if self._stop.is_set():
            raise StopRequestedError

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """Request an orderly stop at Ctrl-C, SIGTERM or the end of the terminal.

        With ``nohup`` the end of the terminal is ignored.
        """

        def ask(_number: int, _frame: FrameType | None) -> None:
            self._stop.set()

        handled = {signal.SIGINT, signal.SIGTERM}
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            handled.add(signal.SIGHUP)
        previous = {number: signal.signal(number, ask) for number in handled}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)


def up(settings: LaunchSettings, *, is_stopped_with_parent: bool) -> None:
    """Run the service in the foreground until it is stopped, or its parent (`make`) has ended.

    Raises:
        LaunchError: in one sentence, if it cannot start or keeps failing.
    """
    open_closed_streams()
    if is_stopped_with_parent:
        stop_with_parent()
    Supervisor(settings, RobustConsole(stderr=True, highlight=False)).run()


def _show_filling(url: str, token: str, job_id: str, console: Console) -> None:
    """Show a progress bar until the demonstration is complete; without a terminal, two lines."""
    from glitch_discovery import Client, Job, JobFailedError, ServiceError, UnreachableError

    title = "Filling the demonstration"
    if not console.is_terminal:
        console.print(f"{title} with simulated glitches, once; the first page shows the progress.")
    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with (
        Client(url, token=token) as service,
        Progress(*columns, console=console, disable=not console.is_terminal) as bar,
    ):
        task = bar.add_task(title, total=None)

        def show(job: Job) -> None:
            n_ended = job.done + job.failed + job.skipped
            bar.update(task, total=job.total or None, completed=n_ended)

        try:
            often_s = 0.5 if console.is_terminal else _PLAIN_POLL_S
            job = service.wait(job_id, on_progress=show, look_every_s=often_s)
        except (JobFailedError, ServiceError, UnreachableError) as error:
            message = str(error)
        else:
            message = f"The demonstration has {job.done:,} glitches: see {url}/ui/clusters"
    console.print(message)


def terminal_logs() -> dict[str, str]:
    """Return log settings for a terminal: plain text, warnings only.

    Log lines of requests would hide the login link. Variables set in the environment take
    precedence. Without a terminal, nothing changes.
    """
    if not sys.stderr.isatty():
        return {}
    log_settings = {"GLITCH_LOG_FORMAT": "text", "GLITCH_LOG_LEVEL": "warning"}
    return {name: value for name, value in log_settings.items() if name not in os.environ}


def open_closed_streams() -> None:
    """Open the null device for each standard stream that is closed.

    Otherwise the next lock or socket would get its number, and a child process could write its
    output into it.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, which is this one
            os.set_inheritable(number, True)
            setattr(sys, name, os.fdopen(number, "w" if number else "r", closefd=False))


def print_line(line: str) -> None:
    """Print to standard output; later output is discarded if the reader has gone."""
    try:
        print(line, flush=True)  # noqa: T201
    except BrokenPipeError:
        with contextlib.closing(open(os.devnull, "w")) as nowhere:  # noqa: PTH123
            os.dup2(nowhere.fileno(), sys.stdout.fileno())


class RobustConsole(Console):
    """A console that becomes silent when its reader has gone; Rich would end the program."""

    def on_broken_pipe(self) -> None:
        """Discard all further output."""
        self.quiet = True
