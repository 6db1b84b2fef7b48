"""The live service that contract and integration tests send requests to.

Loaded as a plugin by ``tests/conftest.py``. Slow imports (such as torch) happen at first use, so
that unit tests start at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from app.core.embedded import EmbeddedServer

if TYPE_CHECKING:
    import httpx
    from api_fixtures import Service


@pytest.fixture(scope="session")
def data_folder() -> Iterator[Path]:
    """Provide a data directory with a small model."""
    from api_fixtures import tiny_data_folder

    with tiny_data_folder() as folder:
        yield folder


@pytest.fixture(scope="module")
def service(
    postgres_server: EmbeddedServer, migrated_template: str, data_folder: Path
) -> Iterator[Service]:
    """Provide one service for all tests of a module."""
    from api_fixtures import running_service

    with running_service(postgres_server, migrated_template, data_folder) as running:
        yield running


@pytest.fixture
def client(service: Service) -> Iterator[httpx.Client]:
    """Provide a client with a submitter's token."""
    with service.client() as client:
        yield client
