"""Batches from upload to catalogue, through the live API and a worker's runner."""

from __future__ import annotations

import csv
import gzip
import io
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import httpx
import numpy as np
import pytest
import sent_batches
from api_fixtures import (
    GPS_START,
    GPS_TIME,
    Service,
    assert_problem,
    energy,
    gwosc_hdf5,
    picture,
    strain_values,
)
from sent_batches import tar
from sqlalchemy import text
from typer.testing import CliRunner

from app import cli
from app.core.engine import make_session_factory
from worker.runner import JobRunner

Ingested = tuple[Any, dict[str, Any]]
Ingest = Callable[..., Ingested]


@pytest.fixture
def runner(service: Service) -> JobRunner:
    return JobRunner(make_session_factory(service.engine), service.settings)


@pytest.fixture
def ingest(service: Service) -> Ingest:
    """Return a function that sends a batch, works on it, and returns its job and items by name."""

    def ingest(content: bytes, name: str = "batch.tar", **fields: Any) -> Ingested:
        job, items = sent_batches.ingest(service, content, name, **fields)
        return job, {item.name: item for item in items}

    return ingest


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def spectrograms(seed: int, gravityspy_id: str, ifo: str = "H1") -> dict[str, bytes]:
    return {
        f"{ifo}_{gravityspy_id}_spectrogram_{window}.png": picture(seed + index)
        for index, window in enumerate(("0.5", "1.0", "2.0", "4.0"))
    }


def table(*rows: dict[str, object]) -> bytes:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, rows[0])
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue().encode()


def rows_of(service: Service, query: str) -> list[Any]:
    with service.engine.connect() as connection:
        return list(connection.execute(text(query)))


def test_pictures_are_grouped_labelled_and_stored_once(
    service: Service, ingest: Ingest, client: httpx.Client
) -> None:
    first, second = spectrograms(1, "aaaaaaaaaa"), spectrograms(11, "bbbbbbbbbb", "L1")
    mixed = {}  # pictures of two glitches alternate
    for one, other in zip(first.items(), second.items(), strict=True):
        mixed.update([one, other])
    manifest = table(
        {"gravityspy_id": "aaaaaaaaaa", "label": "Blip", "snr": 12.5, "event_time": 1126400001.25},
        {"gravityspy_id": "bbbbbbbbbb", "label": "Nonesuch", "snr": "", "event_time": 1126400002},
    )
    job, items = ingest(tar(mixed), manifest=manifest)
    assert (job.state, job.done, job.failed, job.total) == ("succeeded", 2, 0, 2)
    assert job.result == {"stored": 2, "known": 0, "failed": 0}
    found = client.get(f"/glitches/{items['aaaaaaaaaa'].glitch_id}").json()
    assert found["views"] == [0.5, 1.0, 2.0, 4.0]
    assert (found["label"], found["snr"], found["gps_time"]) == ("Blip", 12.5, "1126400001.25")
    assert (found["ifo"], found["origin"]) == ("H1", "gravityspy")
    [label] = client.get(f"/glitches/{found['id']}/labels").json()["items"]
    assert (label["author"], label["source"]) == ("submitter", "batch")
    assert "no class 'Nonesuch'" in items["bbbbbbbbbb"].reason
    before = service.counts()
    job, items = ingest(zipped(mixed), "again.zip")
    assert (job.state, job.skipped, job.done) == ("succeeded", 2, 0)
    assert items["aaaaaaaaaa"].reason == "It was known already."
    assert service.counts() == before


def test_an_upload_is_kept_once_and_an_open_job_is_not_doubled(
    client: httpx.Client, service: Service
) -> None:
    content = tar(spectrograms(21, "cccccccccc"))
    one = client.post("/batches", files={"file": ("a.tar", content)}).json()
    two = client.post("/batches", files={"file": ("b.tar", content)}).json()
    assert one["job"] == two["job"]
    assert (one["is_known_upload"], two["is_known_upload"]) == (False, True)
    folder = service.settings.data_dir / "batches" / "uploads"
    assert (folder / one["upload"]).read_bytes() == content
    assert not list(folder.glob(".arriving-*"))
    assert one["links"]["job"].endswith(f"/jobs/{one['job']}")


