"""The parts of `up`: data directory, lock, address, token file, child processes, settings."""

import errno
import io
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from local_server import QuietHandler, serving
from waiting import PATIENCE_S

from app.core.embedded import EmbeddedServer
from app.core.errors import LaunchError
from app.launch.address import address_of, reachable_host, take_address
from app.launch.child import Child, EndCounter
from app.launch.data_directory import (
    LOGS,
    MAX_LOG_BYTES,
    STOPPING,
    TOKEN_FILE,
    bound_logs,
    hold_data_directory,
    prepare_data_directory,
    read_token,
    write_token,
)
from app.launch.database import RunningDatabase
from app.launch.errors import DataDirectoryBusyError
from app.launch.settings import read_settings
from app.launch.up import RobustConsole, Supervisor, _show_filling, terminal_logs

TOKEN = "t" * 43
HOLD = """
import sys, time
from pathlib import Path
from app.launch.data_directory import hold_data_directory
with hold_data_directory(Path(sys.argv[1]), "the service at http://h:1") as lock:
    {within}
    print("held", flush=True)
    time.sleep(60)
"""


def holder(folder: Path, within: str = "pass") -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD.format(within=within), str(folder)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def test_secrets_that_others_may_read_are_closed_again(tmp_path: Path) -> None:
    """Secrets become private again after their folder was copied without its permissions."""
    for name in ("admin-token", "signing-key", "notes"):
        (tmp_path / name).write_text("x" * 40)
        (tmp_path / name).chmod(0o664)
    prepare_data_directory(tmp_path)
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert modes == {"admin-token": 0o600, "signing-key": 0o600, "notes": 0o664}


def test_the_data_directory_is_made_with_its_parents(tmp_path: Path) -> None:
    assert prepare_data_directory(tmp_path / "a" / "b") == (tmp_path / "a" / "b").resolve()
    assert list((tmp_path / "a" / "b").iterdir()) == []


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LaunchError, match=r"because .*/file is a file: set GLITCH_DATA_DIR"):
        prepare_data_directory(tmp_path / "file" / "data")
    with pytest.raises(LaunchError, match=r"because .*/file is a file: set GLITCH_DATA_DIR"):
        prepare_data_directory(tmp_path / "file")


@pytest.mark.parametrize("name", ["a\nb", "a\udce4b"])
def test_a_data_directory_with_forbidden_characters_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(
        LaunchError, match=r"'.*a\\.*b' contains a line break, or characters .* or set G"
    ):
        prepare_data_directory(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (errno.EACCES, "No permission to use the data directory"),
        (errno.EROFS, "read-only file system"),
        (errno.ENOSPC, "is full: free some space"),
        (errno.EIO, "cannot be used"),
    ],
)
def test_a_failed_write_is_reported_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, sentence: str
) -> None:
    def fail(_descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(LaunchError, match=sentence):
        prepare_data_directory(tmp_path / "data")
    assert list((tmp_path / "data").iterdir()) == []


def test_a_nearly_full_disk_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 0, 10**7))  # type: ignore[attr-defined]
    with pytest.raises(LaunchError, match=r"is full \(10 MB free, 200 MB are needed\)"):
        prepare_data_directory(tmp_path)


def test_two_holders_of_one_directory_are_one_too_many(tmp_path: Path) -> None:
    process = holder(tmp_path)
    try:
        with (
            pytest.raises(DataDirectoryBusyError, match=f"process {process.pid}, the service at"),
            hold_data_directory(tmp_path, "another", wait_s=0.1),
        ):
            pass
    finally:
        end(process)


def test_a_lock_left_by_kill_is_no_lock(tmp_path: Path) -> None:
    end(holder(tmp_path))
    assert (tmp_path / "up.lock").read_text()
    with hold_data_directory(tmp_path, "another", wait_s=0):
        pass
    assert (tmp_path / "up.lock").read_text() == ""


