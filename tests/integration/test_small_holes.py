"""Requests that must not harm the service, and the responses to them."""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import httpx
import numpy as np
import pytest
import uvicorn
from api_fixtures import Service, assert_problem
from pace import is_within
from small_disk import small_file_system
from waiting import eventually

from app.core.errors import BusyError
from app.core.storage import PREFIXES, clean_up_leftovers
from app.glitches.exports.service import filters_from_json
from app.main import create_app
from app.server import http_protocol, readiness
from app.server.http_protocol import MAX_HEAD_BYTES, TimedHttpProtocol


def test_invalid_json_is_refused_as_json(service: Service) -> None:
    headers = {"Content-Type": "application/json"}
    with service.client("submitter") as client:
        for content in (b"{", b"\xff\xfe", b'{"format": "csv"'):
            answer = client.post("/exports", content=content, headers=headers)
            detail = assert_problem(answer, 400, 422)
            assert "multipart" not in detail


@pytest.mark.parametrize("path", ["/healthz", "/glitches", "/ui/login", "/glitches/none"])
def test_a_head_is_answered_as_a_get_without_its_body(service: Service, path: str) -> None:
    with service.client("reader") as client:
        whole, head = client.get(path), client.head(path)
    assert head.status_code == whole.status_code
    assert head.content == b""
    assert head.headers["content-length"] == whole.headers["content-length"]
    assert head.headers["content-type"] == whole.headers["content-type"]