def test_bad_members_are_listed_and_spoil_nothing(ingest: Ingest) -> None:
    members = spectrograms(31, "dddddddddd")
    broken = dict.fromkeys(["H1_eeeeeeeeee_spectrogram_0.5.png"], picture(3)[:500])
    members |= broken | {
        "../../etc/passwd.png": picture(5),
        "/absolute.png": picture(5),
        "inner.zip": zipped({"a.png": picture(1)}),
        "notes.txt": b"Remember the milk.",
        "empty.png": b"",
        ".DS_Store": b"litter",
        "L1_ffffffffff_spectrogram_0.5.png": picture(40),
        "copy/L1_ffffffffff_spectrogram_0.5.png": picture(40),
        "L1_gggggggggg_spectrogram_0.5.png": picture(41),
        "copy/L1_gggggggggg_spectrogram_0.5.png": picture(42),
    }
    link = tarfile.TarInfo("link.png")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    device = tarfile.TarInfo("device.png")
    device.type = tarfile.CHRTYPE
    job, items = ingest(tar(members, link, device))
    assert job.state == "succeeded"
    reasons = {name: item.reason or "" for name, item in items.items()}
    for name, part in {
        "eeeeeeeeee": "send",
        "../../etc/passwd.png": "leads outside the archive",
        "/absolute.png": "leads outside the archive",
        "inner.zip": "archive within the archive",
        "notes.txt": "not read in a batch",
        "empty.png": "empty",
        "link.png": "not followed",
        "device.png": "not followed",
        "gggggggggg": "send each window once",
    }.items():
        assert items[name].state == "failed", name
        assert part in reasons[name].lower() or part in reasons[name], (name, reasons[name])
    assert items[".DS_Store"].state == "skipped"
    assert items["dddddddddd"].state == items["ffffffffff"].state == "done"
    assert "came twice" in reasons["ffffffffff"]
    assert job.result["stored"] == 2


def test_zip_bombs_links_and_crc_in_zips(ingest: Ingest) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.png", bytes(50_000_000))
        link = zipfile.ZipInfo("link.png")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
        for name, data in spectrograms(51, "hhhhhhhhhh").items():
            archive.writestr(name, data)
    _, items = ingest(buffer.getvalue(), "bomb.zip")
    assert "would unpack to 50,000,000 bytes" in items["bomb.png"].reason
    assert "not followed" in items["link.png"].reason
    assert items["hhhhhhhhhh"].state == "done"
    job, _ = ingest(gzip.compress(bytes(60_000_000)), "bomb.tar.gz")
    assert job.state == "failed"
    assert "over 200 times its size" in job.detail
    _, items = ingest(buffer.getvalue()[:-40], "cut.zip")
    assert "were read: send it again" in items["(the rest of the archive)"].reason
    assert items["hhhhhhhhhh"].state == "skipped"


def test_complete_members_of_a_cut_tar_are_read(ingest: Ingest, client: httpx.Client) -> None:
    whole = tar(spectrograms(61, "iiiiiiiiii") | spectrograms(71, "jjjjjjjjjj"))
    for number, sent in enumerate((whole, gzip.compress(whole))):
        _, items = ingest(sent[: len(sent) * 2 // 3], f"cut-{number}.tar")
        assert items["iiiiiiiiii"].state == ("skipped" if number else "done")
        assert any(
            "ends in the middle of this file" in (item.reason or "") for item in items.values()
        )
    job, _ = ingest(gzip.compress(whole)[:20], "cut.tar.gz")
    assert "truncated" in job.detail
    rows = b"gps_time,ifo\n" + b"1126400009.5,H1\n" * 9
    _, items = ingest(gzip.compress(rows, 0)[:-20], "cut.csv.gz")
    assert "damaged from here on" in items["cut.csv.gz (its rest)"].reason
    assert len(items) == 2  # the other item says that there is no strain
    job, items = ingest(gzip.compress(whole), "whole.tar.gz")
    found = client.get(f"/glitches/{items['jjjjjjjjjj'].glitch_id}").json()
    assert found["views"] == [0.5, 1.0, 2.0, 4.0]
    assert job.result["failed"] == 0


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (tar({}), "contains no glitch"),
        (zipped({}), "contains no glitch"),
        (b"hello, world", "is not a supported batch"),
        (b"gps_time,ifo\n", "contains no glitch"),
        (b"snr;label\n9.5;Blip\n", "must name the columns"),
        (tar({"H-H1_TEST-1-32.hdf5": gwosc_hdf5(strain_values(3))}), "add a table of triggers"),
    ],
)
def test_batches_without_glitches_say_so(ingest: Ingest, content: bytes, sentence: str) -> None:
    job, items = ingest(content)
    assert job.state == "failed"
    assert sentence in job.detail
    assert items == {}


