"""Answers of servers elsewhere: whole, within their bounds, or not at all."""

from __future__ import annotations

import contextlib
import json
import time
from decimal import Decimal
from types import SimpleNamespace

import pytest
from local_server import QuietHandler, serving

from app.batches.quality import SegmentDatabase
from app.core.fetching import UNREACHED, AnswerTooLongError, Fetcher, fetch, is_trouble


class _Server(QuietHandler):
    protocol_version = "HTTP/1.1"
    seen: dict[str, list[str]]

    def reply(self) -> None:
        self.seen.setdefault("clients", []).append(f"{self.client_address}")
        self.seen.setdefault("tokens", []).append(self.headers.get("authorization", ""))
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("location", "/there")
            self.send_header("content-length", "0")
            self.end_headers()
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
        assert b"active" in fetch(f"{address}/", most_bytes=99, patience_s=9).content
        with pytest.raises(AnswerTooLongError):
            fetch(f"{address}/", most_bytes=9, patience_s=9)
        with pytest.raises(TimeoutError):
            fetch(f"{address}/slow", most_bytes=99, patience_s=0.2)
        assert fetch(f"{address}/gone", most_bytes=99, patience_s=9).status_code == 404
    with pytest.raises(UNREACHED):
        fetch(f"{address}/", most_bytes=99, patience_s=9)


def test_redirects_are_followed_where_that_is_asked_for(server: type[_Server]) -> None:
    with serving(server) as address:
        assert fetch(f"{address}/moved", most_bytes=99, patience_s=9).status_code == 302
        followed = fetch(f"{address}/moved", most_bytes=99, patience_s=9, follow_redirects=True)
        assert followed.status_code == 200


def test_connections_are_kept_from_answer_to_answer(server: type[_Server]) -> None:
    with serving(server) as address, Fetcher(99, 9) as fetcher:
        assert {fetcher.get(f"{address}/").status_code for _ in range(3)} == {200}
    assert len(set(server.seen["clients"])) == 1


def test_which_trouble_passes() -> None:
    assert [is_trouble(status) for status in (200, 404, 408, 429, 500, 503)] == [
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