@pytest.mark.parametrize(
    "within",
    [
        pytest.param(f"lock.describe({STOPPING!r})", id="stopping"),
        pytest.param(
            "import os, subprocess;"
            "subprocess.Popen(['sleep', '1'], pass_fds=[lock.descriptor], stdout=2);"
            "os.ftruncate(lock.descriptor, 0); os.pwrite(lock.descriptor, b'999999999 dead', 0)",
            id="dead, its child alive",
        ),
    ],
)
def test_a_start_waits_for_a_service_that_is_ending(tmp_path: Path, within: str) -> None:
    process = holder(tmp_path, within)
    threading.Timer(0.5, process.kill).start()
    started = time.monotonic()
    with hold_data_directory(tmp_path, "another", wait_s=0):
        assert time.monotonic() - started > 0.3
    process.communicate()


def test_processes_left_by_a_killed_service_are_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.launch.data_directory.RELEASE_WAIT_S", 0.5)
    left = (
        "import subprocess; subprocess.Popen(['sleep', '5'], pass_fds=[lock.descriptor], stdout=2)"
    )
    end(holder(tmp_path, left))  # its child keeps the lock, like a frozen process
    with (
        pytest.raises(LaunchError, match=rf"\(`fuser {tmp_path}/up.lock` says by whom\)"),
        hold_data_directory(tmp_path, "another", wait_s=0),
    ):
        pass


def test_a_port_in_use_is_reported_before_anything_starts() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(LaunchError, match=f"Port {port} on 127.0.0.1 is taken"):
            take_address("127.0.0.1", port)
        with pytest.raises(LaunchError, match=f"Port {port} on 0.0.0.0 is taken"):
            take_address("0.0.0.0", port)  # noqa: S104 - a wildcard can be bound beside it


@pytest.mark.parametrize("host", ["203.0.113.7", "no.such.host.invalid"])
def test_a_foreign_address_is_refused(host: str) -> None:
    with pytest.raises(LaunchError, match=f"GLITCH_HOST={host} is not an address of this machine"):
        take_address(host, 0)


def test_an_address_is_refused_until_it_listens() -> None:
    with take_address("127.0.0.1", 0) as listener:
        address = listener.getsockname()
        assert address_of("127.0.0.1", address[1]) == f"http://127.0.0.1:{address[1]}"
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address, 1)


@pytest.mark.parametrize(
    ("host", "reachable"),
    [("0.0.0.0", "127.0.0.1"), ("::", "::1"), ("10.0.0.1", "10.0.0.1"), ("here", "here")],  # noqa: S104
)
def test_a_wildcard_is_reached_by_loopback(host: str, reachable: str) -> None:
    assert reachable_host(host) == reachable


def test_the_token_file_is_private_and_replaced_whole(tmp_path: Path) -> None:
    assert read_token(tmp_path) is None
    path = write_token(tmp_path, "s" * 43)
    write_token(tmp_path, TOKEN)
    assert read_token(tmp_path) == TOKEN
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == [TOKEN_FILE]


@pytest.mark.parametrize(
    "content", [b"", b"short", TOKEN.encode() + b" x", b"\xff\xfe" * 30, b"\0" * 43, b"t" * 5000]
)
def test_a_damaged_token_file_is_reported(tmp_path: Path, content: bytes) -> None:
    (tmp_path / TOKEN_FILE).write_bytes(content)
    with pytest.raises(LaunchError, match="is damaged: remove the file and start again"):
        read_token(tmp_path)


def test_an_unreadable_token_file_is_reported(tmp_path: Path) -> None:
    (tmp_path / TOKEN_FILE).mkdir()
    with pytest.raises(LaunchError, match="cannot be read"):
        read_token(tmp_path)
    with pytest.raises(LaunchError, match="cannot be written"):
        write_token(tmp_path, TOKEN)
    assert [entry.name for entry in tmp_path.iterdir()] == [TOKEN_FILE]