def test_views_of_many_glitches(ingest: Ingest, client: httpx.Client) -> None:
    stack = np.stack([[energy(seed), energy(seed + 100)] for seed in range(5)])
    stack[3, 0, 5, 5] = np.nan
    ids = np.array([f"stack{n:05d}" for n in range(5)])
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as tree:
        tree["views"] = stack
        tree["durations_s"] = [0.5, 2.0]
        tree["gravityspy_id"] = ids.astype("S")
        tree["label"] = ["Blip", "Tomte", "", "Blip", "Koi_Fish"]
        tree["gps_time"] = 1126500000.25 + np.arange(5)
    job, items = ingest(buffer.getvalue(), "views.h5", ifo="H1", origin="simulated")
    assert (job.done, job.failed) == (4, 1)
    assert "NaN" in items["stack00003"].reason
    found = client.get(f"/glitches/{items['stack00001'].glitch_id}").json()
    assert (found["label"], found["ifo"], found["origin"]) == ("Tomte", "H1", "simulated")
    assert (found["views"], found["gps_time"]) == ([0.5, 2.0], "1126500001.25")
    buffer = io.BytesIO()
    np.savez_compressed(buffer, views=stack, durations_s=np.array([0.5, 2.0]), gravityspy_id=ids)
    job, items = ingest(buffer.getvalue(), "views.npz", ifo="H1")
    assert (job.skipped, job.done, job.failed) == (4, 0, 1)


def strain_and(triggers: bytes, name: str) -> bytes:
    strain = {
        f"{ifo[0]}-{ifo}_TEST-{GPS_START}-32.hdf5": gwosc_hdf5(strain_values(seed), ifo=ifo)
        for seed, ifo in ((7, "H1"), (8, "L1"))
    }
    return tar({name: triggers} | strain)


def test_triggers_are_merged_matched_and_measured(ingest: Ingest, client: httpx.Client) -> None:
    at = float(GPS_TIME)
    rows = [
        {"event_time": at, "ifo": "H1", "snr": 20, "peak_frequency": 150, "ml_label": "Blip"},
        {"event_time": at + 0.05, "ifo": "H1", "snr": 9, "peak_frequency": 90, "ml_label": ""},
        {"event_time": at + 0.14, "ifo": "H1", "snr": 8, "peak_frequency": 90, "ml_label": ""},
        {"event_time": at, "ifo": "L1", "snr": 15, "peak_frequency": 100, "ml_label": ""},
        {"event_time": at + 900, "ifo": "L1", "snr": 15, "peak_frequency": 1, "ml_label": ""},
        {"event_time": GPS_START + 0.1, "ifo": "L1", "snr": 9, "peak_frequency": 1, "ml_label": ""},
        {"event_time": at, "ifo": "V1", "snr": 15, "peak_frequency": 100, "ml_label": ""},
        {"event_time": "noon", "ifo": "H1", "snr": 15, "peak_frequency": 1, "ml_label": ""},
    ]
    _, items = ingest(strain_and(table(*rows), "triggers.csv"))
    loud = items[f"H1 {GPS_TIME}"]
    assert loud.state == "done"
    assert loud.reason == "The loudest of 3 triggers close in time."
    found = client.get(f"/glitches/{loud.glitch_id}").json()
    assert (found["label"], found["snr"], found["peak_frequency"]) == ("Blip", 20, 150)
    assert (found["origin"], found["views"]) == ("gravityspy", [0.5, 1.0, 2.0, 4.0])
    reasons = {name: item.reason or "" for name, item in items.items() if item.state == "failed"}
    assert "outside the strain of L1" in reasons[f"L1 {GPS_TIME + 900}"]
    assert "too near the edge" in reasons[f"L1 {GPS_START}.1"]
    assert "no strain of V1" in reasons[f"V1 {GPS_TIME}"]
    assert "'noon' is not a GPS time" in reasons["triggers.csv row 9"]
    assert items[f"L1 {GPS_TIME}"].state == "done"
    _, items = ingest(strain_and(table(*rows), "triggers.csv"), merge_window_s=0)
    assert sum(name.startswith("H1") for name in items) == 3


