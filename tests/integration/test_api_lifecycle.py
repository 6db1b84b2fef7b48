"""Start, readiness, a model published while the service runs, and lost database connections."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import torch
from api_fixtures import (
    KEY,
    Service,
    assert_problem,
    listening,
    picture,
    running_service,
    tiny_data_folder,
)
from sqlalchemy import text
from waiting import eventually

from app.core.embedded import EmbeddedServer
from app.core.engine import make_session_factory
from app.core.errors import NotReadyError
from app.core.logs import JsonFormatter, TextFormatter
from app.core.settings import Settings
from app.main import create_app
from app.models.checkpoints import publish_checkpoint
from glitch.checkpoint import load_checkpoint, save_checkpoint
from glitch.model import Architecture, ViewsVAE
from glitch.views import Preprocessing

SCAN = {"file": ("a.png", picture(501))}
FIELDS = {"view_duration_s": "1", "ifo": "H1"}


@pytest.fixture(scope="module")
def data_folder() -> Iterator[Path]:
    with tiny_data_folder() as folder:
        yield folder


@pytest.fixture
def fresh(
    postgres_server: EmbeddedServer, migrated_template: str, data_folder: Path
) -> Iterator[Service]:
    with running_service(postgres_server, migrated_template, data_folder) as service:
        yield service


def settings_for(url: str | None, folder: Path, **more: object) -> Settings:
    values = {"data_dir": folder, "database_url": url, "signing_key": KEY, "log_level": "error"}
    return Settings(**values | more)  # type: ignore[arg-type]


def test_without_a_database_address_it_does_not_start(tmp_path: Path) -> None:
    async def start() -> None:
        application = create_app(settings_for(None, tmp_path))
        async with application.router.lifespan_context(application):
            pass

    with pytest.raises(NotReadyError, match="DATABASE_URL"):
        asyncio.run(start())


def test_unmigrated_database_is_not_ready(empty_database_url: str, tmp_path: Path) -> None:
    with listening(settings_for(empty_database_url, tmp_path)) as address:
        assert httpx.get(f"{address}/healthz").status_code == 200
        answer = httpx.get(f"{address}/readyz")
        assert "migration" in assert_problem(answer, 503)
        assert answer.json()["checks"].keys() == {"database", "disk", "model"}
        assert_problem(httpx.get(f"{address}/glitches", headers={"Authorization": "Bearer x"}), 500)


def test_without_a_model_it_answers_but_is_not_ready(database_url: str, tmp_path: Path) -> None:
    with listening(settings_for(database_url, tmp_path)) as address:
        detail = assert_problem(httpx.get(f"{address}/readyz"), 503)
        assert "publish" in detail


def test_weights_that_are_gone_are_named(fresh: Service, tmp_path: Path) -> None:
    elsewhere = fresh.settings.model_copy(update={"data_dir": tmp_path})
    with listening(elsewhere) as address:
        assert str(tmp_path) in assert_problem(httpx.get(f"{address}/readyz"), 503)
        headers = {"Authorization": f"Bearer {fresh.tokens['submitter']}"}
        answer = httpx.post(f"{address}/embed", files=SCAN, data=FIELDS, headers=headers)
        assert_problem(answer, 503)
        assert answer.headers["retry-after"]


def test_a_newly_published_model_is_served_at_once(fresh: Service) -> None:
    with fresh.client() as client:
        first = client.post("/embed", files=SCAN, data=FIELDS).json()
        assert first["embedding"]["checkpoint"] == "tiny"
        folder = fresh.settings.data_dir / "checkpoints" / "newer"
        torch.manual_seed(7)
        save_checkpoint(
            folder,
            ViewsVAE(
                Architecture(
                    pooling=1,
                    channels=(4, 4, 8, 8),
                    painter_channels=(4, 4, 8, 8),
                    hidden=8,
                    latent=5,
                )
            ),
            name="newer",
            preprocessing=Preprocessing(),
            training={},
            schedule={},
            metrics={},
            licence="GPL-3.0-or-later",
        )
        loaded = load_checkpoint(folder)
        with make_session_factory(fresh.engine)() as session:
            publish_checkpoint(
                session,
                name="newer",
                digest=loaded.digest,
                preprocessing_digest=Preprocessing().digest(),
                latent_size=5,
                manifest={},
            )
            session.commit()
        second = client.post("/embed", files=SCAN, data=FIELDS)
        assert second.status_code == 200, second.text
        assert second.json()["glitch"]["id"] == first["glitch"]["id"]
        assert second.json()["embedding"]["checkpoint"] == "newer"
        assert len(second.json()["embedding"]["mean"]) == 5
        names = [item["name"] for item in client.get("/checkpoints").json()["items"]]
        assert names == ["newer", "tiny"]


def test_catalogue_outlives_a_restart(fresh: Service) -> None:
    with fresh.client() as client:
        stored = client.post("/embed", files=SCAN, data=FIELDS).json()["glitch"]
    headers = {"Authorization": f"Bearer {fresh.tokens['reader']}"}
    with listening(fresh.settings) as address:
        again = httpx.get(f"{address}/glitches/{stored['id']}", headers=headers).json()
    assert again["gps_time"] == stored["gps_time"]
    assert again["views"] == stored["views"]


def test_database_that_drops_its_connections_is_survived(fresh: Service) -> None:
    with fresh.client() as client:
        assert client.get("/glitches").status_code == 200
        with fresh.engine.connect() as connection:
            connection.execute(
                text(
                    "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity "  # waits
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            )
        assert client.get("/glitches").status_code == 200


def test_log_lines_are_json_without_secrets(
    fresh: Service, caplog: pytest.LogCaptureFixture
) -> None:
    def written() -> list[logging.LogRecord]:
        return [one for one in caplog.records if getattr(one, "path", "") == "/glitches"]

    with caplog.at_level(logging.INFO), fresh.client() as client:
        client.get("/glitches?limit=3", headers={"X-Request-ID": "trace-of-a-test"})
        eventually(written)  # the line is logged after the response
    (record,) = written()
    line = json.loads(JsonFormatter().format(record))
    assert (line["method"], line["status"], line["level"]) == ("GET", 200, "info")
    assert "limit" not in line["path"]
    assert "path=/glitches" in TextFormatter().format(record)
    for record in caplog.records:
        line_of_it = JsonFormatter().format(record)
        assert all(secret not in line_of_it for secret in fresh.tokens.values())
        assert KEY not in line_of_it
