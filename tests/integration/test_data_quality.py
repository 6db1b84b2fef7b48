"""Data-quality flags from files and from a segment database exclude triggers and mark glitches."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from api_fixtures import (
    GPS_START,
    GPS_TIME,
    Service,
    assert_problem,
    gwosc_hdf5,
    picture,
    strain_values,
)
from gwpy.segments import DataQualityFlag
from local_server import QuietHandler, serving
from sent_batches import ingest, tar
from sqlalchemy import text
from web_fixtures import Walker

from app.batches import quality
from app.core.engine import make_session_factory
from app.jobs.records import JobItem
from worker.runner import JobRunner

AT = int(GPS_TIME)
READY = "H1:DMT-READY:1"
STRAIN = {f"H-H1_TEST-{GPS_START}-32.hdf5": gwosc_hdf5(strain_values(3), start=GPS_START)}
Send = Callable[..., list[JobItem]]


@pytest.fixture
def send(service: Service) -> Send:
    """Return a function that sends a tar of files, works on it and returns its items."""

    def send(files: Mapping[str, bytes], **fields: str) -> list[JobItem]:
        job, items = ingest(service, tar(files), **fields)
        assert items, job.detail
        return items

    return send


@pytest.fixture(autouse=True)
def no_glitches(service: Service) -> None:
    with service.engine.begin() as connection:
        connection.execute(text("DELETE FROM glitch"))


def triggers(*times: int) -> dict[str, bytes]:
    rows = "".join(f"{at},H1\n" for at in times)
    return {"t.csv": f"gps_time,ifo\n{rows}".encode()}


def flag_file(folder: Path, kind: str, *, name: str = READY, is_good: bool = True) -> bytes:
    flag = DataQualityFlag(name, active=[(AT - 2, AT + 1)], known=[(AT - 9, AT + 9)])
    flag.isgood = is_good
    path = folder / f"flag.{kind}"
    if kind == "txt":
        flag.active.write(path, format="segwizard")
    else:
        path.unlink(missing_ok=True)
        flag.write(path, format={"h5": "hdf5"}.get(kind, kind))
    return path.read_bytes()


def marks(client: httpx.Client, **query: Any) -> dict[int, list[str]]:
    """Return the flags of each glitch that passes the filters, by whole GPS second."""
    items = client.get("/glitches", params=query).json()["items"]
    return {int(float(one["gps_time"])): one["data_quality"] for one in items}


@pytest.mark.parametrize("kind", ["txt", "h5", "json"])
def test_triggers_outside_active_segments_are_passed_over(
    send: Send, client: httpx.Client, tmp_path: Path, kind: str
) -> None:
    """The flag comes in a file next to the table; the times of its segments are not triggers."""
    name = f"H1-segments.{kind}"
    items = send({name: flag_file(tmp_path, kind)} | triggers(AT, AT + 3) | STRAIN)
    taken, passed = sorted(items, key=lambda item: item.state)
    assert (taken.state, passed.state) == ("done", "skipped")
    assert "lies outside the active segments of the flag H1" in str(passed.reason)
    assert marks(client) == {AT: [name if kind == "txt" else READY]}


def test_flags_only_mark(
    send: Send, service: Service, client: httpx.Client, tmp_path: Path
) -> None:
    flags = {
        "good.h5": flag_file(tmp_path, "h5"),
        "bad.h5": flag_file(tmp_path, "h5", name="H1:BAD:2", is_good=False),
        "other.h5": flag_file(tmp_path, "h5", name="L1:OTHER:1"),
    }
    items = send(flags | triggers(AT, AT + 3) | STRAIN, segments="mark")
    assert [item.state for item in items] == ["done", "done"]
    assert marks(client) == {AT: ["H1:BAD:2", READY], AT + 3: []}
    assert marks(client, data_quality=READY) == {AT: ["H1:BAD:2", READY]}
    assert marks(client, data_quality=[READY, "H1:NO:1"]) == {}
    assert marks(client, not_data_quality="H1:BAD:2") == {AT + 3: []}
    assert len(marks(client, not_data_quality="H1:NO:1")) == 2
    [marked] = client.get("/glitches", params={"data_quality": READY}).json()["items"]
    with Walker(service, "reader") as walker:
        address = f"/ui/glitches?flag={READY}&view=table&column=quality"
        assert "H1:BAD:2 H1:DMT-READY:1" in walker.get(address).text
        address = "/ui/glitches?not_flag=H1:BAD:2&view=table&column=quality"
        shown = walker.get(address).text
        assert "not H1:BAD:2" in shown  # the title of the page names the filter
        assert READY not in shown
        page = walker.client.get(f"/ui/glitches/{marked['id']}").text
        assert "/ui/glitches?flag=H1%3ADMT-READY%3A1" in page


def test_an_export_sent_back_marks_what_is_stored(
    send: Send, client: httpx.Client, tmp_path: Path
) -> None:
    send(triggers(AT, AT + 3) | STRAIN)
    assert marks(client) == {AT: [], AT + 3: []}
    export = client.get("/exports").content
    items = send({"good.h5": flag_file(tmp_path, "h5"), "e.csv": export} | STRAIN)
    assert [item.state for item in items] == ["skipped", "skipped"]
    assert marks(client) == {AT: [READY], AT + 3: []}
    rows = list(csv.DictReader(io.StringIO(client.get("/exports").text)))
    assert sorted(row["data_quality"] for row in rows) == ["", READY]
    send({"e.csv": client.get("/exports").content} | STRAIN)  # repeats the same flags
    assert marks(client) == {AT: [READY], AT + 3: []}


class _SegmentServer(QuietHandler):
    """A segment database with the addresses and responses of DQSEGDB (LIGO-T1300625)."""

    requested: list[str]
    body: bytes | None

    def reply(self) -> None:
        type(self).requested.append(self.path)
        address = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(address.query).items()}
        is_known = address.path == "/dq/H1/DMT-READY/1"
        body = self.body
        if body is None:
            start, end = int(query["s"]), int(query["e"])
            assert set(query["include"].split(",")) == {"active", "known", "metadata"}
            active = [[max(AT - 2, start), min(AT + 1, end)]]
            metadata = {"active_indicates_ifo_badness": False}
            what = {"ifo": "H1", "name": "DMT-READY", "version": 1, "metadata": metadata}
            body = json.dumps(what | {"known": [[start, end]], "active": active}).encode()
        self.answer(200 if is_known else 404, body)


@pytest.fixture
def server(service: Service, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[_SegmentServer]]:
    handler = type("Handler", (_SegmentServer,), {"requested": [], "body": None})
    with serving(handler) as address:
        monkeypatch.setattr(service.settings, "segment_server", address)
        yield handler


def test_flags_of_the_segment_database(
    send: Send, client: httpx.Client, server: type[_SegmentServer]
) -> None:
    items = send(triggers(AT + 3, AT, AT - 1) | STRAIN, flags=f"{READY}, L1:DMT-READY:1")
    assert sorted(item.state for item in items) == ["done", "done", "skipped"]
    assert marks(client) == {AT - 1: [READY], AT: [READY]}
    [query] = server.requested  # one request for all, and none for a detector without triggers
    assert (f"s={AT - 1}&" in query, f"e={AT + 4}&" in query) == (True, True)
    scan = {f"H1_{AT}.5_spectrogram_0.5.png": picture(5)}
    [item] = send(scan, flags=READY)
    assert item.state == "done"
    with_scan = client.get("/glitches", params={"origin": "upload"}).json()["items"]
    assert [READY] in [one["data_quality"] for one in with_scan if one["gps_time"] == f"{AT}.5"]


@pytest.mark.parametrize(
    ("flags", "answer", "reason"),
    [
        ("H1:NEVER-DEFINED:3", None, "The segment database has no flag H1:NEVER-DEFINED:3"),
        (READY, b"<html>Sign in</html>", "does not respond like a segment database"),
        (READY, b'{"active": [["x", 5]]}', "does not respond like a segment database"),
        (READY, b'[{"active": []}]', "does not respond like a segment database"),
    ],
)
def test_unusable_answers_of_the_segment_database_fail_with_a_reason(
    service: Service, server: type[_SegmentServer], flags: str, answer: bytes | None, reason: str
) -> None:
    server.body = answer
    assert reason in outcome(service, flags, AT + len(reason) + len(answer or b""))


def test_a_segment_database_that_does_not_answer(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service.settings, "segment_server", "http://127.0.0.1:9")
    assert "cannot be queried for H1:DMT-READY:1" in outcome(service, READY, AT)


class _SlowServer(QuietHandler):
    """Sends its header or its body byte by byte, each byte within the timeout."""

    head: bytes

    def reply(self) -> None:
        self.wfile.write(self.head)
        with contextlib.suppress(OSError):  # until the client gives up
            while True:
                self.wfile.write(b" ")
                self.wfile.flush()
                time.sleep(0.02)


@pytest.mark.parametrize(
    "head", [b"HTTP/1.0 200 OK\r\nX-Long: ", b"HTTP/1.0 200 OK\r\nContent-Length: 99999999\r\n\r\n"]
)
def test_a_segment_database_that_answers_byte_by_byte(
    service: Service, monkeypatch: pytest.MonkeyPatch, head: bytes
) -> None:
    monkeypatch.setattr(quality, "_PATIENCE_S", 0.3)
    with serving(type("Slow", (_SlowServer,), {"head": head})) as address:
        monkeypatch.setattr(service.settings, "segment_server", address)
        assert "cannot be queried for H1:DMT-READY:1 (Timeout" in outcome(
            service, READY, AT + len(head)
        )


def test_an_answer_of_the_segment_database_is_bounded(
    service: Service, server: type[_SegmentServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quality, "_MAX_BYTES", 1 << 17)
    server.body = json.dumps({"active": [[AT, AT + 1]] * 20_000}).encode()
    job, _ = ingest(service, tar(triggers(AT) | STRAIN), flags=READY)
    assert "has over 131,072 bytes: send triggers of a shorter time" in str(job.detail)


def outcome(service: Service, flags: str, at: int) -> str:
    """Return what the chunks of a batch with these flags say once a worker has tried it."""
    sent = {"file": ("t.csv", triggers(at)["t.csv"])}
    with service.client() as client:
        job = client.post("/batches", files=sent, data={"flags": flags}).json()["job"]
        JobRunner(make_session_factory(service.engine), service.settings).work(job)
        record = client.get(f"/jobs/{job}").json()
        assert record["state"] in {"queued", "running", "failed"}
        with service.engine.connect() as connection:
            query = text("SELECT detail FROM job_chunk WHERE job_id = :job")
            return " ".join(map(str, connection.scalars(query, {"job": job})))


def test_flags_that_mean_nothing(client: httpx.Client, server: type[_SegmentServer]) -> None:
    def refused(**fields: str) -> str:
        sent = {"file": ("t.csv", triggers(AT)["t.csv"])}
        return assert_problem(client.post("/batches", files=sent, data=fields), 400)

    assert "is not a data-quality flag: give detector, name" in refused(flags="H1:READY")
    assert "segments must be filter or mark" in refused(segments="maybe")
    assert "at most 20 flags" in refused(flags=" ".join(f"H1:A:{n}" for n in range(21)))
    assert server.requested == []


def test_flags_without_a_segment_database(client: httpx.Client) -> None:
    sent = {"file": ("t.csv", triggers(AT)["t.csv"])}
    answer = client.post("/batches", files=sent, data={"flags": READY})
    assert "GLITCH_SEGMENT_SERVER" in assert_problem(answer, 400)
