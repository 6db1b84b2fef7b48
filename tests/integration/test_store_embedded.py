"""The embedded server: first start, second start, crash, and all that can obstruct it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
from jobs_stack import kill_tree
from pace import is_within
from small_disk import small_file_system
from sqlalchemy import text
from waiting import PATIENCE_S

from app.core import embedded
from app.core.embedded import EmbeddedServer, start_embedded
from app.core.engine import make_engine
from app.core.errors import LaunchError
from app.launch.database import RunningDatabase


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder open to the server's user; other pytest sessions may close pytest's own folders."""
    path = Path(tempfile.mkdtemp(prefix="glitch-embedded-"))
    yield path
    for data in (path / "data" / "postgres", path / ("x" * 90) / "postgres"):
        if data.exists():
            EmbeddedServer(data.parent, data).stop()
    shutil.rmtree(path)


def ask(url: str, statement: str) -> object:
    engine = make_engine(url)
    try:
        with engine.begin() as connection:
            result = connection.execute(text(statement))
            return result.scalar() if result.returns_rows else None
    finally:
        engine.dispose()


def server_process(folder: Path) -> psutil.Process:
    return psutil.Process(int((folder / "postgres" / "postmaster.pid").read_text().split()[0]))


def test_life_of_a_server(folder: Path) -> None:
    data = folder / "data"
    server = start_embedded(data)
    ask(server.url(), "CREATE TABLE kept AS SELECT 42 AS answer")
    assert start_embedded(data) == server  # a second start finds it
    assert server_process(data).is_running()
    server.stop()
    server.stop()
    assert not (data / "postgres" / "postmaster.pid").exists()

    server = start_embedded(data)
    assert ask(server.url(), "SELECT answer FROM kept") == 42
    crashed = server_process(data)
    os.kill(crashed.pid, signal.SIGKILL)
    psutil.wait_procs([crashed], timeout=PATIENCE_S)
    assert (data / "postgres" / "postmaster.pid").exists()
    server = start_embedded(data)
    assert ask(server.url(), "SELECT answer FROM kept") == 42
    server.stop()

    # A stale lock may name a running process that is not our server.
    lock = data / "postgres" / "postmaster.pid"
    lock.write_text(f"{os.getpid()}\n{data / 'postgres'}\n0\n5432\n{data}\n\n0 0\nready\n")
    server = start_embedded(data)
    assert ask(server.url(), "SELECT answer FROM kept") == 42
    server.stop()

    for name in ("postmaster.pid", ".s.PGSQL.5432.lock"):  # as after a power cut
        (data / "postgres" / name).write_bytes(b"" if name == "postmaster.pid" else bytes(40))
    server = start_embedded(data)
    assert ask(server.url(), "SELECT answer FROM kept") == 42
    (data / "postgres" / ".s.PGSQL.5432").unlink()  # as cleaners of old files do
    silent = server_process(data)
    server.stop()
    assert psutil.wait_procs([silent], timeout=PATIENCE_S)[0] == [silent]

    (data / "postgres" / "PG_VERSION").write_text("15\n")
    with pytest.raises(LaunchError, match="made by PostgreSQL 15"):
        start_embedded(data)
    (data / "postgres" / "PG_VERSION").write_text("18\n")
    (data / "postgres" / "postgresql.conf").write_text("nonsense = yes\n")
    with pytest.raises(LaunchError, match=r"nonsense(.|\n)*The whole log is"):
        start_embedded(data)


