"""`glitch-discovery up` that cannot start prints one sentence and exits with a failure code."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from service_process import Service
from sqlalchemy import text

from app.core.embedded import start_embedded
from app.core.engine import make_engine

pytestmark = pytest.mark.timeout(900)


def refusal(service: Service) -> str:
    """Assert that a start failed with exactly one error line, and return that line."""
    assert service.ends() == 1, service.errors
    assert service.lines == []
    errors = [line for line in service.errors if line.startswith("error: ")]
    assert len(errors) == 1, service.errors
    assert not any("Traceback" in line for line in service.errors)
    return errors[0]


def test_two_starts_at_once_give_one_service(start: Callable[..., Service], copied: Path) -> None:
    pair = [start(copied), start(copied)]
    codes = []
    for service in pair:
        try:
            service.wait_until_ready()
        except AssertionError:
            codes.append(service.process.wait())
    assert codes == [1]


def test_a_taken_port(start: Callable[..., Service]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        assert f"Port {port} on 127.0.0.1 is taken" in refusal(start(GLITCH_PORT=port))


def test_a_folder_under_a_file(start: Callable[..., Service], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "is a file: set GLITCH_DATA_DIR" in refusal(start(tmp_path / "file" / "data"))


def test_a_folder_without_permission(start: Callable[..., Service], tmp_path: Path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o555)
    if os.geteuid() == 0:  # root ignores permission bits but not a read-only mount
        mount = ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(folder)]
        if subprocess.run(mount, capture_output=True, check=False).returncode:
            pytest.skip("root may write anywhere here, and may not mount a read-only folder")
    try:
        sentence = refusal(start(folder / "data"))
    finally:
        if os.geteuid() == 0:
            subprocess.run(["umount", str(folder)], check=True)
    assert "No permission to use" in sentence or "read-only file system" in sentence


def test_a_full_disk(start: Callable[..., Service], tmp_path: Path) -> None:
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root can mount a small disk to fill, and not everywhere")
    try:
        assert "is full" in refusal(start(folder / "data"))
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_damaged_database(start: Callable[..., Service], copied: Path) -> None:
    version = copied / "database" / "postgres" / "PG_VERSION"
    version.write_text("12\n")
    assert "PostgreSQL 12" in refusal(start(copied))


def test_tables_of_a_newer_version(start: Callable[..., Service], copied: Path) -> None:
    server = start_embedded(copied / "database")
    engine = make_engine(server.url())
    try:
        with engine.begin() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = 'from_the_future'"))
    finally:
        engine.dispose()
        server.stop()
    assert "newer version of Glitch Discovery" in refusal(start(copied))


def test_a_damaged_token_a_lock_left_behind_and_a_second_service(
    start: Callable[..., Service], copied: Path
) -> None:
    (copied / "admin-token").write_bytes(b"\0\0\0")
    assert "is damaged: remove the file and start again" in refusal(start(copied))
    (copied / "admin-token").unlink()
    (copied / "up.lock").write_text(f"{os.getpid()} the service at http://127.0.0.1:1\n")
    (copied / "database" / "postgres" / "postmaster.pid").write_text(
        f"{os.getpid()}\n{copied}\n0\n5432\n\n\n\nready\n"
    )
    first = start(copied)
    url = first.wait_until_ready()
    with first.client() as client:
        assert client.get("/glitches").status_code == 200
    sentence = refusal(start(copied))
    assert f"process {first.process.pid}, the service at {url}" in sentence
    with first.client() as client:
        assert client.get("/readyz").status_code == 200
    assert first.stop() == 0


def test_a_wrong_setting(start: Callable[..., Service]) -> None:
    assert "GLITCH_PORT" in refusal(start(GLITCH_PORT="many"))


def test_a_database_that_does_not_answer(start: Callable[..., Service]) -> None:
    url = "postgresql://nobody@127.0.0.1:9/glitch"
    assert "The database cannot be reached" in refusal(start(DATABASE_URL=url))


def test_a_demo_that_was_interrupted_goes_on(start: Callable[..., Service]) -> None:
    folder: Path | None = None
    for by, code in ((signal.SIGTERM, 0), (signal.SIGKILL, -signal.SIGKILL)):
        interrupted = start(folder)
        folder = interrupted.data_directory
        interrupted.wait_until_ready()
        _wait_for_some(interrupted)
        interrupted.process.send_signal(by)
        assert interrupted.ends() == code
    whole = start(folder)
    whole.wait_until_ready()
    whole.wait_until_filled()
    with whole.client() as client:
        answer = client.get("/glitches", params={"limit": 1000, "origin": "simulated"})
        items = answer.raise_for_status().json()["items"]
    labels = [item["label"] for item in items]
    assert {labels.count(label) for label in set(labels)} == {2}


def _wait_for_some(service: Service) -> None:
    """Wait until a part of the demonstration is stored."""
    deadline = time.monotonic() + 200
    with service.client() as client:
        while not client.get("/glitches", params={"limit": 1}).raise_for_status().json()["items"]:
            assert time.monotonic() < deadline
            time.sleep(0.2)
