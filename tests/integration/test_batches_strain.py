"""Triggers whose strain spans several files, or is fetched from GWOSC or a frame server."""

from __future__ import annotations

import gzip
import io
import json
import threading
from collections.abc import Iterator
from decimal import Decimal
from http.server import ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import h5py
import httpx
import numpy as np
import pytest
import sent_batches
from api_fixtures import GPS_START, GPS_TIME, SAMPLE_RATE_HZ, Service, gwosc_hdf5, strain_values
from local_server import QuietHandler, serving

from app.batches.remote import DataFind
from app.core.engine import make_session_factory
from app.core.errors import NotReadyError
from app.jobs.records import JobItem, JobRecord
from worker.runner import JobRunner

VALUES = strain_values(3, seconds=64)
MIDDLE = GPS_START + 32


def table(*times: str, ifo: str = "H1") -> bytes:
    return "".join(["gps_time,ifo\n", *(f"{time},{ifo}\n" for time in times)]).encode()


def frame(first_s: int, last_s: int, start: int = GPS_START) -> tuple[str, bytes]:
    part = VALUES[first_s * SAMPLE_RATE_HZ : last_s * SAMPLE_RATE_HZ]
    name = f"H-H1_GWOSC_4KHZ_R1-{start + first_s}-{last_s - first_s}.hdf5"
    return name, gwosc_hdf5(part, start=start + first_s)


def ingest(service: Service, rows: bytes, **fields: str) -> tuple[JobRecord, list[JobItem]]:
    """Send a table without strain and work on it; return the job and its items."""
    return sent_batches.ingest(service, rows, "t.csv", **fields)


