"""A real PostgreSQL: one server for each session, a fresh migrated database for each test.

Loaded as a plugin by ``tests/conftest.py``. Migrations run once, in a template database; copying
it takes some tens of milliseconds.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import psutil
import psycopg
import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from app.core.embedded import EmbeddedServer, start_embedded
from app.core.engine import make_engine, make_session_factory
from app.core.errors import LaunchError
from app.core.migrate import upgrade

PREFIX = "glitch-tests-"
TEMPLATE = "glitch_template"


def execute(server: EmbeddedServer, statement: str) -> None:
    """Run one statement outside any transaction, as CREATE DATABASE must."""
    address = server.url("postgres").replace("+psycopg", "")
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(statement.encode())


def remove_orphans() -> None:
    """Stop and remove the servers of killed sessions, whose process id is in the folder's name."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*-*"):
        owner = folder.name.rpartition("-")[2]
        if owner.isdigit() and not psutil.pid_exists(int(owner)):
            with suppress(OSError, LaunchError):
                EmbeddedServer(folder, folder / "postgres").stop()
            shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[EmbeddedServer]:
    """Provide the session's server; its folder is removed with it."""
    # Not in pytest's temporary folder: when another session starts, pytest makes that folder
    # inaccessible to the server's user.
    remove_orphans()
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, suffix=f"-{os.getpid()}"))
    server = start_embedded(folder)
    # Tests need no durability, and flushing to disk is most of the cost of a small transaction.
    for setting in ("fsync = off", "synchronous_commit = off", "full_page_writes = off"):
        execute(server, f"ALTER SYSTEM SET {setting}")
    execute(server, "SELECT pg_reload_conf()")
    yield server
    server.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def migrated_template(postgres_server: EmbeddedServer) -> str:
    """Provide the name of a database at the latest revision, to which no test writes."""
    upgrade(postgres_server.ensure_database(TEMPLATE))
    return TEMPLATE


@pytest.fixture
def empty_database_url(postgres_server: EmbeddedServer) -> Iterator[str]:
    """Provide the address of a database without tables."""
    name = f"test_{uuid4().hex}"
    yield postgres_server.ensure_database(name)
    execute(postgres_server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def database_url(postgres_server: EmbeddedServer, migrated_template: str) -> Iterator[str]:
    """Provide the address of a fresh database at the latest revision."""
    name = f"test_{uuid4().hex}"
    execute(postgres_server, f"CREATE DATABASE {name} TEMPLATE {migrated_template}")
    yield postgres_server.url(name)
    execute(postgres_server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """Provide an engine for ``database_url``."""
    engine = make_engine(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    """Provide a session on that database; nothing is committed unless the test commits."""
    with make_session_factory(engine)() as session:
        yield session
