"""What operators monitor: metrics, alert rules, the dashboard, and the igwn-monitor status."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from api_fixtures import Service, picture, running_service
from sqlalchemy import text

from app.core.embedded import EmbeddedServer
from app.jobs.broker import is_worker_alive, live_workers, note_worker_alive, open_redis
from app.launch.redis.broker import find_redis_server
from app.models.index import IndexAudit
from app.server.runtime import Runtime
from worker.tasks import Process

FOLDER = Path(__file__).parents[2] / "operations"
NAME = re.compile(r"\b(?:glitch|process)_[a-z_]+")


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="glitch-redis-") as folder:
        words = ["--port", "0", "--unixsocket", f"{folder}/redis.sock", "--save", ""]
        server = subprocess.Popen([str(find_redis_server()), *words], stdout=subprocess.DEVNULL)
        yield f"unix://{folder}/redis.sock"
        server.terminate()
        server.wait()


@pytest.fixture(scope="module")
def service(
    postgres_server: EmbeddedServer, migrated_template: str, data_folder: Path, redis_url: str
) -> Iterator[Service]:
    with running_service(
        postgres_server, migrated_template, data_folder, redis_url=redis_url, contact="me@x.org"
    ) as running:
        yield running


def samples(scrape: str) -> dict[str, float]:
    lines = [line for line in scrape.splitlines() if not line.startswith("#")]
    return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines}


@pytest.fixture
def scrape(service: Service, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The metrics of a service with a worker, waiting jobs, a vector index, an upload and pages."""
    audit = IndexAudit("tiny", 0.99, 10, 1.0, 2.0, datetime.now(UTC))
    monkeypatch.setattr(Runtime, "index_audit", lambda _: audit)
    with service.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO job (id, kind, key, parameters, author, state, created_at) VALUES"
                " (gen_random_uuid(), 'export', 'a', '{}', 'me', 'queued', now() - interval '2h'),"
                " (gen_random_uuid(), 'export', 'b', '{}', 'me', 'queued', now()),"
                " (gen_random_uuid(), 'export', 'c', '{}', 'me', 'running', now()),"
                " (gen_random_uuid(), 'export', 'd', '{}', 'me', 'failed', now())"
                " ON CONFLICT DO NOTHING"
            )
        )
    redis = open_redis(redis_url)
    note_worker_alive(redis)
    redis.close()
    with service.client("submitter") as client:
        file = {"file": ("a.png", picture())}
        assert client.post("/embed", files=file, data={"view_duration_s": "1"}).is_success
        for path in ("/glitches", "/ui/glitches", "/ui/nowhere", "/nowhere"):
            client.get(path)
        return client.get("/metrics").text


def test_metrics_report_the_background_work(scrape: str) -> None:
    found = samples(scrape)
    assert found['glitch_jobs{state="queued"}'] == 2
    assert found['glitch_jobs{state="running"}'] == 1
    assert 7200 <= found["glitch_oldest_waiting_job_seconds"] < 9000
    assert found["glitch_workers"] == 1
    assert found["glitch_workers_resident_bytes"] > 1e7
    assert found["glitch_messages_waiting"] == 0
    assert found["glitch_encoder_glitches_total"] >= found["glitch_encoder_passes_total"] >= 1
    assert found["glitch_database_connections_most"] == 20
    assert found["process_resident_memory_bytes"] > 1e7
    assert found["glitch_api_processes"] == 1
    assert found["glitch_api_resident_bytes"] == found["glitch_api_largest_resident_bytes"] > 1e7
    assert found["glitch_api_cpu_seconds_total"] > 0