def test_a_child_is_notified_when_its_supervisor_is_killed(tmp_path: Path) -> None:
    """A child stops when its supervisor gets SIGKILL, because the pipe from it ends."""
    (tmp_path / "kid.py").write_text(
        "import time\nfrom app.launch.parent_watch import stop_with_supervisor\n"
        "stop_with_supervisor()\n"
        "print('up', flush=True)\ntime.sleep(60)\n"
    )
    supervise = (
        "import time\nfrom app.launch.child import Child\n"
        "child = Child('kid', 'kid', environment={})\ntime.sleep(60)\n"
    )
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{Path.cwd()}"}
    supervisor = subprocess.Popen(
        [sys.executable, "-c", supervise], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert supervisor.stdout is not None
    assert supervisor.stdout.readline() == "up\n"
    supervisor.kill()
    # The child holds the other end of this pipe, so the pipe ends when the child is gone.
    remaining, _ = supervisor.communicate(timeout=PATIENCE_S)
    assert remaining == ""


def test_a_child_that_ignores_the_request_is_killed(tmp_path: Path) -> None:
    (tmp_path / "stubborn.py").write_text(
        "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print('up', flush=True)\ntime.sleep(60)\n"
    )
    child = Child(
        "stubborn", "stubborn", environment={"PYTHONPATH": str(tmp_path)}, is_conversing=True
    )
    lines = child.lines()
    assert next(lines) == "up"
    assert child.exit_code is None
    child.stop(within_s=0.2)
    assert child.exit_code == 128 + signal.SIGKILL
    assert list(lines) == []


def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLITCH_PORT", "eighty")
    monkeypatch.setenv("GLITCH_DEMO", "perhaps")
    with pytest.raises(LaunchError, match=r"GLITCH_PORT: .*integer.*GLITCH_DEMO: .*boolean"):
        read_settings()


def test_ends_count_while_they_are_recent(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter((0.0, 10.0, 20.0, 301.0, 302.0))
    monkeypatch.setattr("app.launch.child.time.monotonic", times.__next__)
    ends = EndCounter(3, 300)
    counted = [ends.note() for _ in range(5)]
    monkeypatch.undo()
    assert counted == [0, 0, 0, 0, 4]  # at 301 s, the first one no longer counts


def test_a_database_that_ends_again_and_again_is_not_started_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Path] = []
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "postmaster.pid").write_text("999999999\n")  # no such process
    monkeypatch.setattr("app.launch.database._start", started.append)
    database = RunningDatabase("postgresql://", EmbeddedServer(tmp_path, tmp_path))
    sentences: list[str] = []
    for _ in range(3):
        database.check(sentences.append)
    with pytest.raises(LaunchError, match=r"ended 4 times within 5 minutes: .*postgres\.log says"):
        database.check(sentences.append)
    assert started == [tmp_path] * 3
    # that it ended, and that it serves again
    assert ["again" in line for line in sentences] == [True] * 6


def test_a_database_counts_as_running_by_its_process_not_its_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "postgres").mkdir()
    lock = tmp_path / "postgres" / "postmaster.pid"
    command = [sys.executable, "-c", "import time; time.sleep(60)", str(tmp_path / "postgres")]
    with subprocess.Popen(command) as process:
        lock.write_text(f"{process.pid}\n")
        started: list[Path] = []
        monkeypatch.setattr("app.launch.database._start", started.append)
        database = RunningDatabase("postgresql://", EmbeddedServer(tmp_path, tmp_path))
        lock.unlink()  # like a program that deletes old files
        database.check(lambda _: None)
        assert started == []
        process.kill()
        process.wait()
        database.check(lambda _: None)
        assert started == [tmp_path]


def test_a_database_that_ends_while_it_is_started_again_is_started_once_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "postgres").mkdir()
    lock = tmp_path / "postgres" / "postmaster.pid"
    lock.write_text("999999999\n")
    starts: list[Path] = []

    def start(place: Path) -> EmbeddedServer:
        starts.append(place)
        if len(starts) == 1:
            raise LaunchError("The embedded PostgreSQL started and then did not answer.")
        lock.unlink(missing_ok=True)  # by the second start, it has stopped cleanly
        return EmbeddedServer(place, place)

    monkeypatch.setattr("app.launch.database.start_embedded", start)
    monkeypatch.setattr("app.launch.database.time.sleep", lambda _s: None)
    database = RunningDatabase("postgresql://", EmbeddedServer(tmp_path, tmp_path))
    sentences: list[str] = []
    database.check(sentences.append)
    assert len(starts) == 2
    database.check(sentences.append)  # its process id is unknown, so it counts as ended
    assert len(starts) == 3