def test_a_full_disk_is_reported_as_such(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = np.random.default_rng(1).bytes(2_000_000)
    with small_file_system(tmp_path) as folder, service.client("submitter") as client:
        monkeypatch.setattr(tempfile, "tempdir", str(folder))
        monkeypatch.setattr(service.settings, "data_dir", folder)
        filler = folder / "filler"
        filler.write_bytes(bytes(shutil.disk_usage(folder).free - 500_000))
        answers = [
            client.post("/embed", files={"file": ("a.h5", content)}),
            client.post("/batches", files={"file": ("a.tar", content)}),
        ]
        filler.write_bytes(bytes(shutil.disk_usage(folder).free + filler.stat().st_size))
        answers.append(client.get("/exports", params={"format": "hdf5"}))
        for answer in answers:
            assert_problem(answer, 507)
        assert "disk of temporary files (TMPDIR)" in assert_problem(client.get("/readyz"), 503)
        filler.unlink()
        monkeypatch.setattr(readiness, "disk_free_bytes", lambda _: 8_000_000)
        assert "make room" in assert_problem(client.get("/readyz"), 503)
        assert client.post("/embed", files={"file": ("a.h5", content)}).status_code == 415


def test_a_text_that_no_database_takes_is_a_bad_request(service: Service) -> None:
    with service.client() as client:
        assert "NUL" in assert_problem(client.get("/jobs?kind=%00"), 400)


def test_no_error_waits_for_a_thread_to_be_answered(service: Service) -> None:
    """Refusals to 256 clients used to come over a second late, each waiting for a free thread."""
    handlers = create_app(service.settings).exception_handlers
    assert BusyError in handlers
    assert [kind for kind, act in handlers.items() if not inspect.iscoroutinefunction(act)] == []


def test_truth_is_no_number(service: Service) -> None:
    with service.client("submitter") as client:
        answer = client.post("/exports", json={"snr_max": True})
        assert "not true or false" in assert_problem(answer, 422)
        assert client.post("/exports", json={"is_labelled": True}).status_code == 202


def test_a_refused_method_lists_the_allowed_ones(service: Service) -> None:
    with service.client("submitter") as client:
        answer = client.put("/exports")
        assert_problem(answer, 405)
        assert answer.headers["allow"] == "GET, HEAD, POST"


def test_filters_of_the_largest_numbers_come_back_as_numbers() -> None:
    """PostgreSQL writes 1.8e308 in JSON as a whole number of 309 digits."""
    filters = filters_from_json({"snr_max": 17976931348623157 * 10**292, "snr_min": 0})
    assert filters.snr_max == 1.7976931348623157e308
    assert isinstance(filters.snr_min, float)


def test_a_caller_without_a_token_who_declares_ten_gigabytes_is_refused_at_once(
    service: Service,
) -> None:
    host, port = service.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as client:
        started = time.monotonic()
        client.sendall(
            b"POST /embed HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000000\r\n"
            b"Content-Type: multipart/form-data; boundary=x\r\n\r\n"
        )
        assert client.recv(200).startswith(b"HTTP/1.1 413")
        assert is_within(time.monotonic() - started, 5)


def test_public_routes_are_documented_as_open(service: Service) -> None:
    with service.client("reader") as client:
        paths = client.get("/openapi.json").json()["paths"]
    for path in ("/metrics", "/search/similarity_search_restful_API/"):
        assert {} in paths[path]["get"]["security"]
    assert {} in paths["/glitches/{glitch_id}/views/{duration}.png"]["get"]["security"]
    assert {} not in paths["/glitches"]["get"]["security"]


def _raw(service: Service, request: bytes) -> tuple[bytes, bytes]:
    """Return head and body of the response, after which the service closes the connection."""
    address = httpx.URL(service.url)
    with socket.create_connection((address.host, address.port), timeout=30) as client:
        client.sendall(request)
        answer = b"".join(iter(lambda: client.recv(1 << 16), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    return head, body


@pytest.mark.parametrize("path", ["/exports?format=csv", "/healthz", "/ui/login"])
def test_an_older_client_gets_a_file_without_marks_in_it(service: Service, path: str) -> None:
    """HTTP/1.0 has no chunks: their lengths used to appear as lines of the CSV."""
    token = service.tokens["reader"]
    request = f"GET {path} HTTP/1.0\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    head, body = _raw(service, request)
    assert head.startswith(b"HTTP/1.1 200")
    assert b"transfer-encoding" not in head.lower()
    assert f"content-length: {len(body)}".encode() in head.lower()
    with service.client("reader") as client:
        assert abs(len(client.get(path).content) - len(body)) < 10  # form tokens differ


_HOST = b"Host: x\r\n"
_CHUNKS = b"Transfer-Encoding: chunked\r\n"


@pytest.mark.parametrize(
    "head",
    [
        b"GET /healthz HTTP/1.1\r\n",
        b"GET /healthz HTTP/1.1\r\n" + 2 * _HOST,
        b"GET /healthz HTTP/1.0\r\n" + 2 * _HOST,
        b"GET /healthz HTTP/1.1\r\n" + _HOST + b"Content-Length: 2\r\nContent-Length: 3\r\n",
        b"GET /healthz HTTP/1.1\r\n" + _HOST + b"Content-Length: 2\r\n" + _CHUNKS,
        b"GET /healthz HTTP/1.1\r\n" + _HOST + b"Transfer-Encoding: xchunked\r\n",
        b"GET /healthz HTTP/1.1\r\n" + _HOST + b"X-A: folded\r\n into two\r\n",
        b"GET /healthz HTTP/1.1\n" + _HOST,
        b"GET /\xff HTTP/1.1\r\n" + _HOST,
        b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n" + _HOST,
    ],
)
def test_ambiguous_request_heads_are_refused(service: Service, head: bytes) -> None:
    answer, body = _raw(service, head + b"\r\n")
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"send one Host" in body


class _Impatient(TimedHttpProtocol):
    head_within_s = 0.5
    longest_s = 2.0
    max_idle = 50


@contextmanager
def _impatient() -> Iterator[int]:
    """Yield the port of a server with short time limits."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        _answer, http=_Impatient, log_config=None, lifespan="off", timeout_keep_alive=1
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(30)
        listener.close()


def _long_head() -> bytes:
    return b"GET / HTTP/1.1\r\n" + b"X-A: y\r\n" * 200_000


_LARGE_BYTES = 50_000_000


async def _answer(scope: dict, receive, send) -> None:
    if scope["path"] == "/never":
        await asyncio.sleep(60)
    elif scope["path"] == "/headers":
        while (await receive())["more_body"]:
            pass
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": repr(scope["headers"]).encode()})
    elif scope["path"] == "/large":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": bytes(_LARGE_BYTES)})
    else:
        await asyncio.sleep(1 if scope["path"] == "/slow" else 0)
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})


@pytest.mark.parametrize("begin", [b"", b"GET / HTTP/1.1\r\nHost: x\r\n"])
def test_a_head_that_does_not_come_ends_the_connection(begin: bytes) -> None:
    with _impatient() as port:
        assert httpx.get(f"http://127.0.0.1:{port}/", timeout=30).status_code == 204
        with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
            client.sendall(begin)
            assert client.recv(100) == b""
        with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
            client.sendall(_long_head()[: MAX_HEAD_BYTES + 100_000])
            assert client.recv(12) == b"HTTP/1.1 431"


_POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n"
_CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
_GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize(
    ("begin", "more"),
    [(_POST, b"a"), (_POST, b"abcde"), (_GET, b"\r\n"), (_CHUNKED, b"5\r\nabcde\r\n0\r\nT: a")],
)
def test_bytes_after_a_response_do_not_keep_a_connection(begin: bytes, more: bytes) -> None:
    with _impatient() as port, socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        client.sendall(begin)
        assert client.recv(1000).startswith(b"HTTP/1.1 204")
        client.sendall(more)
        assert client.recv(100) == b""


@pytest.mark.parametrize("endless", [b"0\r\n" + b"T: t\r\n" * 100_000, b"5;" + b"e" * 500_000])
@pytest.mark.parametrize("path", [b"/", b"/never"])
def test_endless_trailers_or_chunk_extensions_are_cut_off(endless: bytes, path: bytes) -> None:
    with _impatient() as port, socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        with suppress(ConnectionError):  # cut off while sending
            client.sendall(_CHUNKED.replace(b"/", path, 1) + endless)
        with suppress(ConnectionResetError):
            while client.recv(1000):
                pass


def test_a_request_after_a_body_that_was_answered_early_is_answered() -> None:
    with _impatient() as port, socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        client.sendall(_POST)
        assert client.recv(1000).startswith(b"HTTP/1.1 204")
        client.sendall(b"abcde" + _GET)
        assert client.recv(1000).startswith(b"HTTP/1.1 204")


@pytest.mark.parametrize("longest_s", [0.0, 2.0])
@pytest.mark.parametrize("is_last", [False, True])
def test_an_answer_before_the_end_of_a_body_is_not_lost(
    longest_s: float, is_last: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection is not closed while a body arrives: a reset would lose the response."""
    monkeypatch.setattr(_Impatient, "longest_s", longest_s)
    body = bytes(20_000_000)
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n" % len(body)
    head += b"Connection: close\r\n\r\n" if is_last else b"\r\n"
    with _impatient() as port, socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        client.sendall(head + body)
        assert client.recv(1000).startswith(b"HTTP/1.1 204")
        assert client.recv(1000) == b""


def test_a_body_that_is_too_large_is_refused_while_it_is_still_sent(service: Service) -> None:
    length = int(service.settings.max_upload_mb * 1e6) + 1
    host, port = httpx.URL(service.url).host, httpx.URL(service.url).port
    for content_type in (b"multipart/form-data; boundary=x", b"application/json"):
        head = b"POST /embed HTTP/1.1\r\nHost: x\r\nContent-Type: %b\r\n" % content_type
        with socket.create_connection((host, port), timeout=30) as client:
            client.sendall(head + b"Content-Length: %d\r\n\r\n" % length + bytes(20_000_000))
            assert client.recv(12) == b"HTTP/1.1 413"


def test_requests_are_not_piled_up_before_an_answer() -> None:
    slow = _GET.replace(b"/", b"/slow", 1)
    with _impatient() as port, socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        client.sendall(slow + _GET * 10)
        got = b""
        while got.count(b"HTTP/1.1 204") < 11:
            got += client.recv(10_000)
    with _impatient() as port, socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        client.sendall(slow + _GET * 1000)
        assert client.recv(100) == b""


def test_trailers_are_no_headers() -> None:
    with _impatient() as port, socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        client.sendall(_CHUNKED.replace(b"/", b"/headers", 1))
        client.sendall(b"5\r\nabcde\r\n0\r\nAuthorization: Bearer t\r\n\r\n")
        answer = client.recv(1000)
        assert answer.startswith(b"HTTP/1.1 200")
        assert b"authorization" not in answer


def test_idle_connections_are_closed_for_active_ones() -> None:
    with _impatient() as port, ExitStack() as stack:
        kept = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30))
        kept.sendall(_GET.replace(b"/", b"/slow", 1))
        silent = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30))
            for _ in range(_Impatient.max_idle + 1)
        ]
        assert silent[0].recv(1) == b""
        silent[-1].sendall(_GET)
        assert silent[-1].recv(12) == b"HTTP/1.1 204"
        assert kept.recv(12) == b"HTTP/1.1 204"