def test_a_running_server_is_found_where_its_folder_may_not_be_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for root without CAP_SYS_PTRACE in a container: its lock must not be taken for stale."""

    def refuse(process: psutil.Process) -> str:
        raise psutil.AccessDenied(process.pid)

    data = folder / "data"
    server = start_embedded(data)
    running = server_process(data)
    monkeypatch.setattr(psutil.Process, "cwd", refuse)
    assert start_embedded(data) == server
    assert server_process(data) == running
    server.stop()
    assert psutil.wait_procs([running], timeout=PATIENCE_S)[0] == [running]


def test_a_server_that_is_killed_as_it_starts_is_a_sentence(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = folder / "data"
    start_embedded(data).stop()
    launch = embedded._launch

    def launch_and_kill(place: Path, socket_folder: Path) -> None:
        launch(place, socket_folder)
        started = server_process(place)
        started.kill()
        psutil.wait_procs([started], timeout=PATIENCE_S)

    monkeypatch.setattr(embedded, "_launch", launch_and_kill)
    with pytest.raises(LaunchError, match=r"started and then did not answer .*says why"):
        start_embedded(data)
    monkeypatch.undo()
    assert ask(start_embedded(data).url(), "SELECT 1") == 1


def test_a_database_ended_by_a_full_disk_is_started_once_there_is_space(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.launch.database._LOOK_AGAIN_S", 0.0)
    with small_file_system(folder, 400) as disk:
        server = start_embedded(disk / "database")
        try:
            ask(server.url(), "CREATE TABLE kept AS SELECT 42 AS answer")
            database = RunningDatabase(server.url(), server)
            ballast = disk / "ballast"
            ballast.write_bytes(bytes(shutil.disk_usage(disk).free))
            process = server_process(disk / "database")
            kill_tree(process.pid)
            process.wait(30)
            sentences: list[str] = []
            for _ in range(5):  # too often if each of them started it
                database.check(sentences.append)
            assert len(sentences) == 1
            assert "is full: free some space" in sentences[0]
            ballast.unlink()
            database.check(sentences.append)
            assert sentences[-1] == "The database is running again."
            assert ask(server.url(), "SELECT answer FROM kept") == 42
        finally:
            server.stop()


def test_simultaneous_first_starts_find_one_server(folder: Path) -> None:
    found: list[EmbeddedServer] = []
    threads = [
        threading.Thread(target=lambda: found.append(start_embedded(folder / "data")))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 3
    assert len(set(found)) == 1
    assert ask(found[0].url(), "SELECT 1") == 1


def test_a_cluster_cut_short_is_made_again_and_long_paths_do(folder: Path) -> None:
    data = folder / ("x" * 90)  # too long for a socket
    (data / "postgres.partial").mkdir(parents=True)
    (data / "postgres.partial" / "PG_VERSION").write_text("18\n")
    server = start_embedded(data)
    assert ask(server.url(), "SELECT 1") == 1
    assert server.socket_folder.parent == Path(tempfile.gettempdir())
    assert server.socket_folder.stat().st_mode & 0o077 == 0
    assert start_embedded(data) == server
    server.stop()
    server.socket_folder.chmod(0o777)
    with pytest.raises(LaunchError, match="belongs to somebody else"):
        start_embedded(data)
    server.socket_folder.rmdir()


@pytest.mark.parametrize("name", ["ä 'b' \"c\" $HOME `false`", "a\\b,c"])
def test_databases_start_under_paths_with_special_characters(folder: Path, name: str) -> None:
    server = start_embedded(folder / name)
    try:
        assert ask(server.url(), "SELECT 1") == 1
        assert start_embedded(folder / name) == server
    finally:
        server.stop()
    assert server.process is None


def test_a_file_in_the_way(folder: Path) -> None:
    (folder / "data").write_text("a file")
    with pytest.raises(LaunchError, match="a file of that name is in the way"):
        start_embedded(folder / "data")


def test_foreign_files_in_the_way(folder: Path) -> None:
    (folder / "data" / "postgres").mkdir(parents=True)
    (folder / "data" / "postgres" / "thesis.tex").write_text("precious")
    with pytest.raises(LaunchError, match="holds files but no PostgreSQL data"):
        start_embedded(folder / "data")
    assert (folder / "data" / "postgres" / "thesis.tex").read_text() == "precious"


def test_no_write_permission(folder: Path) -> None:
    """Run as an ordinary user: root may write everywhere, so a child process gives up root."""
    folder.chmod(0o555)
    script = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from app.core.embedded import start_embedded\n"
        "from app.core.errors import LaunchError\n"
        "if os.geteuid() == 0: os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "try: start_embedded(Path(sys.argv[1]))\n"
        "except LaunchError as error: print(error)\n"
    )
    finished = subprocess.run(
        [sys.executable, "-c", script, str(folder / "data")],
        capture_output=True,
        text=True,
        check=True,
    )
    folder.chmod(0o755)
    assert "Permission denied. Set GLITCH_DATA_DIR to a folder" in finished.stdout


def test_root_without_a_stand_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "ROOTS_STAND_IN", "no such user")  # useradd refuses the name
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(LaunchError, match="PostgreSQL does not run as root"):
        start_embedded(folder / "data")


def test_a_server_that_starts_and_refuses_does_not_run_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_server: EmbeddedServer) -> str:
        raise psycopg.OperationalError("too many clients")

    with monkeypatch.context() as patched:
        patched.setattr(EmbeddedServer, "ensure_database", refuse)
        with pytest.raises(LaunchError, match="did not answer"):
            start_embedded(folder / "data")
    server = EmbeddedServer(folder / "data", folder / "data" / "postgres")
    assert server.process is None
    assert start_embedded(folder / "data") == server
    with monkeypatch.context() as patched:  # one that others may use keeps running
        patched.setattr(EmbeddedServer, "ensure_database", refuse)
        with pytest.raises(LaunchError):
            start_embedded(folder / "data")
    assert server.process is not None


def test_a_server_that_never_answers(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = folder / "data" / "postgres"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("18\n")
    (data / "postmaster.pid").write_text(f"{os.getpid()}\n{data}\n0\n5432\n{data}\n\n0 0\nready\n")
    monkeypatch.setattr(embedded, "START_TIMEOUT_S", 0.2)
    monkeypatch.setattr(embedded, "_owner_process", lambda _: psutil.Process())
    started = time.monotonic()
    with pytest.raises(LaunchError, match=f"process {os.getpid()}.*does not answer"):
        start_embedded(folder / "data")
    assert is_within(time.monotonic() - started, 30)
    monkeypatch.undo()
    shutil.rmtree(data)