def test_long_logs_begin_again_and_the_last_of_them_is_kept(tmp_path: Path) -> None:
    log = tmp_path / LOGS[0]
    log.parent.mkdir()
    bound_logs(tmp_path)  # no log exists yet
    log.write_text("short\n")
    bound_logs(tmp_path)
    assert log.read_text() == "short\n"
    with log.open("a") as program:  # like the standard error of PostgreSQL
        program.truncate(MAX_LOG_BYTES + 1)
        bound_logs(tmp_path)
        program.write("later\n")
    assert log.read_text() == "later\n"
    assert log.with_name("postgres.log.1").stat().st_size == MAX_LOG_BYTES + 1


def test_at_a_terminal_requests_do_not_hide_the_login_link(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GLITCH_LOG_FORMAT", "GLITCH_LOG_LEVEL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    assert terminal_logs() == {"GLITCH_LOG_FORMAT": "text", "GLITCH_LOG_LEVEL": "warning"}
    monkeypatch.setenv("GLITCH_LOG_LEVEL", "info")
    assert terminal_logs() == {"GLITCH_LOG_FORMAT": "text"}
    monkeypatch.setattr("sys.stderr.isatty", lambda: False, raising=False)
    assert terminal_logs() == {}


CLOSED = """
import os, sys
from app.launch.up import open_closed_streams
open_closed_streams()
lock = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
print("to nobody", flush=True)
print("to nobody", file=sys.stderr, flush=True)
sys.exit(0 if lock > 2 and sys.stdin.read() == "" and not sys.stderr.isatty() else 3)
"""


def test_streams_that_are_closed_give_their_numbers_to_no_lock(tmp_path: Path) -> None:
    closing = f"exec {sys.executable} -c '{CLOSED}' {tmp_path / 'lock'} <&- >&- 2>&-"
    assert subprocess.run(["sh", "-c", closing], check=False).returncode == 0
    assert (tmp_path / "lock").read_bytes() == b""


UNREAD = """
import sys
from pathlib import Path
from app.launch.up import RobustConsole, print_line
console = RobustConsole(stderr=True)
for _ in range(3):
    print_line("ready")
    console.print("It is started again.")
Path(sys.argv[1]).touch()
"""


def test_a_reader_of_the_log_may_leave(tmp_path: Path) -> None:
    read, written = os.pipe()
    os.close(read)
    command = [sys.executable, "-c", UNREAD, str(tmp_path / "went on")]
    ended = subprocess.run(command, stdout=written, stderr=written, check=False)
    os.close(written)
    assert (ended.returncode, (tmp_path / "went on").exists()) == (0, True)


@pytest.mark.parametrize(("before", "is_ours"), [(signal.SIG_IGN, False), (signal.SIG_DFL, True)])
def test_under_nohup_a_closed_terminal_stops_nothing(
    before: signal.Handlers, is_ours: bool
) -> None:
    kept = signal.signal(signal.SIGHUP, before)
    try:
        with Supervisor(read_settings(), RobustConsole())._signals():
            assert (signal.getsignal(signal.SIGHUP) != before) is is_ours
        assert signal.getsignal(signal.SIGHUP) == before
    finally:
        signal.signal(signal.SIGHUP, kept)


@pytest.mark.parametrize(("is_terminal", "pause_s"), [(False, 15.0), (True, 0.5)])
def test_filling_is_looked_at_seldom_where_each_look_is_logged(
    monkeypatch: pytest.MonkeyPatch, is_terminal: bool, pause_s: float
) -> None:
    states = ["running", "running", "succeeded"]

    class Jobs(QuietHandler):
        def reply(self) -> None:
            progress = {"total": 9, "done": 9, "failed": 0, "skipped": 0}
            job = {"id": "1", "kind": "demo", "state": states.pop(0), "progress": progress}
            self.answer(200, json.dumps({**job, "detail": None, "result": None}).encode())

    pauses: list[float] = []
    monkeypatch.setattr("glitch_discovery.client.time.sleep", pauses.append)
    console = RobustConsole(file=io.StringIO(), force_terminal=is_terminal)
    with serving(Jobs) as address:
        _show_filling(address, "t" * 43, "1", console)
    assert [pause for pause in pauses if pause in (0.5, 15.0)] == [pause_s, pause_s]
