"""More clients than the service can serve: each gets a response soon, and probes always do."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from api_fixtures import Service, assert_problem, picture, running_service
from pace import is_within

from app.core.embedded import EmbeddedServer
from app.server import admission, answers, runtime

ANSWERED_WITHIN_S = 20.0


@pytest.fixture(scope="module")
def small(
    postgres_server: EmbeddedServer, migrated_template: str, data_folder: Path
) -> Iterator[Service]:
    """A service with few database connections, so that few clients overload it."""
    with running_service(
        postgres_server, migrated_template, data_folder, database_pool=4
    ) as service:
        yield service


def crowd(service: Service, clients: int, ask: str, seconds: float) -> Counter[int]:
    """Count the response statuses of many clients that send requests without pause."""
    over_at = time.monotonic() + seconds
    statuses: Counter[int] = Counter()
    lock = threading.Lock()

    def one(_: int) -> None:
        while time.monotonic() < over_at:
            started = time.monotonic()
            answer = client.get(ask)
            assert time.monotonic() - started < ANSWERED_WITHIN_S
            if answer.status_code == 503:
                assert int(answer.headers["retry-after"]) >= 1
            with lock:
                statuses[answer.status_code] += 1

    limits = httpx.Limits(max_connections=clients, max_keepalive_connections=clients)
    with ThreadPoolExecutor(clients) as pool, service.client(limits=limits) as client:
        list(pool.map(one, range(clients)))
    return statuses


@pytest.mark.parametrize("ask", ["/glitches?limit=1", "/ui/login"])
def test_sixty_clients_are_answered(service: Service, ask: str) -> None:
    """Threads waiting for connections used to leave no thread to the requests that held them."""
    probes: list[float] = []
    is_over = threading.Event()

    def probe() -> None:
        with httpx.Client(base_url=service.url, timeout=30) as client:
            while not is_over.wait(0.1):
                for path in ("/healthz", "/readyz"):
                    answer = client.get(path)
                    assert answer.status_code == 200, answer.text
                    probes.append(answer.elapsed.total_seconds())

    with ThreadPoolExecutor(1) as background:
        watching = background.submit(probe)
        try:
            statuses = crowd(service, 60, ask, 6)
        finally:
            is_over.set()
        watching.result()
    assert statuses.keys() <= {200, 503}
    assert statuses[200] >= 60
    assert probes
    assert is_within(max(probes), ANSWERED_WITHIN_S / 2)
    with service.client() as client:
        assert client.get("/glitches?limit=1").status_code == 200


def test_uploads_and_reads_side_by_side(small: Service) -> None:
    def embed(number: int) -> int:
        with small.client() as client:
            return client.post(
                "/embed",
                files={"file": ("a.png", picture(number))},
                data={"view_duration_s": "1", "ifo": "H1"},
            ).status_code

    with ThreadPoolExecutor(24) as pool:
        uploads = [pool.submit(embed, number) for number in range(24)]
        statuses = crowd(small, 30, "/glitches?limit=1", 3)
        codes = Counter(upload.result() for upload in uploads)
    assert statuses.keys() <= {200, 503}
    assert statuses[200] > 0
    assert codes.keys() <= {201, 503}
    assert codes[201] > 0


def test_requests_that_cannot_get_a_place_are_refused_soon(small: Service) -> None:
    """All places are taken by requests that wait for a database lock."""
    from sqlalchemy import text

    with small.engine.connect() as holder, ThreadPoolExecutor(12) as pool:
        holder.execute(text("LOCK TABLE glitch IN ACCESS EXCLUSIVE MODE"))

        def ask(_: int) -> httpx.Response:
            with small.client() as client:
                return client.get("/glitches?limit=1")

        waiting = [pool.submit(ask, number) for number in range(12)]
        started = time.monotonic()
        with small.client() as client:
            time.sleep(0.5)
            refused = client.get("/classes")
            assert_problem(refused, 503)
            assert is_within(time.monotonic() - started, ANSWERED_WITHIN_S / 2)
            assert client.get("/healthz").status_code == 200
            assert client.get("/readyz").status_code == 200
        holder.rollback()
        assert {one.result().status_code for one in waiting} <= {200, 503}


def test_a_table_that_stays_locked_keeps_no_request_for_ever(
    postgres_server: EmbeddedServer,
    migrated_template: str,
    data_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The metrics respond meanwhile, and say that every place is taken."""
    from sqlalchemy import text

    monkeypatch.setattr(runtime, "LONGEST_LOCK_S", 3.0)
    with running_service(
        postgres_server, migrated_template, data_folder, database_pool=4
    ) as service:

        def ask(_: int) -> httpx.Response:
            with service.client() as client:
                return client.get("/glitches?limit=1")

        with service.engine.connect() as holder, ThreadPoolExecutor(2) as pool:
            holder.execute(text("LOCK TABLE glitch IN ACCESS EXCLUSIVE MODE"))
            waiting = [pool.submit(ask, number) for number in range(2)]
            time.sleep(0.5)
            with service.client() as client:
                metrics = client.get("/metrics")
                assert metrics.status_code == 200
                assert 'glitch_requests_by_place{kind="read",state="at_work"} 2.0' in metrics.text
            for one in waiting:
                assert_problem(one.result(3 * ANSWERED_WITHIN_S), 503)
        assert ask(0).status_code == 200


def test_a_slow_reader_of_a_table_holds_up_no_other_reads(
    small: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It holds one of four connections while it reads, so a second such reader is refused."""
    is_over = threading.Event()

    def slow(_: object) -> Iterator[str]:
        yield "id\n"
        is_over.wait(60)

    monkeypatch.setattr(answers, "csv_lines", slow)
    with small.client() as client:
        with client.stream("GET", "/exports?format=csv") as first:
            lines = first.iter_lines()
            assert next(lines) == "id"
            refused = client.get("/exports?format=csv")
            assert_problem(refused, 503)
            assert int(refused.headers["retry-after"]) >= 1
            assert {client.get("/glitches?limit=1").status_code for _ in range(5)} == {200}
            is_over.set()
            assert list(lines) == []
        assert client.get("/exports?format=csv").status_code == 200


def test_files_that_are_written_first_hold_up_no_other_reads(
    small: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """28 exports of 50,000 rows took all places for minutes; now a second one is refused."""
    is_writing, is_over = threading.Event(), threading.Event()
    write = answers.write_export

    def slow(*arguments: Any) -> Path:
        is_writing.set()
        is_over.wait(60)
        return write(*arguments)

    monkeypatch.setattr(answers, "write_export", slow)
    with small.client() as client, ThreadPoolExecutor(1) as pool:
        first = pool.submit(client.get, "/exports?format=hdf5")
        assert is_writing.wait(60)
        for file_format in ("hdf5", "ligolw", "csv"):
            assert_problem(client.get(f"/exports?format={file_format}"), 503)
        assert {client.get("/glitches?limit=1").status_code for _ in range(5)} == {200}
        is_over.set()
        assert first.result(60).status_code == 200
        assert client.get("/exports?format=ligolw").status_code == 200


def test_a_table_that_is_read_too_slowly_is_cut_off(
    small: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def endless(_: object) -> Iterator[str]:
        while True:
            yield "id\n"
            time.sleep(0.05)

    monkeypatch.setattr(answers, "csv_lines", endless)
    monkeypatch.setattr(admission, "LONGEST_STREAM_S", 0.5)
    with small.client() as client:
        for _ in range(2):  # its place becomes free again
            with pytest.raises(httpx.RemoteProtocolError):
                client.get("/exports?format=csv")
        assert client.get("/glitches?limit=1").status_code == 200
