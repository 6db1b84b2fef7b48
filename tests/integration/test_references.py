"""Loading published references into the catalogue, with a small server as their archive."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from api_fixtures import Service, picture
from cluster_helpers import store_run
from sqlalchemy import text
from typer.testing import CliRunner

from app import cli
from app.clusters.service import get_run, labels_since
from app.core.engine import make_session_factory
from app.core.errors import NotReadyError
from app.jobs.service import get_job, list_items
from app.references import job as fetching
from app.references import job as references_job
from app.references.archives import PublishedFile
from worker.runner import JobRunner

O2_TIME, O3A_TIME, O3B_TIME = 1_180_000_000, 1_240_000_000, 1_260_000_000
WINDOWS = ("0.5", "1.0", "2.0", "4.0")
COLUMNS = "event_time,ifo,snr,peak_frequency,gravityspy_id,label,sample_type"


class Archive(ThreadingHTTPServer):
    """Responds as Zenodo about a record and its files (with ranges), and as a host of pictures."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.checksums: dict[str, str] = {}
        self.requested: list[tuple[str, str | None]] = []
        self.has_ranges = True
        self.breaks = 0  # number of transfers that break off in mid-piece

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def record(self) -> bytes:
        files = [
            {
                "key": name,
                "size": len(data),
                "checksum": self.checksums.get(name)
                or f"md5:{hashlib.md5(data, usedforsecurity=False).hexdigest()}",
                "links": {"self": f"{self.url}/files/{name}"},
            }
            for name, data in self.files.items()
        ]
        return json.dumps({"files": files}).encode()


class _Handler(BaseHTTPRequestHandler):
    server: Archive

    def do_GET(self) -> None:
        byte_range = self.headers.get("Range")
        self.server.requested.append((self.path, byte_range))
        name = self.path.rpartition("/")[2]
        if self.path.startswith("/api/records/"):
            self._send(200, self.server.record(), {})
        elif name not in self.server.files:
            self._send(404, b"gone", {})
        elif byte_range is None or not self.server.has_ranges:
            self._send(200, self.server.files[name], {})
        else:
            first, last = (int(one) for one in byte_range.removeprefix("bytes=").split("-"))
            data = self.server.files[name]
            headers = {"Content-Range": f"bytes {first}-{last}/{len(data)}"}
            is_broken = last > 0 and self.server.breaks > 0
            self.server.breaks -= is_broken
            self._send(206, data[first : last + 1], headers, is_broken=is_broken)

    def _send(
        self, status: int, body: bytes, headers: dict[str, str], *, is_broken: bool = False
    ) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if is_broken else body)
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Do not log requests."""


@pytest.fixture
def archive() -> Iterator[Archive]:
    server = Archive()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def load(service: Service, archive: Archive, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that runs the command, works on its jobs and returns them once ended."""
    monkeypatch.setenv("DATABASE_URL", service.engine.url.render_as_string(hide_password=False))
    monkeypatch.setenv("GLITCH_DATA_DIR", str(service.settings.data_dir))
    monkeypatch.setattr(references_job, "PIECE_BYTES", 20_000)
    monkeypatch.setattr("app.jobs.leases.MAX_ATTEMPTS", 1)
    sessions = make_session_factory(service.engine)
    runner = JobRunner(sessions, service.settings)

    def load(*arguments: str) -> list[Any]:
        answer = CliRunner().invoke(
            cli.app,
            ["references", *arguments, "--no-follow", "--zenodo", archive.url],
            catch_exceptions=False,
        )
        assert answer.exit_code == 0, answer.output
        waiting = [UUID(answer.output.split()[-1])]
        ended = []
        while waiting:
            runner.work(waiting[0])
            with sessions() as session:
                ended.append(get_job(session, waiting.pop(0)))
            waiting += [UUID(one) for one in (ended[-1].result or {}).get("started", [])]
        return ended

    return load


def rows_of(service: Service, query: str) -> list[Any]:
    with service.engine.connect() as connection:
        return list(connection.execute(text(query)))