def test_omicron_and_ligolw_triggers(ingest: Ingest) -> None:
    names = ["time", "frequency", "tstart", "tend", "fstart", "fend", "snr", "q"]
    row = (float(GPS_TIME), 120.0, 0.0, 0.25, 100.0, 140.0, 12.0, 8.0)
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as tree:
        tree["triggers"] = np.array([row], dtype=[(name, "f8") for name in names])
        tree.attrs["Mstreamname"] = np.bytes_(b"H1:TEST")
    _, items = ingest(strain_and(buffer.getvalue(), "H1-OMICRON.h5"), merge_window_s=1)
    [item] = items.values()
    assert item.name == f"H1 {GPS_TIME}"
    assert item.state in ("done", "skipped"), item.reason
    xml = b'<?xml version="1.0"?><!DOCTYPE LIGO_LW SYSTEM "x.dtd"><LIGO_LW></LIGO_LW>'
    job, items = ingest(strain_and(xml, "L1-BURST.xml"), origin="omicron")
    assert job.state == "failed"
    assert "holds no table of triggers" in items["L1-BURST.xml"].reason


def test_a_table_that_cannot_be_read_spoils_no_other(ingest: Ingest) -> None:
    xml = b'<?xml version="1.0"?><!DOCTYPE LIGO_LW SYSTEM "x.dtd"><LIGO_LW></LIGO_LW>'
    rows = b'"event_time","ifo"\n"1126400009","V1"\n'  # quoted, as some programs write it
    _, items = ingest(tar({"a.xml": xml, "b.csv": rows}))
    assert {name: item.state for name, item in items.items()} == {
        "a.xml": "failed",
        "V1 1126400009": "failed",
    }
    assert "no strain of V1" in items["V1 1126400009"].reason
    job, items = ingest(tar({"a.xml": xml} | spectrograms(430, "besides444")))
    assert (job.state, items["besides444"].state) == ("succeeded", "done")


def test_triggers_without_strain_are_reported_once(ingest: Ingest) -> None:
    rows = "".join(f"{1126400009 + n},{ifo}\n" for n in range(600) for ifo in ("V1", "K1"))
    job, items = ingest(tar({"b.csv": f"event_time,ifo\n{rows}".encode()}))
    assert (job.state, sorted(items)) == ("failed", ["600 triggers of K1", "600 triggers of V1"])
    reason = items["600 triggers of V1"].reason
    assert "no strain of V1" in reason
    assert "into one archive or folder" in reason


def test_documents_beside_the_data_are_no_failure(ingest: Ingest) -> None:
    job, items = ingest(tar(spectrograms(450, "documented") | {"set/README": b"Of O3."}))
    assert (job.state, job.failed, items["set/README"].state) == ("succeeded", 0, "skipped")
    strain = {"H-H1_TEST-1-32.hdf5": gwosc_hdf5(strain_values(3))}
    job, items = ingest(tar(strain | {"README.md": b"Of O3."}))
    assert (job.state, items) == ("failed", {})
    assert "add a table of triggers" in job.detail
    job, items = ingest(tar(strain | {"notes.xyz": b"?"}))
    assert items["notes.xyz"].state == "failed"
    assert "add a table of triggers" in items["(the strain)"].reason


