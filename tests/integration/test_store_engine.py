"""Database addresses, identifiers, timeouts, failures of a copy, and the migration tools."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import numpy as np
import pytest
from psycopg import sql
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from app.core import migrate
from app.core.database import uuid7
from app.core.engine import make_engine, parse_database_url
from app.core.errors import LaunchError
from app.core.failures import failure_of
from app.core.postgres.binary_copy import read_rows
from worker.runner import is_connection_lost


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_every_postgresql_scheme_does(scheme: str) -> None:
    url = parse_database_url(f"{scheme}://user:secret@host:5432/glitch")
    assert url.drivername == "postgresql+psycopg"
    assert (url.password, url.host) == ("secret", "host")


@pytest.mark.parametrize("address", ["", "nonsense", "sqlite:///x.db", "mysql://u:secret@h/d"])
def test_other_addresses_are_refused_without_repeating_them(address: str) -> None:
    with pytest.raises(LaunchError, match="DATABASE_URL") as caught:
        make_engine(address)
    assert "secret" not in str(caught.value)


def test_a_server_that_vanished_is_given_up(database_url: str) -> None:
    """With the system's default timeouts, a connection in use would hang for 15 minutes."""
    engine = make_engine(database_url)
    with engine.connect() as connection:
        found = connection.connection.driver_connection.info.get_parameters()  # type: ignore[union-attr]
    engine.dispose()
    assert (found["connect_timeout"], found["tcp_user_timeout"]) == ("10", "60000")
    assert (found["keepalives_idle"], found["keepalives_count"]) == ("30", "3")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        chosen = make_engine(f"postgresql://me@127.0.0.1:{port}/glitch?connect_timeout=2")
        with pytest.raises(OperationalError, match="timeout"):
            chosen.connect()


@pytest.mark.parametrize(
    ("act", "sentence"),
    [
        ("RAISE SQLSTATE '53100'", "has no disk space left"),
        ("RAISE SQLSTATE '57014'", "statement_timeout"),
        ("PERFORM pg_terminate_backend(pg_backend_pid())", "did not answer"),
    ],
)
def test_errors_during_copy_are_reported_like_those_of_statements(
    session: Session, act: str, sentence: str
) -> None:
    """The map is read and written with COPY; a full disk used to count as a failed attempt."""
    session.execute(
        text(
            "CREATE FUNCTION pg_temp.act() RETURNS int LANGUAGE plpgsql AS "
            f"$$ BEGIN {act}; RETURN 1; END $$"
        )
    )
    with pytest.raises(OperationalError) as caught:
        read_rows(session, sql.SQL("SELECT pg_temp.act()"), np.dtype([("act", ">i4")]))
    answered = failure_of(caught.value)
    assert answered is not None
    assert sentence in answered.sentence
    assert is_connection_lost(caught.value) is ("terminate" in act)
    session.rollback()
    assert session.scalar(text("SELECT 1")) == 1


def test_identifiers_grow_with_time_and_never_repeat() -> None:
    before = time.time_ns() // 1_000_000
    made = [uuid7() for _ in range(10_000)]
    after = time.time_ns() // 1_000_000
    assert len(set(made)) == len(made)
    assert all(one.version == 7 and one.variant == "specified in RFC 4122" for one in made)
    assert all(before <= one.int >> 80 <= after for one in made)
    moments = [one.int >> 64 for one in made]
    assert moments == sorted(moments)


def test_migrations_are_found_beside_the_package_or_in_the_wheel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (migrate.migrations_folder() / "versions").is_dir()
    monkeypatch.setattr(migrate, "__file__", str(tmp_path / "app" / "core" / "migrate.py"))
    installed = tmp_path / "prefix" / "share" / "glitch-discovery" / "alembic"
    monkeypatch.setattr(migrate.sysconfig, "get_path", lambda _: str(tmp_path / "prefix"))
    with pytest.raises(LaunchError, match="install Glitch Discovery again"):
        migrate.migrations_folder()
    installed.mkdir(parents=True)
    (installed / "env.py").touch()
    assert migrate.migrations_folder() == installed