def training_set(archive: Archive, ids: dict[str, tuple[str, int, str]], seed: int) -> None:
    """Make the two files of the training set; ``ids`` maps ids to detector, time and label."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as packed:
        for number, (one, (ifo, _, label)) in enumerate(ids.items()):
            for index, window in enumerate(WINDOWS):
                data = picture(seed + 4 * number + index)
                info = tarfile.TarInfo(f"TrainingSet/{label}/{ifo}_{one}_spectrogram_{window}.png")
                info.size = len(data)
                packed.addfile(info, io.BytesIO(data))
    archive.files["trainingsetv1d1.tar.gz"] = buffer.getvalue()
    rows = [f"{time},{ifo},12,100,{one},{label},train" for one, (ifo, time, label) in ids.items()]
    archive.files["trainingset_v1d1_metadata.csv"] = "\n".join([COLUMNS, *rows]).encode()


def stored_run(service: Service) -> UUID:
    with make_session_factory(service.engine).begin() as session:
        return store_run(session).id


def test_the_training_set_is_fetched_in_pieces_chosen_labelled_and_taken_out_again(
    service: Service, archive: Archive, load: Any
) -> None:
    ids = {
        "aaaaaaaaa1": ("L1", O2_TIME, "Blip"),
        "aaaaaaaaa2": ("L1", O2_TIME + 500, "Whistle"),
        "aaaaaaaaa3": ("H1", O2_TIME + 900, "Blip"),
        "aaaaaaaaa4": ("L1", O3A_TIME, "Blip"),
        "aaaaaaaaa5": ("L1", O2_TIME + 1500, "Blip"),
    }
    training_set(archive, ids, seed=500)
    runs = [stored_run(service)]
    fetched, batch = load("training-set", "--ifo", "l1", "--run", "O2", "--per-class", "1")
    assert fetched.state == batch.state == "succeeded"
    pieces = [byte_range for path, byte_range in archive.requested if path.endswith(".tar.gz")]
    assert len(pieces) > 4
    assert batch.result == {"stored": 2, "known": 0, "failed": 0}
    with make_session_factory(service.engine)() as session:
        reasons = [one.reason for one in list_items(session, batch.id, limit=50).items]
    details = " ".join(str(one) for one in reasons)
    assert "2 of other detectors" not in details
    assert "1 of other detectors" in details
    assert "1 of other observing runs" in details
    assert "1 beyond the limit of 1" in details
    labels = (
        "SELECT g.gravityspy_id, l.source, l.author FROM label l JOIN glitch g"
        " ON g.id = l.glitch_id WHERE l.revoked_at IS NULL AND l.source LIKE 'Gravity Spy%'"
        " ORDER BY 1"
    )
    found = rows_of(service, labels)
    assert [one.gravityspy_id for one in found] in (
        ["aaaaaaaaa1", "aaaaaaaaa2"],
        ["aaaaaaaaa2", "aaaaaaaaa5"],
    )
    assert {one.source for one in found} == {"Gravity Spy training set"}
    assert {one.author for one in found} == {"published archive"}
    # A person's label outweighs it: label and glitch stay when the archive is loaded again.
    with service.client("submitter") as client:
        glitch = client.get("/glitches", params={"label": "Whistle"}).json()["items"][0]["id"]
        answer = client.post(f"/glitches/{glitch}/labels", json={"label": "Tomte"})
        assert answer.status_code < 300, answer.text
    load("training-set", "--ifo", "L1", "--run", "O2", "--per-class", "1")
    with service.client() as client:
        tomtes = client.get("/glitches", params={"label": "Tomte"}).json()["items"]
    assert [one["id"] for one in tomtes] == [glitch]
    runs.append(stored_run(service))
    answer = CliRunner().invoke(cli.app, ["references", "training-set", "--remove"])
    assert "1 glitch was removed" in answer.output, answer.output
    with make_session_factory(service.engine)() as session:  # one label was removed
        since = [labels_since(session, get_run(session, one)) for one in runs]
    assert [(one.removed, one.changed) for one in since] == [(0, 0), (1, 0)]
    assert "its labels from 1 other." in " ".join(answer.output.split())
    assert rows_of(service, labels) == []
    with service.client() as client:
        tomtes = client.get("/glitches", params={"label": "Tomte"}).json()["items"]
    assert [one["id"] for one in tomtes] == [glitch]
    answer = CliRunner().invoke(cli.app, ["references", "training-set", "--remove"])
    assert "Nothing of" in answer.output


def test_a_transfer_that_breaks_off_goes_on_where_it_was(
    service: Service, archive: Archive, load: Any, client: Any
) -> None:
    training_set(archive, {"bbbbbbbbb1": ("L1", O2_TIME + 3000, "Blip")}, seed=600)
    archive.breaks = 1
    (fetched,) = load("training-set")
    assert fetched.state == "failed"
    assert "broke off" in str(fetched.detail)
    assert "retry" in str(fetched.detail)
    before = len(archive.requested)
    with service.client("reviewer") as reviewer:
        assert reviewer.post(f"/jobs/{fetched.id}/retry").status_code == 200
    JobRunner(make_session_factory(service.engine), service.settings).work(fetched.id)
    assert client.get(f"/jobs/{fetched.id}").json()["state"] == "succeeded"
    assert len(archive.requested) - before == 1  # only the piece that broke off


@pytest.mark.parametrize("has_ranges", [True, False])
def test_a_download_with_another_checksum_is_not_used(
    archive: Archive, load: Any, has_ranges: bool
) -> None:
    training_set(archive, {"ccccccccc1": ("L1", O2_TIME + 6000, "Blip")}, seed=700)
    archive.has_ranges = has_ranges
    archive.checksums["trainingsetv1d1.tar.gz"] = "md5:" + "0" * 32
    (fetched,) = load("training-set")
    assert fetched.state == "failed"
    assert "checksum md5:" in str(fetched.detail)
    assert "it is not used" in str(fetched.detail)


def test_a_server_without_ranges_serves_too(archive: Archive, load: Any) -> None:
    training_set(archive, {"ddddddddd1": ("L1", O2_TIME + 9000, "Blip")}, seed=800)
    archive.has_ranges = False
    fetched, batch = load("training-set")
    assert (fetched.state, batch.state) == ("succeeded", "succeeded")


def test_a_mirror_with_a_checksum_and_a_file_at_hand_serve_too(
    archive: Archive, load: Any, tmp_path: Path
) -> None:
    training_set(archive, {"eeeeeeeee1": ("L1", O2_TIME + 12000, "Blip")}, seed=900)
    for name, data in archive.files.items():
        (tmp_path / name).write_bytes(data)
    table = tmp_path / "trainingset_v1d1_metadata.csv"
    packed = tmp_path / "trainingsetv1d1.tar.gz"
    (batch,) = load("training-set", "--file", str(packed), "--manifest", str(table))
    assert batch.result["stored"] == 1
    right = hashlib.sha256(packed.read_bytes()).hexdigest()
    mirror = ["--from", f"{archive.url}/files/{packed.name}", "--manifest", str(table)]
    fetched, batch = load("training-set", *mirror, "--checksum", f"sha256:{right}")
    assert (fetched.state, batch.result["known"]) == ("succeeded", 1)
    (fetched,) = load("training-set", *mirror, "--checksum", "sha256:" + "1" * 64)
    assert "it is not used" in str(fetched.detail)
    (fetched,) = load(
        "training-set", "--from", f"{archive.url}/files/away.tar", "--manifest", str(table)
    )
    assert "404" in str(fetched.detail)
    (batch,) = load("training-set", "--file", str(packed))
    assert batch.state == "failed"
    assert "1 without a label" in str(batch.detail)


def test_a_full_disk_is_reported_and_the_job_waits_for_space(
    service: Service, archive: Archive, load: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    training_set(archive, {"fffffffff1": ("L1", O2_TIME + 15000, "Blip")}, seed=1000)

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr("app.references.job.os.pwrite", full)
        (fetched,) = load("training-set")
    assert fetched.is_open
    with make_session_factory(service.engine).begin() as session:
        session.execute(text("UPDATE job_chunk SET due_at = now() - interval '1 s'"))
    JobRunner(make_session_factory(service.engine), service.settings).work(fetched.id)
    with make_session_factory(service.engine)() as session:
        assert get_job(session, fetched.id).state == "succeeded"
    no_room = type("Usage", (), {"free": 10})()
    monkeypatch.setattr("app.references.job.shutil.disk_usage", lambda _: no_room)
    (fetched,) = load("training-set")
    assert "make room" in str(fetched.detail)


def classified(archive: Archive, name: str, rows: list[str], with_urls: bool = True) -> None:
    header = "event_time,ifo,snr,peak_frequency,gravityspy_id,ml_label,ml_confidence"
    header += ",url1,url2,url3,url4" if with_urls else ""
    archive.files[name] = "\n".join([header, *rows]).encode()


def row(archive: Archive, gravityspy_id: str, time: int, confidence: float, seed: int) -> str:
    names = [f"{gravityspy_id}-{index}.png" for index in range(4)]
    for index, name in enumerate(names):
        archive.files[name] = picture(seed + index)
    urls = ",".join(f"{archive.url}/files/{name}" for name in names)
    return f"{time},L1,9,80,{gravityspy_id},Blip,{confidence},{urls}"


def test_classifications_bring_the_pictures_that_they_name(
    service: Service, archive: Archive, load: Any
) -> None:
    classified(
        archive,
        "L1_O3a.csv",
        [
            row(archive, "ggggggggg1", O3A_TIME + 3000, 0.99, 1100),
            row(archive, "ggggggggg2", O3A_TIME + 4000, 0.5, 1110),
            row(archive, "ggggggggg3", O3A_TIME + 5000, 0.95, 1120),
        ],
    )
    del archive.files["ggggggggg3-2.png"]
    options = ["classifications", "--ifo", "L1", "--run", "O3a"]
    fetched, batch = load(*options, "--picture-host", archive.url)
    assert fetched.state == "succeeded"
    assert batch.result == {"stored": 1, "known": 0, "failed": 1}
    with make_session_factory(service.engine)() as session:
        items = {one.name: one.reason for one in list_items(session, batch.id, limit=9).items}
    assert "returned 404" in str(items["ggggggggg3"])
    assert "1 with a label of confidence below 0.9" in str(items["(the rest of the archive)"])
    stored = rows_of(
        service,
        "SELECT count(*) AS windows, min(l.source) AS source FROM view v JOIN glitch g"
        " ON g.id = v.glitch_id JOIN label l ON l.glitch_id = g.id"
        " WHERE g.gravityspy_id = 'ggggggggg1'",
    )[0]
    assert (stored.windows, stored.source) == (4, "Gravity Spy classifications")
    # No other host is contacted, even if a table names it.
    _, batch = load(*options, "--per-class", "1")
    with make_session_factory(service.engine)() as session:
        reason = str(list_items(session, batch.id, limit=9).items[0].reason)
    assert "pictures are fetched only from panoptes-uploads.zooniverse.org" in reason
    assert not [path for path, _ in archive.requested[-3:] if path.endswith(".png")]


def test_a_table_without_pictures_says_what_to_do(
    service: Service, archive: Archive, load: Any
) -> None:
    classified(archive, "L1_O3b.csv", [f"{O3B_TIME},L1,9,80,hhhhhhhhh1,Blip,0.99"], False)
    options = ["classifications", "--ifo", "L1", "--run", "O3b"]
    _, batch = load(*options)
    with make_session_factory(service.engine)() as session:
        reason = str(list_items(session, batch.id, limit=9).items[0].reason)
    assert "names no picture" in reason
    assert "--strain" in reason
    _, batch = load(*options, "--strain")
    with make_session_factory(service.engine)() as session:
        reason = str(list_items(session, batch.id, limit=9).items[0].reason)
    assert "strain" in reason
    (fetched,) = load("classifications", "--ifo", "V1", "--run", "O1")
    assert "has no file V1_O1.csv" in str(fetched.detail)


def test_invalid_selections_of_references_are_refused(
    service: Service, archive: Archive, load: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert callable(load)  # the fixture sets the environment
    refused = {
        ("else",): "known: training-set, classifications",
        ("classifications",): "give --ifo and --run",
        ("training-set", "--ifo", "X9"): "There is no detector",
        ("training-set", "--run", "O9"): "There is no observing run",
        ("training-set", "--file", "/nowhere.tar"): "cannot be read",
        ("training-set", "--from", "https://ada:secret@x/y"): "--from must not contain user or",
        ("training-set", "--picture-host", "ftp://x"): "--picture-host must start with http",
    }
    for arguments, reason in refused.items():
        answer = CliRunner().invoke(cli.app, ["references", *arguments])
        assert answer.exit_code == 1
        assert reason in answer.output, (arguments, answer.output)
    archive.files["trainingsetv1d1.tar.gz"] = bytes(2_000_000)
    answer = CliRunner().invoke(cli.app, ["references", "--list", "--zenodo", archive.url])
    assert "CC-BY 4.0" in answer.output
    assert "trainingsetv1d1.tar.gz  2.0 MB  md5:" in answer.output
    answer = CliRunner().invoke(cli.app, ["references", "--list", "--zenodo", "http://127.0.0.1:1"])
    assert answer.exit_code == 0
    assert "give it with --file" in answer.output
    with pytest.raises(NotReadyError):
        fetching.size_of(PublishedFile("x", "http://127.0.0.1:1/x"))
    assert service.url
