"""Responses of other servers: complete and within their limits, or an error."""

from __future__ import annotations

import contextlib
import gzip
import json
import logging
import threading
import time
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Literal

import httpx
import pytest
from local_server import QuietHandler, serving
from pace import is_within

from app.batches.quality import SegmentDatabase
from app.batches.remote import OpenData
from app.core.errors import InvalidRequestError, NotReadyError
from app.core.fetching import (
    UNREACHED,
    AnswerTooLongError,
    Fetcher,
    as_json,
    fetch,
    is_temporary_failure,
)
from app.core.logs import configure_logging
from app.core.settings import Settings
from app.references.archives import PublishedFile
from app.references.job import fetch_piece, size_of


class _Server(QuietHandler):
    protocol_version = "HTTP/1.1"
    seen: dict[str, list[str]]

    def reply(self) -> None:
        self.seen.setdefault("clients", []).append(f"{self.client_address}")
        self.seen.setdefault("packings", []).append(self.headers["accept-encoding"])
        self.seen.setdefault("tokens", []).append(self.headers.get("authorization", ""))
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("location", "/there")
            self.send_header("content-length", "0")
            self.end_headers()
        elif self.path == "/packed":
            self.send_response(200)
            self.send_header("content-encoding", "gzip, gzip")
            self.end_headers()
            self.wfile.write(gzip.compress(gzip.compress(bytes(10_000_000))))
        elif self.path == "/deep":
            self.answer(200, b"[" * 100_000)
        elif self.path.startswith("/endless"):
            self.send_response(206 if "Range" in self.headers else 200)
            self.send_header("content-range", "bytes 0-9/10")
            self.end_headers()
            with contextlib.suppress(OSError):
                while True:
                    self.wfile.write(bytes(1000))
                    time.sleep(0.001)
        elif self.path.startswith("/slow"):
            with contextlib.suppress(OSError):
                while True:
                    self.wfile.write(b"H")
                    self.wfile.flush()
                    time.sleep(0.02)
        else:
            body = json.dumps({"active": [[10, 12]], "metadata": {}}).encode()
            self.answer(404 if self.path == "/gone" else 200, body)


@pytest.fixture
def server() -> type[_Server]:
    return type("Handler", (_Server,), {"seen": {}})


def test_an_answer_comes_whole_or_not_at_all(server: type[_Server]) -> None:
    with serving(server) as address:
        assert b"active" in fetch(f"{address}/", max_bytes=99, patience_s=9).content
        with pytest.raises(AnswerTooLongError):
            fetch(f"{address}/", max_bytes=9, patience_s=9)
        with pytest.raises(TimeoutError):
            fetch(f"{address}/slow", max_bytes=99, patience_s=0.2)
        assert fetch(f"{address}/gone", max_bytes=99, patience_s=9).status_code == 404
    with pytest.raises(UNREACHED):
        fetch(f"{address}/", max_bytes=99, patience_s=9)