def test_a_client_that_does_not_read_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "READ_WITHIN_S", 1)
    with _impatient() as port, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(30)
        client.connect(("127.0.0.1", port))
        client.sendall(_GET.replace(b"/", b"/large", 1))
        time.sleep(6)  # the kernel probes a full window ever less often
        got = 0
        with suppress(ConnectionResetError):
            while part := client.recv(1 << 20):
                got += len(part)
        assert got < _LARGE_BYTES


def test_a_connection_ends_with_an_answer_once_it_is_old() -> None:
    with _impatient() as port, httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        assert "connection" not in client.get("/").headers
        over_at = time.monotonic() + _Impatient.longest_s + 30
        while client.get("/").headers.get("connection") != "close":
            assert time.monotonic() < over_at
            time.sleep(0.1)
        assert "connection" not in client.get("/").headers  # on another connection


def test_temporary_files_of_killed_processes_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    old = Path(tempfile.mkdtemp(prefix=PREFIXES[0], dir=tmp_path))
    (old / "upload-0").write_bytes(b"half")
    other = tmp_path / "somebody-elses"
    other.mkdir()
    assert clean_up_leftovers() == 0
    os.utime(old, (0, 0))
    assert clean_up_leftovers() == 1
    assert not old.exists()
    assert other.exists()


