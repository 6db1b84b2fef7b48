"""Responses, logs and health checks while the database, the disk or Redis fails."""

from __future__ import annotations

import logging
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from api_fixtures import Service, assert_problem, listening
from pydantic import SecretStr
from small_disk import small_file_system
from sqlalchemy import Connection, create_engine, text
from web_fixtures import Walker

from app.core.embedded import EmbeddedServer
from app.launch.redis.broker import find_redis_server
from worker.tasks import Process


def checks(address: str) -> dict[str, str]:
    found: dict[str, str] = httpx.get(f"{address}/readyz", timeout=30).json()["checks"]
    return found


@contextmanager
def outside(service: Service, server: EmbeddedServer) -> Iterator[Connection]:
    """Yield a connection to another database of the same server."""
    engine = create_engine(server.url("postgres"), isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


def test_a_database_that_is_away_is_one_line_for_a_request(
    service: Service, postgres_server: EmbeddedServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Each request logs one line; a traceback of 15 kB each used to fill the disk of the log."""
    name = service.engine.url.database
    with (
        outside(service, postgres_server) as connection,
        service.client("reader") as client,
        Walker(service, "reader") as reader,
    ):
        connection.execute(text(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false"))
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid, 9999) FROM pg_stat_activity WHERE datname = :name"
            ),
            {"name": name},
        )
        try:
            with caplog.at_level(logging.INFO):
                assert_problem(client.get("/glitches"), 503)
                page = reader.get("/ui/glitches?ifo=L1")
        finally:
            connection.execute(text(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true"))
    assert page.status == 503
    assert 'href="/ui/glitches?ifo=L1">Try again<' in page.response.text
    logs = [one for one in caplog.records if one.levelno >= logging.WARNING]
    assert [(one.name, one.exc_info) for one in logs] == [("app.server", None), ("app.frame", None)]
    assert all(one.getMessage().startswith("database: ") for one in logs)
    assert all("\n" not in one.getMessage() for one in logs)


def test_a_read_only_database_is_reported_as_such(
    service: Service, postgres_server: EmbeddedServer, caplog: pytest.LogCaptureFixture
) -> None:
    """As after a failover to a standby: requests that only read succeed, and jobs wait."""
    name, url = service.engine.url.database, service.engine.url.render_as_string(False)
    settled = "SELECT pg_terminate_backend(pid, 9999) FROM pg_stat_activity WHERE datname = :name"
    with (
        outside(service, postgres_server) as connection,
        service.client("submitter") as client,
        Walker(service, "reviewer") as reviewer,
    ):
        home = reviewer.get("/ui/classes")
        job = UUID(client.post("/exports", json={"format": "csv"}).json()["id"])
        with service.engine.begin() as own:  # so that the next use of each token would be noted
            own.execute(text("UPDATE api_token SET last_used_at = NULL"))
        connection.execute(text(f"ALTER DATABASE {name} SET default_transaction_read_only = on"))
        connection.execute(text(settled), {"name": name})
        try:
            with caplog.at_level(logging.INFO):
                answer = client.post("/exports", json={"format": "hdf5"})
                assert "database is read-only" in assert_problem(answer, 503)
                assert answer.headers["Retry-After"] == "60"
                page = reviewer.submit(home, "/ui/logout")
                process = Process(service.settings, url, "redis://127.0.0.1:9")
                process.work(job)
                process.close()
            assert client.get("/glitches").status_code == 200
            assert reviewer.get("/ui/classes").status == 200
            assert "database is read-only" in checks(service.url)["database"]
        finally:
            connection.execute(text(f"ALTER DATABASE {name} RESET default_transaction_read_only"))
            connection.execute(text(settled), {"name": name})
    assert page.status == 503
    assert "nothing was stored" in page.alerts[0]
    assert "Try again<" not in page.response.text  # it would ask for another page
    logs = [one for one in caplog.records if one.levelno >= logging.WARNING]
    assert [one.name for one in logs] == ["app.server", "app.frame", "worker"]
    assert all(one.exc_info is None and "read-only" in one.getMessage() for one in logs)


def test_a_hanging_database_is_distinguished_from_an_absent_one(service: Service) -> None:
    with service.engine.begin() as connection:
        connection.execute(text("LOCK TABLE alembic_version, job IN ACCESS EXCLUSIVE MODE"))
        assert checks(service.url)["database"].startswith(
            "The check of the database did not end within 3 s"
        )
        for _ in range(2):
            metrics = httpx.get(f"{service.url}/metrics", timeout=10).text
            assert "glitch_data_disk_free_bytes " in metrics
            assert "glitch_oldest_waiting_job_seconds " not in metrics  # an alert checks this


def test_a_read_only_disk_is_reported_as_such(service: Service, tmp_path: Path) -> None:
    with small_file_system(tmp_path) as folder:
        settings = service.settings.model_copy(update={"data_dir": folder})
        headers = {"Authorization": f"Bearer {service.tokens['submitter']}"}
        with listening(settings) as address:
            assert checks(address)["disk"] != "ok"  # it has only 8 MB
            subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
            assert "read-only" in checks(address)["disk"]
            answer = httpx.post(
                f"{address}/batches", headers=headers, files={"file": ("a.tar", bytes(10_000))}
            )
            assert "disk is read-only" in assert_problem(answer, 507)


def test_a_redis_that_takes_no_messages_is_named(service: Service, tmp_path: Path) -> None:
    socket = tmp_path / "redis.sock"
    command = [str(find_redis_server()), "--port", "0", "--unixsocket", str(socket), "--save", ""]
    with subprocess.Popen([*command, "--maxmemory", "1"], stdout=subprocess.DEVNULL) as redis:
        settings = service.settings.model_copy(update={"redis_url": SecretStr(f"unix://{socket}")})
        try:
            with listening(settings) as address:
                background = checks(address)["background"]
        finally:
            redis.terminate()
    assert "accepts no messages (command not allowed when used memory > 'maxmemory'" in background
