"""The real service, started as an operator starts it, with a small demo catalogue."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from service_process import Service, new_folder

Starts = Callable[..., Service]


@pytest.fixture(scope="session")
def filled() -> Iterator[Path]:
    """A data directory after a first start and a clean stop; copy it to change it."""
    folder = new_folder()
    service = Service(folder)
    service.wait_until_ready()
    service.wait_until_filled()
    assert service.stop() == 0
    yield folder
    shutil.rmtree(folder.parent, ignore_errors=True)


@pytest.fixture
def start() -> Iterator[Starts]:
    """Start services that are stopped, and whose folders are removed, when the test ends."""
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
    """A data directory of its own with the same content, owners included."""
    folder = new_folder()
    shutil.copytree(filled, folder, symlinks=True)
    for path in (folder, *folder.rglob("*")):
        status = (filled / path.relative_to(folder)).stat()
        os.chown(path, status.st_uid, status.st_gid)
    return folder


@pytest.fixture
def copied(filled: Path) -> Path:
    """A data directory of its own that was filled by an earlier start."""
    return copy_of(filled)


@pytest.fixture(scope="module")
def service(filled: Path) -> Iterator[Service]:
    """A running service that the tests of a module share."""
    running = Service(copy_of(filled))
    running.wait_until_ready()
    yield running
    running.stop()
    shutil.rmtree(running.data_directory.parent, ignore_errors=True)


@pytest.fixture(scope="module")
def client(service: Service) -> Iterator[httpx.Client]:
    """An HTTP client of it with the admin's token."""
    with service.client() as client:
        yield client