def test_a_killed_worker_leaves_no_folder_behind(tmp_path: Path) -> None:
    """Each value shared with its children used to have a folder in the temporary folder."""
    code = "import os, worker.celery_process; os._exit(0)"
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    assert list(tmp_path.iterdir()) == []


def test_metrics_tell_what_is_in_use(service: Service) -> None:
    with service.client("reader") as client:

        def is_idle() -> bool:  # a place is freed after the response is sent
            metrics = client.get("/metrics").text
            places = 'glitch_requests_by_place{kind="read",state="at_work"} 0.0'
            return places in metrics and "glitch_decoders_at_work 0.0" in metrics

        eventually(is_idle)
        text = client.get("/metrics").text
    assert "glitch_database_connections_in_use" in text
    assert float(text.split("glitch_data_disk_free_bytes ")[-1].split()[0]) > 0


def test_log_lines_name_the_client_and_the_token(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    logger = logging.getLogger("app.access")
    logger.addHandler(caplog.handler)

    def found() -> set[tuple[str, str | None]]:
        lines = [one.__dict__ for one in caplog.records if one.name == "app.access"]
        return {(line["client"], line["who"]) for line in lines}

    before = logger.level
    logger.setLevel(logging.INFO)
    try:
        with service.client("reviewer") as client:
            client.get("/classes")
        with service.client(None) as client:
            client.get("/classes")
        eventually(lambda: len(found()) >= 2, message=lambda: caplog.text)
    finally:
        logger.removeHandler(caplog.handler)
        logger.setLevel(before)
    assert found() == {("127.0.0.1", "reviewer"), ("127.0.0.1", None)}