def test_a_name_server_that_does_not_answer_keeps_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller does not wait for the thread that resolves a name, which cannot be ended."""
    is_over = threading.Event()
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: is_over.wait(60))
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        fetch("http://g.example/", max_bytes=99, patience_s=0.2)
    assert is_within(time.monotonic() - started, 20)
    is_over.set()


def test_compressed_responses_are_refused(server: type[_Server]) -> None:
    with serving(server) as address:
        with pytest.raises(httpx.DecodingError, match="packed"):
            fetch(f"{address}/packed", max_bytes=20_000_000, patience_s=9)
        assert server.seen["packings"] == ["identity"]


def test_an_answer_nested_without_end_is_no_json(server: type[_Server]) -> None:
    with serving(server) as address:
        answer = fetch(f"{address}/deep", max_bytes=1_000_000, patience_s=9)
    with pytest.raises(ValueError, match="nested too deeply"):
        as_json(answer)


@pytest.mark.parametrize("level", ["debug", "info"])
def test_no_log_has_the_addresses_that_are_asked(
    server: type[_Server],
    level: Literal["debug", "info"],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [caplog.handler])
    monkeypatch.setattr(root, "level", root.level)
    configure_logging(Settings(log_level=level))
    with serving(server) as address:
        fetch(f"{address}/hooks/a-long-secret", max_bytes=99, patience_s=9)
    assert "a-long-secret" not in caplog.text


def test_a_file_without_an_end_is_given_up(
    server: type[_Server], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "fetched"
    with serving(server) as address:
        fetch_piece(PublishedFile("piece", f"{address}/endless"), target, 0, 10, lambda: None)
        assert target.stat().st_size == 10
        with pytest.raises(InvalidRequestError, match="is longer than 5,000 bytes"):
            fetch_piece(
                PublishedFile("a", f"{address}/endless", 5000), target, 0, None, lambda: None
            )
        assert target.stat().st_size == 0
        room = SimpleNamespace(free=8000)
        monkeypatch.setattr("app.references.job.shutil.disk_usage", lambda _: room)
        with pytest.raises(InvalidRequestError, match="is longer than 4,000 bytes"):
            fetch_piece(PublishedFile("a", f"{address}/endless"), target, 0, None, lambda: None)
        monkeypatch.setattr("app.batches.remote._FILE_S", 0.05)
        data = OpenData(address, tmp_path, None)
        data._cached()
        for path in ("endless", "slow"):
            with pytest.raises(NotReadyError, match="cannot be reached"):
                data._fetch(f"{address}/{path}/H-H1_LOSC_4_V1-1126256640-4096.hdf5")


def test_a_file_that_drips_is_given_up(
    server: type[_Server], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow download is given up even if each part arrives in time.

    It would occupy its worker for weeks.
    """
    monkeypatch.setattr("app.references.job._PIECE_S", 0.2)
    monkeypatch.setattr("app.references.job._WHOLE_S", 0.2)
    with serving(server) as address:
        file = PublishedFile("a", f"{address}/slow", 5_000_000)
        for end in (10, None):
            with pytest.raises(NotReadyError, match=r"broke off \(TimeoutError\)"):
                fetch_piece(file, tmp_path / "fetched", 0, end, lambda: None)
        with pytest.raises(NotReadyError, match=r"broke off \(TimeoutError\)"):
            size_of(file)


def test_redirects_are_followed_where_that_is_asked_for(server: type[_Server]) -> None:
    with serving(server) as address:
        assert fetch(f"{address}/moved", max_bytes=99, patience_s=9).status_code == 302
        followed = fetch(f"{address}/moved", max_bytes=99, patience_s=9, follow_redirects=True)
        assert followed.status_code == 200


def test_no_redirect_leads_from_https_to_http() -> None:
    def move(request: httpx.Request) -> httpx.Response:
        if "to" not in request.url.params:
            return httpx.Response(200, stream=httpx.ByteStream(b"there"))
        return httpx.Response(302, headers={"location": request.url.params["to"]})

    def fetched(url: str) -> bytes:
        transport = httpx.MockTransport(move)
        answer = fetch(url, max_bytes=99, patience_s=9, transport=transport, follow_redirects=True)
        return answer.content

    assert fetched("https://a.example/?to=https://b.example") == b"there"
    assert fetched("http://a.example/?to=http://b.example") == b"there"
    with pytest.raises(UNREACHED, match="from https to http"):
        fetched("https://a.example/?to=http://169.254.169.254")


def test_connections_are_kept_from_answer_to_answer(server: type[_Server]) -> None:
    with serving(server) as address, Fetcher(9) as fetcher:
        assert {fetcher.get(f"{address}/", 99).status_code for _ in range(3)} == {200}
    assert len(set(server.seen["clients"])) == 1


def test_temporary_statuses_are_those_worth_a_retry() -> None:
    assert [is_temporary_failure(status) for status in (200, 404, 408, 429, 500, 503)] == [
        *(False, False, True, True, True, True)
    ]


def test_a_scitoken_of_the_machine_is_sent_to_the_segment_database(
    server: type[_Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = SimpleNamespace(_serialized_token="a.b.c")
    monkeypatch.setattr("igwn_auth_utils.scitokens.find_token", lambda *_: found)
    with serving(server) as address:
        flag = SegmentDatabase(address).flag("H1:DMT-READY:1", Decimal(10), Decimal(12))
    assert flag.is_active(Decimal(11))
    assert server.seen["tokens"] == ["Bearer a.b.c"]