def test_a_worker_at_a_long_chunk_counts_as_alive(
    service: Service, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes no messages meanwhile, and a worker that ends when idle never takes any."""
    monkeypatch.setattr("worker.stalled.LOOK_EVERY_S", 0.05)
    process = Process(service.settings, service.engine.url.render_as_string(False), redis_url)
    with open_redis(redis_url) as redis:
        redis.flushall()
        with process.at_work:
            for _ in range(2):  # twice, because one sign is valid for minutes
                deadline = time.monotonic() + 30
                while not live_workers(redis) or not is_worker_alive(redis):
                    assert time.monotonic() < deadline
                    time.sleep(0.01)
                redis.flushall()
    process.close()


def test_pages_are_distinguished_from_the_api(scrape: str) -> None:
    found = samples(scrape)
    count = 'glitch_http_requests_total{{method="GET",route="{}",status="{}"}}'.format
    assert found[count("/glitches", 200)] >= 1
    assert found[count("/ui/glitches", 303)] >= 1
    assert found[count("/ui/{path:path}", 404)] >= 1
    assert found[count("none", 404)] >= 1


def test_a_scrape_stays_small_for_any_requested_paths(service: Service) -> None:
    def size() -> int:
        return len(client.get("/metrics").text)

    with service.client("reader") as client:
        names = ("/glitches/x{}", "/ui/glitches/x{}", "/ui/y{}", "/z{}", "/ui/static/{}/a.css")
        for name in names:
            client.get(name.format(0))
        before = size()
        for number in range(20):
            for name in names:
                client.get(name.format(number))
            client.request(f"METHOD{number}", "/glitches")
        # Only one more series, for all unknown methods, and more digits in counters.
        assert size() - before < 4000
        routes = len(client.get("/openapi.json").json()["paths"])
    assert before < 100 * routes * 25  # 25 lines of under 100 characters per route


def test_metrics_of_rules_and_dashboard_are_in_a_scrape(scrape: str) -> None:
    scraped = {re.split(r"[{ ]", line)[0] for line in scrape.splitlines() if line[0] != "#"}
    dashboard = json.loads((FOLDER / "dashboard.json").read_text())
    rules = yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"][0]["rules"]
    expressions = [rule["expr"] for rule in rules]
    expressions += [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    named = {name for expression in expressions for name in NAME.findall(expression)}
    assert len(named) > 15
    assert named - scraped == set()
    ours = {
        name for name in scraped if name.startswith("glitch_") and not name.endswith("_created")
    }
    assert ours - named <= {
        *("glitch_http_request_seconds_count", "glitch_http_request_seconds_sum")
    }, "a metric that nobody watches"
    for rule in rules:
        assert {"summary", "action"} <= rule["annotations"].keys(), rule["alert"]
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


@pytest.fixture(scope="module")
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is not installed: on Debian and Ubuntu it is in prometheus")
    return found


@pytest.mark.parametrize(
    "words",
    [
        ("check", "rules", "alerts.yml"),
        ("check", "config", "prometheus.yml"),
        ("test", "rules", "alerts_test.yml"),
    ],
    ids=" ".join,
)
def test_prometheus_takes_the_files(promtool: str, words: tuple[str, ...]) -> None:
    done = subprocess.run(
        [promtool, *words], cwd=FOLDER, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_takes_a_scrape(promtool: str, scrape: str) -> None:
    done = subprocess.run(
        [promtool, "check", "metrics"], input=scrape, capture_output=True, text=True, check=False
    )
    assert "error" not in done.stderr, done.stderr


def test_metrics_without_redis_and_database_report_the_rest(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sqlalchemy.exc import OperationalError

    from app.server import metrics as load

    def away(*_: Any) -> Any:
        raise OperationalError("SELECT", {}, Exception("gone"))

    def gone(*_: Any) -> Any:
        raise load.RedisError

    monkeypatch.setattr(load, "open_job_load", away)
    monkeypatch.setattr(load, "waiting_messages", gone)
    with service.client("reader") as client:
        found = samples(client.get("/metrics").text)
    assert "glitch_database_connections_in_use" in found
    assert not any(
        name.startswith(("glitch_jobs", "glitch_workers", "glitch_old")) for name in found
    )


def test_the_state_is_in_the_form_of_igwn_monitor(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    from app.server.readiness import Readiness, ReadinessProbe

    seen = []
    for checks, background in (
        ({"database": "ok"}, "ok"),
        ({"database": "ok"}, "No worker has reported."),
        ({"database": "The database does not answer.", "model": "ok"}, "ok"),
    ):
        found = Readiness(checks, background)
        monkeypatch.setattr(ReadinessProbe, "find", lambda _, found=found: found)
        answer = httpx.get(f"{service.url}/status.json")
        assert answer.status_code == 200
        state = answer.json()
        now, later = state["status_intervals"]
        seen.append((now["num_status"], now["txt_status"]))
        assert now["start_sec"] == 0
        assert now["end_sec"] == later["start_sec"] == 300
        assert later["num_status"] == 3
        assert state["author"]["email"] == "me@x.org"
        gps = datetime.now(UTC).timestamp() - 315964800 + 18
        assert abs(state["created_gps"] - gps) < 60
    assert seen == [
        (0, "Uploads are served, and workers are running."),
        (1, "No worker has reported."),
        (2, "The database does not answer."),
    ]
