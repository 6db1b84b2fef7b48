"""The live service, for every contract test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from api_fixtures import Service, running_service, tiny_data_folder

from app.store.embedded import EmbeddedServer


@pytest.fixture(scope="session")
def data_folder() -> Iterator[Path]:
    """A data directory with a small model in it."""
    with tiny_data_folder() as folder:
        yield folder


@pytest.fixture(scope="module")
def service(
    postgres_server: EmbeddedServer, migrated_template: str, data_folder: Path
) -> Iterator[Service]:
    """One service for the tests of a module."""
    with running_service(postgres_server, migrated_template, data_folder) as running:
        yield running


@pytest.fixture
def client(service: Service) -> Iterator[httpx.Client]:
    """Holds a submitter's token."""
    with service.client() as client:
        yield client
