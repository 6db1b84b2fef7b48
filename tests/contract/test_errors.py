"""The common format of all errors, the headers of all responses, and limits on request bodies."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest
from api_fixtures import Service, assert_problem, picture, running_service
from pace import is_within
from sqlalchemy import text
from sqlalchemy.orm import Session

from app.classes import api as classes
from app.core.embedded import EmbeddedServer

UUID_ZERO = "00000000-0000-0000-0000-000000000000"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("GET", "/embed/extra", 404),
        ("GET", "/embed", 405),
        ("PUT", "/glitches", 405),
        ("DELETE", "/classes", 405),
        ("GET", f"/glitches/{UUID_ZERO}", 404),
        ("GET", f"/glitches/{UUID_ZERO}/neighbours", 404),
        ("GET", f"/glitches/{UUID_ZERO}/labels", 404),
        ("GET", f"/glitches/{UUID_ZERO}/views/0.5.png", 404),
        ("GET", "/glitches/not-a-uuid", 422),
        ("GET", "/glitches/0190a0a0-0000-7000-8000-00000000000g", 422),
        ("GET", "/glitches/1' OR '1'='1", 422),
        ("GET", f"/glitches/{UUID_ZERO}/views/wide.png", 422),
        ("GET", f"/glitches/{UUID_ZERO}/views/nan.png", 422),
        ("GET", "/glitches?limit=0", 400),
        ("GET", "/glitches?limit=100000", 400),
        ("GET", "/glitches?limit=ten", 422),
        ("GET", "/glitches?cursor=garbage", 400),
        ("GET", "/glitches?cursor=%00", 422),
        ("GET", "/glitches?snrmin=8", 400),
        ("GET", "/glitches?snr_min=nan", 422),
        ("GET", "/glitches?ifo=X1", 400),
        ("GET", "/glitches?ifo=H1'%20OR%201=1", 400),
        ("GET", "/glitches?gps_start=yesterday", 400),
        ("GET", "/glitches?label=Nonsense", 400),
        ("GET", "/glitches?label=%00", 422),
        ("GET", "/glitches?origin=elsewhere", 400),
    ],
)
def test_errors_are_problems(client: httpx.Client, method: str, path: str, status: int) -> None:
    answer = client.request(method, path)
    if status == 400:
        assert_problem(answer, 400, 404)
    else:
        assert_problem(answer, status)


def test_wrong_method_says_which_do(client: httpx.Client) -> None:
    assert client.get("/embed").headers["allow"] == "POST"


def test_fields_that_are_wrong_are_named_but_not_echoed(client: httpx.Client) -> None:
    answer = client.post(f"/glitches/{UUID_ZERO}/labels", json={"label": 5, "secret": "s3cret"})
    assert_problem(answer, 422)
    assert {"body.label", "body.secret"} <= {item["field"] for item in answer.json()["errors"]}
    assert "s3cret" not in answer.text
    for body in (b"{", b"[]", b"null", b'{"label": "\\u0000"}', b"\xff\xfe"):
        headers = {"Content-Type": "application/json"}
        answer = client.post(f"/glitches/{UUID_ZERO}/labels", content=body, headers=headers)
        assert_problem(answer, 400, 422)


def test_unforeseen_error_hides_what_it_is(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(session: Session) -> None:
        raise RuntimeError("postgresql://admin:hunter2@db/glitch")

    monkeypatch.setattr(classes, "list_classes", broken)
    with caplog.at_level(logging.ERROR):
        answer = client.get("/classes")
    assert_problem(answer, 500)
    assert "hunter2" not in answer.text
    assert "RuntimeError" not in answer.text
    assert any("unexpected error" in record.getMessage() for record in caplog.records)


def test_failed_commit_is_never_answered_as_success(service: Service) -> None:
    """If a deferred constraint fails at commit, after the route has returned, an error is sent."""
    with service.engine.begin() as connection:
        connection.execute(
            text(
                "CREATE FUNCTION refuse() RETURNS trigger AS $$ BEGIN "
                "RAISE EXCEPTION 'no commit today'; END $$ LANGUAGE plpgsql"
            )
        )
        connection.execute(
            text(
                "CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON glitch "
                "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()"
            )
        )
    before = service.counts()
    try:
        with service.client() as client:
            answer = client.post(
                "/embed",
                files={"file": ("a.png", picture(333))},
                data={"view_duration_s": "1", "ifo": "H1"},
            )
        assert_problem(answer, 409, 500)
        assert "no commit today" not in answer.text
        assert service.counts() == before
    finally:
        with service.engine.begin() as connection:
            connection.execute(text("DROP TRIGGER refuse ON glitch"))
            connection.execute(text("DROP FUNCTION refuse()"))


def test_every_answer_carries_an_id_and_safe_headers(client: httpx.Client) -> None:
    given = client.get("/healthz", headers={"X-Request-ID": "trace-12345678"})
    assert given.headers["x-request-id"] == "trace-12345678"
    for wrong in ("short", "has space in it", "x" * 65, "semi;colon;colon"):
        made = client.get("/healthz", headers={"X-Request-ID": wrong})
        assert made.headers["x-request-id"] != wrong
        assert len(made.headers["x-request-id"]) == 32
    answer = client.get("/glitches")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["cache-control"] == "no-store"


@pytest.fixture(scope="module")
def narrow(
    postgres_server: EmbeddedServer, migrated_template: str, data_folder: object
) -> Iterator[Service]:
    """Provide a service that accepts bodies of at most 0.2 MB sent within half a second."""
    with running_service(
        postgres_server,
        migrated_template,
        data_folder,  # type: ignore[arg-type]
        max_upload_mb=0.2,
        upload_timeout_s=0.5,
    ) as service:
        yield service


def test_body_over_the_limit_by_its_own_word(narrow: Service) -> None:
    with narrow.client() as client:
        answer = client.post("/embed", files={"file": ("a.npy", b"x" * 300_000)})
        assert "0.2 MB" in assert_problem(answer, 413)
        assert client.get("/readyz").status_code == 200


def test_body_over_the_limit_without_a_word(narrow: Service) -> None:
    def chunks() -> Iterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        for _ in range(30):
            yield b"x" * 10_000

    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    with narrow.client() as client:
        answer = client.post("/embed", content=chunks(), headers=headers)
        assert "0.2 MB" in assert_problem(answer, 413)
        assert client.get("/readyz").status_code == 200


def test_body_that_is_held_in_memory_has_a_smaller_limit(service: Service) -> None:
    with service.client() as client:
        body = b'{"label": "' + b"x" * 1_500_000 + b'"}'
        headers = {"Content-Type": "application/json"}
        answer = client.post(f"/glitches/{UUID_ZERO}/labels", content=body, headers=headers)
        assert_problem(answer, 413)


@pytest.mark.parametrize("path", ["/embed", "/batches"])
def test_body_that_stalls_is_cut_off(narrow: Service, path: str) -> None:
    """Also of a batch, which may take an hour as long as parts of it arrive."""
    address = urlsplit(narrow.url)
    head = (
        f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {narrow.tokens['submitter']}\r\n"
        "Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 1000\r\n\r\n--x"
    )
    started = time.monotonic()
    with socket.create_connection((address.hostname, address.port), 10) as connection:
        connection.sendall(head.encode())
        answer = connection.recv(4096)
    assert b" 408 " in answer.split(b"\r\n")[0]
    assert is_within(time.monotonic() - started, 5)


def test_client_that_leaves_harms_nobody(narrow: Service) -> None:
    address = urlsplit(narrow.url)
    head = (
        f"POST /embed HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {narrow.tokens['submitter']}\r\n"
        "Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 1000\r\n\r\n--x"
    )

    def leave() -> None:
        with socket.create_connection((address.hostname, address.port), 10) as connection:
            connection.sendall(head.encode())

    threads = [threading.Thread(target=leave) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with narrow.client() as client:
        assert client.get("/readyz").status_code == 200
