"""The real service, started as by an operator, with a small demonstration catalogue."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from service_process import Service, new_folder

Starts = Callable[..., Service]


@contextmanager
def locked_note(root: Path) -> Iterator[Path]:
    """Lock and provide a file that only one test process at a time may read and write."""
    with (root / "filled.lock").open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield root / "filled"


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Provide a data directory after a first start and a clean stop; tests change only copies.

    Jobs that follow the demonstration (such as the map) are cancelled, because otherwise each copy
    would run them after its start. The first test process that needs the directory fills it, and
    the last one removes it.
    """
    base = tmp_path_factory.getbasetemp()
    root = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with locked_note(root) as note:
        if not note.exists():
            folder = new_folder()
            service = Service(folder)
            service.wait_until_ready()
            service.wait_until_filled()
            service.cancel_jobs()
            assert service.stop() == 0
            note.write_text(f"0 {folder}")
        users, _, name = note.read_text().partition(" ")
        note.write_text(f"{int(users) + 1} {name}")
    yield Path(name)
    with locked_note(root) as note:
        users, _, name = note.read_text().partition(" ")
        if int(users) > 1:
            note.write_text(f"{int(users) - 1} {name}")
        else:
            note.unlink()
            shutil.rmtree(Path(name).parent, ignore_errors=True)


@pytest.fixture
def start() -> Iterator[Starts]:
    """Provide a function that starts services; they are stopped and removed after the test."""
    started: list[Service] = []

    def begin(folder: Path | None = None, **settings: str) -> Service:
        service = Service(folder or new_folder(), **settings)
        started.append(service)
        return service

    yield begin
    for service in started:
        service.stop()
    for service in started:
        if service.data_directory.parent.name.startswith("glitch e2e "):
            shutil.rmtree(service.data_directory.parent, ignore_errors=True)


def copy_of(filled: Path) -> Path:
    """Copy a data directory, including the owners of its files."""
    folder = new_folder()
    shutil.copytree(filled, folder, symlinks=True)
    for path in (folder, *folder.rglob("*")):
        status = (filled / path.relative_to(folder)).stat()
        os.chown(path, status.st_uid, status.st_gid)
    return folder


@pytest.fixture
def copied(filled: Path) -> Path:
    """Provide the test's own data directory, filled by an earlier start."""
    return copy_of(filled)


@pytest.fixture(scope="module")
def service(filled: Path) -> Iterator[Service]:
    """Provide a running service for all tests of a module."""
    running = Service(copy_of(filled))
    running.wait_until_ready()
    yield running
    running.stop()
    shutil.rmtree(running.data_directory.parent, ignore_errors=True)


@pytest.fixture(scope="module")
def client(service: Service) -> Iterator[httpx.Client]:
    """Provide an HTTP client of the service with the admin's token."""
    with service.client() as client:
        yield client