def test_a_table_of_triggers_beside_pictures_is_no_manifest(ingest: Ingest) -> None:
    rows = table({"gps_time": GPS_TIME + 2, "ifo": "H1", "snr": 5})
    strain = {f"H-H1_TEST-{GPS_START}-32.hdf5": gwosc_hdf5(strain_values(8))}
    job, items = ingest(tar(spectrograms(460, "besidesit4") | strain | {"t.csv": rows}))
    assert (job.state, job.failed) == ("succeeded", 0)
    assert {name: one.state for name, one in items.items()} == {
        "besidesit4": "done",
        f"H1 {GPS_TIME + 2}": "done",
    }


def test_manifest_rows_without_a_glitch_are_reported(ingest: Ingest) -> None:
    """Rows that match no glitch are reported: a mistake in the paths may concern every label."""
    members = spectrograms(440, "unheard444")
    rows = [
        {"path": path, "label": "Blip"} for path in ("pictures/elsewhere.png", next(iter(members)))
    ]
    job, items = ingest(tar(members), manifest=table(*rows))
    assert job.result == {"stored": 1, "known": 0, "failed": 0}
    assert items["the manifest"].state == "skipped"
    assert items["the manifest"].reason.startswith(
        "1 of its 2 rows match no glitch in this batch (the first: pictures/elsewhere.png)."
    )
    job, items = ingest(tar(members | {"some.csv": table(rows[0])}))
    assert (job.failed, items["some.csv"].state) == (1, "failed")
    assert "None of its rows matches a glitch in this batch" in items["some.csv"].reason
    _, items = ingest(tar(members), manifest=table({"event_time": "1126400001", "label": "Blip"}))
    assert "(the first: 1126400001)" in items["the manifest"].reason
    _, items = ingest(tar(members), manifest=table({"gravityspy_id": "unheard444", "snr": 9}))
    assert list(items) == ["unheard444"]