def test_adjacent_files_are_joined_and_a_gap_is_reported(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for first_s, last_s in ((0, 32), (32, 48), (50, 64)):
        name, content = frame(first_s, last_s)
        if first_s == 32:
            name, content = f"{name}.gz", gzip.compress(content)
        (tmp_path / name).write_bytes(content)
    monkeypatch.setattr(service.settings, "strain_dir", tmp_path)
    job, items = ingest(service, table(f"{MIDDLE}.25", f"{MIDDLE + 15}.5"))
    assert [item.state for item in items] == ["done", "failed"], items
    with service.client() as client:
        found = client.get(f"/glitches/{items[0].glitch_id}").json()
    assert found["views"] == [0.5, 1.0, 2.0, 4.0]  # neither file alone gives any
    assert "too near the edge" in str(items[1].reason)
    gap = f"No other strain of H1 is adjacent to {GPS_START} to {MIDDLE + 16}."
    assert gap in str(items[1].reason)
    assert job.failed == 1


@pytest.mark.parametrize(
    ("attributes", "factor", "is_read", "reason"),
    [
        ({}, 1.0, True, ""),
        ({}, 1.1, False, "'b.hdf5' and 'a.hdf5' hold different samples of the same 32 s"),
        ({"channel": "H1:OTHER"}, 1.1, True, "'a.hdf5' holds strain of the same time and was not"),
    ],
)
def test_other_strain_of_the_same_time_is_never_passed_over_in_silence(
    service: Service, attributes: dict[str, str], factor: float, is_read: bool, reason: str
) -> None:
    part = VALUES[: 32 * SAMPLE_RATE_HZ]
    content = [
        gwpy_hdf5(part, channel="H1:STRAIN"),
        gwpy_hdf5(factor * part, **{"channel": "H1:STRAIN"} | attributes),
    ]
    files = {"b.hdf5": content[0], "t.csv": table(f"{GPS_TIME}"), "a.hdf5": content[1]}
    _, [item] = sent_batches.ingest(service, sent_batches.tar(files))
    assert (item.state != "failed") == is_read, item
    assert ("a.hdf5" in (item.reason or "")) == bool(reason)
    assert reason in (item.reason or "")


def test_strain_without_a_detector_says_what_to_give(service: Service) -> None:
    part = VALUES[: 32 * SAMPLE_RATE_HZ]
    files = {"a.hdf5": gwpy_hdf5(part, channel="STRAIN"), "t.csv": table(f"{GPS_TIME}")}
    _, items = sent_batches.ingest(service, sent_batches.tar(files))
    assert "its detector: begin its name with it (H1_…), or give ifo" in str(items[0].reason)
    packed = gzip.compress(files["a.hdf5"])
    for name, content, options in (
        ("H1_a.hdf5", files["a.hdf5"], {}),
        ("H1_a.hdf5.gz", packed, {}),
        ("a.hdf5", files["a.hdf5"], {"ifo": "H1"}),
    ):
        renamed = {name: content, "t.csv": files["t.csv"]}
        _, [item] = sent_batches.ingest(service, sent_batches.tar(renamed), **options)
        assert item.state != "failed", item


def gwpy_hdf5(values: np.ndarray, channel: str) -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        series = file.create_dataset("strain", data=values)
        series.attrs.update({"x0": GPS_START, "dx": 1 / SAMPLE_RATE_HZ, "channel": channel})
    return buffer.getvalue()


def test_triggers_are_centred_on_the_loudest_moment(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Triggers keep their times: two triggers of one burst are two glitches with the same peak."""
    name, content = frame(0, 64)
    (tmp_path / name).write_bytes(content)
    monkeypatch.setattr(service.settings, "strain_dir", tmp_path)
    times = [f"{GPS_TIME + Decimal(offset)}" for offset in ("-0.05", "0.1")]
    for centre in ("true", "false"):
        _, items = ingest(service, table(*times), merge_window_s="0", centre=centre)
        assert [item.state for item in items] == ["done", "done"], items
        with service.client() as client:
            found = [client.get(f"/glitches/{item.glitch_id}").json() for item in items]
        assert sorted(one["gps_time"] for one in found) == sorted(times)
        for one in found:
            assert abs(Decimal(one["peak_gps_time"]) - GPS_TIME) < Decimal("0.006")
            middle = one["peak_gps_time"] if centre == "true" else one["gps_time"]
            assert one["centre_gps_time"] == middle
            assert one["centring"]
    _, again = ingest(service, table(*times), merge_window_s="0")
    assert [item.state for item in again] == ["skipped", "skipped"]


class Gwosc(ThreadingHTTPServer):
    """A server that answers two requests of GWOSC: the list of files, and one file."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.requested: list[str] = []
        self.is_broken = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(QuietHandler):
    server: Gwosc

    def reply(self) -> None:
        self.server.requested.append(self.path)
        parts = urlsplit(self.path)
        name = parts.path.rpartition("/")[2]
        if self.server.is_broken:
            self.answer(404, b"no")
        elif name == "strain-files":
            self.answer(200, json.dumps(self._listed(parse_qs(parts.query))).encode())
        elif name in self.server.files:
            self.answer(200, self.server.files[name])
        else:
            self.answer(404, b"there is no such file")

    def _listed(self, query: dict[str, list[str]]) -> dict[str, object]:
        found = []
        for name in self.server.files:
            start, length = (int(part) for part in name.removesuffix(".hdf5").split("-")[-2:])
            is_inside = start < int(query["stop"][0]) and start + length > int(query["start"][0])
            if is_inside and name.startswith(f"{query['detector'][0][0]}-{query['detector'][0]}_"):
                found.append({"hdf5_url": f"{self.server.url}/archive/data/O9/{name}"})
        return {"results": found, "results_count": len(found), "num_pages": 1, "next": None}


@pytest.fixture
def gwosc() -> Iterator[Gwosc]:
    server = Gwosc()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_strain_comes_from_gwosc_once(
    service: Service, gwosc: Gwosc, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = GPS_START + 4096
    for first_s, last_s in ((0, 32), (32, 64)):
        name, content = frame(first_s, last_s, start)
        gwosc.files[name] = content
    monkeypatch.setattr(service.settings, "gwosc_url", gwosc.url)
    rows = table(f"{start + 32}.25", f"{start + 40}.5", f"{start + 5000}")
    _, items = ingest(service, rows)
    assert [item.state for item in items] == ["done", "done", "failed"], items
    assert "no open strain of H1" in str(items[2].reason)
    kept = service.settings.data_dir / "batches" / "gwosc" / "4096"
    assert {path.name for path in kept.iterdir()} == set(gwosc.files)
    transfers = [path for path in gwosc.requested if path.endswith(".hdf5")]
    assert len(transfers) == 2
    job, items = ingest(service, table(f"{start + 30}.5"), sample_rate_hz="8192")
    assert "4096 and 16384 Hz" in str(items[0].reason)
    assert job.state == "failed"
    with service.client() as client:
        found = client.get("/glitches", params={"gps_start": start, "limit": 5}).json()["items"]
    assert {Decimal(one["gps_time"]) - start for one in found} == {
        Decimal("32.25"),
        Decimal("40.5"),
    }


def test_an_unreachable_network_is_reported_and_a_retry_succeeds(
    service: Service, gwosc: Gwosc, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = GPS_START + 3 * 4096
    name, content = frame(0, 64, start)
    gwosc.files[name] = content
    gwosc.is_broken = True
    monkeypatch.setattr(service.settings, "gwosc_url", gwosc.url)
    monkeypatch.setattr("app.jobs.leases.MAX_ATTEMPTS", 1)
    job, items = ingest(service, table(f"{start + 30}.5"))
    assert job.state == "failed"
    assert "cannot be reached" in str(items[0].reason)
    assert "GLITCH_STRAIN_DIR" in str(job.detail)
    gwosc.is_broken = False
    assert client.post(f"/jobs/{job.id}/retry").status_code == 200
    JobRunner(make_session_factory(service.engine), service.settings).work(job.id)
    assert client.get(f"/jobs/{job.id}").json()["progress"]["done"] == 1
    assert np.isfinite(VALUES).all()


class _FrameServer(QuietHandler):
    """Answers GWDataFind's request for the frames that cover a time interval."""

    folder: Path
    requested: list[str]
    is_other = False  # whether it is a web server, but not GWDataFind

    def reply(self) -> None:
        type(self).requested.append(self.path)
        _, first = self.path.removesuffix("/file.json").rsplit("/", 1)
        start, end = (int(one) for one in first.split(","))
        spans = {path: path.stem.split("-")[2:] for path in self.folder.glob("*.hdf5")}
        urls = [
            f"file://localhost{path}"
            for path, (at, length) in spans.items()
            if int(at) < end and int(at) + int(length) > start and "/H1_HOFT/" in self.path
        ]
        self.answer(200, b"<html>Welcome</html>" if self.is_other else json.dumps(urls).encode())


def server_of(folder: Path, *, is_other: bool = False) -> type[_FrameServer]:
    known = {"folder": folder, "requested": [], "is_other": is_other}
    return type("Handler", (_FrameServer,), known)


@pytest.fixture
def frame_server(tmp_path: Path) -> Iterator[str]:
    with serving(server_of(tmp_path)) as url:
        yield url


def test_strain_is_found_by_the_frame_server(
    service: Service, frame_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for first_s, last_s in ((0, 32), (32, 64)):
        name, content = frame(first_s, last_s, start=GPS_START + 4000)
        (tmp_path / name).write_bytes(content)
    monkeypatch.setattr(service.settings, "datafind_url", frame_server)
    monkeypatch.setattr(service.settings, "frame_types", {"H1": "H1_HOFT", "L1": "L1_HOFT"})
    _, [item] = ingest(service, table(f"{MIDDLE + 4000}.25"))
    assert item.state == "done", item
    for ifo, at, reason in (
        ("H1", MIDDLE + 9000, "The frame server has no H1_HOFT at GPS time"),
        ("L1", MIDDLE + 4000, "The frame server has no L1_HOFT at GPS time"),
        ("V1", MIDDLE + 4000, "No frame type is set for V1 (set for: H1, L1)"),
    ):
        _, [item] = ingest(service, table(f"{at}.25", ifo=ifo))
        assert str(item.reason).startswith(reason)
    monkeypatch.setattr(service.settings, "datafind_url", frame_server.rstrip("0123456789") + "9")
    _, items = ingest(service, table(f"{MIDDLE + 4000}.75"))
    assert [item.state for item in items] == ["queued"]  # as when GWOSC is unreachable


def test_another_kind_of_server_is_distinguished_from_an_absent_one(tmp_path: Path) -> None:
    with serving(server_of(tmp_path, is_other=True)) as url:
        other = DataFind(url, {"H1": "H1_HOFT"})
        with pytest.raises(NotReadyError, match="check GLITCH_DATAFIND_URL"):
            other.files("H1", Decimal(MIDDLE))
    away = DataFind("http://127.0.0.1:9", {"H1": "H1_HOFT"})
    with pytest.raises(NotReadyError, match="cannot be reached"):
        away.files("H1", Decimal(MIDDLE))


@pytest.mark.parametrize("kind", ["lcf", "ffl"])
def test_strain_is_found_by_cache_files(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    start = GPS_START + (5000 if kind == "lcf" else 6000)
    name, content = frame(0, 64, start=start)
    path = elsewhere / name
    path.write_bytes(content)
    lines = {
        "lcf": f"H GWOSC_4KHZ_R1 {start} 64 file://localhost{path}\n",
        "ffl": f"{path} {start}.000000 64.000000 0 0\n",
    }
    folder = tmp_path / "strain"
    folder.mkdir()
    far = f"H GWOSC_4KHZ_R1 {start} 64 osdf:///igwn/{name}\n"
    (folder / f"frames.{kind}").write_text("# made by hand\n" + far + lines[kind])
    monkeypatch.setattr(service.settings, "strain_dir", folder)
    _, [item] = ingest(service, table(f"{start + 32}.25"))
    assert item.state == "done", item
    path.unlink()
    _, [item] = ingest(service, table(f"{start + 33}.25"))
    assert ", which the server's strain folder, a cache file" in str(item.reason)


def test_a_frame_of_both_sites_in_the_folder_serves_both(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = GPS_START + 7000
    with h5py.File(tmp_path / f"HL-HL_TEST-{start}-64.hdf5", "w") as file:
        for ifo, values in (("H1", VALUES), ("L1", VALUES[::-1])):
            series = file.create_dataset(f"{ifo}:GDS-CALIB_STRAIN", data=values)
            series.attrs.update(x0=start, dx=1 / SAMPLE_RATE_HZ, channel=f"{ifo}:GDS-CALIB_STRAIN")
    monkeypatch.setattr(service.settings, "strain_dir", tmp_path)
    rows = table(f"{start + 32}.25") + table(f"{start + 33}.25", ifo="L1").partition(b"\n")[2]
    _, items = ingest(service, rows)
    assert [item.state for item in items] == ["done", "done"], items
    with service.client() as client:
        found = [client.get(f"/glitches/{item.glitch_id}").json()["ifo"] for item in items]
    assert found == ["H1", "L1"]