def test_a_table_alone_needs_the_servers_strain(
    ingest: Ingest, service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = table({"gps_time": GPS_TIME + 1, "ifo": "H1", "snr": 5})
    job, items = ingest(rows, "one.csv")
    assert job.state == "failed"
    assert "GLITCH_STRAIN_DIR" in items[f"H1 {GPS_TIME + 1}"].reason
    folder = tmp_path / "O9" / "H1"
    folder.mkdir(parents=True)
    (folder / f"H-H1_TEST-{GPS_START}-32.hdf5").write_bytes(gwosc_hdf5(strain_values(9)))
    monkeypatch.setattr(service.settings, "strain_dir", tmp_path)
    job, items = ingest(rows, "one.csv")
    assert items[f"H1 {GPS_TIME + 1}"].state == "done", job.detail


def test_cancel_stops_between_chunks(
    service: Service, client: httpx.Client, runner: JobRunner
) -> None:
    members: dict[str, bytes] = {}
    for number in range(40):
        members[f"H1_cancel{number:04d}_spectrogram_0.5.png"] = picture(number)
    answer = client.post("/batches", files={"file": ("c.tar", tar(members))}).json()
    runner.work(answer["job"], slice_s=0)  # planning
    runner.work(answer["job"], slice_s=0)  # one chunk
    assert client.get(f"/jobs/{answer['job']}").json()["progress"]["done"] == 32
    assert client.post(f"/jobs/{answer['job']}/cancel").status_code == 200
    runner.work(answer["job"])
    job = client.get(f"/jobs/{answer['job']}").json()
    assert (job["state"], job["progress"]["done"]) == ("cancelled", 32)
    client.post(f"/jobs/{answer['job']}/retry")
    runner.work(answer["job"])
    job = client.get(f"/jobs/{answer['job']}").json()
    assert (job["state"], job["progress"]["done"]) == ("succeeded", 40)
    count = "SELECT count(*) FROM glitch WHERE gravityspy_id LIKE 'cancel%'"
    assert rows_of(service, count)[0][0] == 40


@pytest.mark.parametrize(
    "fields",
    [{"merge_window_s": "nan"}, {"merge_window_s": 11}, {"ifo": "X9"}, {"origin": "heaven"}],
)
def test_senseless_fields_are_refused(client: httpx.Client, fields: dict[str, Any]) -> None:
    answer = client.post("/batches", files={"file": ("a.tar", tar({}))}, data=fields)
    assert_problem(answer, 400)


def test_readers_may_not_ingest(service: Service) -> None:
    with service.client("reader") as reader:
        assert_problem(reader.post("/batches", files={"file": ("a.tar", tar({}))}), 403)
    with service.client(None) as anonymous:
        assert_problem(anonymous.post("/batches", files={"file": ("a.tar", tar({}))}), 401)


def test_ingest_sends_the_file_and_prints_the_job(
    service: Service, runner: JobRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "batch.tar"
    path.write_bytes(tar(spectrograms(81, "kkkkkkkkkk")))
    monkeypatch.setenv("GLITCH_TOKEN", service.tokens["submitter"])
    line = ["ingest", str(path), "--no-follow", "--ifo", "H1", "--url", service.url]
    result = CliRunner().invoke(cli.app, line)
    assert result.exit_code == 0, result.output
    assert "queued" in result.output
    missing = CliRunner().invoke(cli.app, ["ingest", "nowhere.tar", "--url", service.url])
    assert missing.exit_code == 1


def test_reasons_name_the_picture_and_the_row(ingest: Ingest) -> None:
    """A glitch has four pictures and a table many rows: the reason names the one at fault."""
    good = spectrograms(410, "reason4444")
    names = list(good)
    damaged = {**good, names[2]: good[names[2]][:-200]}
    _, items = ingest(tar(damaged))
    assert items["reason4444"].reason.startswith(f"{names[2]}: The picture is truncated or damaged")
    assert items["reason4444"].reason.endswith("Its 3 other pictures were not stored either.")
    _, items = ingest(tar({**good, names[0]: b"<html>not found</html>"}))
    assert f"{names[0]} is not a PNG or JPG, despite its name" in items["reason4444"].reason
    _, items = ingest(tar({names[2]: damaged[names[2]]}))
    assert items["reason4444"].reason.startswith(f"{names[2]}: The picture is truncated or damaged")
    _, items = ingest(tar({"blip.png": picture(415)}))
    assert "give duration_s in a manifest" in items["blip.png"].reason
    _, items = ingest(table({"gps_time": "1126400009", "ifo": "", "snr": 5}), "some.csv")
    assert "no detector" in items["some.csv row 2"].reason


@pytest.mark.parametrize("kind", ["png", "dat"])
def test_the_manifest_gives_the_window_of_a_picture_named_without_it(
    ingest: Ingest, kind: str
) -> None:
    """Content, not the name, identifies a picture; the manifest gives its window."""
    glitch, first = f"windows{kind}", 421 if kind == "png" else 423
    other = f"H1_{glitch}_b.{kind}"
    members = {f"H1_{glitch}_spectrogram_0.5.png": picture(first), other: picture(first + 1)}
    manifest = table({"path": other, "gravityspy_id": glitch, "duration_s": 2.0})
    _, items = ingest(tar(members), manifest=manifest)
    assert {name: one.state for name, one in items.items()} == {glitch: "done"}


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda whole: whole[:3072] + b"\7" * 512 + whole[3584:], "damaged from here on"),
        (lambda whole: whole[:3072], "has no end"),
    ],
)
def test_the_loss_in_a_damaged_tar_is_reported(
    ingest: Ingest, damage: Callable[[bytes], bytes], reason: str
) -> None:
    """The loss is reported, although ``tarfile`` takes an unreadable header for the end."""
    small = b"\x89PNG but no picture"
    members = {f"H1_lost{index:06d}_spectrogram_0.5.png": small for index in range(6)}
    _, items = ingest(damage(tar(members)))
    assert len(items) == 4  # three read before the damage, and one that reports the loss
    assert any(reason in item.reason for item in items.values() if "archive" in item.name)


def test_a_few_bytes_that_declare_a_billion_glitches_are_refused_at_once(ingest: Ingest) -> None:
    """They fail as a whole; planning them one by one used to fill the database."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as tree:
        tree.create_dataset("views", shape=(1 << 30, 4, 16, 16), dtype="f4", chunks=(1, 4, 16, 16))
    job, items = ingest(buffer.getvalue(), "views.h5")
    assert (job.state, len(items)) == ("failed", 0)
    assert job.detail == "The file holds over 10,000,000 glitches: send it in several parts."
