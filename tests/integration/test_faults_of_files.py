"""Files as detector groups have them, of types that once lost, moved or renamed glitches."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gwframe
import h5py
import httpx
import numpy as np
import pytest
import uproot
from api_fixtures import (
    GPS_START,
    GPS_TIME,
    SAMPLE_RATE_HZ,
    Service,
    assert_problem,
    gwosc_hdf5,
    picture,
    strain_values,
)
from sent_batches import ingest, tar
from sqlalchemy import text
from typer.testing import CliRunner

from app import cli
from app.jobs.records import JobItem

AT = int(GPS_TIME)
STRAIN = strain_values(3)
STRAIN_NAME = f"H-H1_TEST-{GPS_START}-32.hdf5"
Send = Callable[..., list[JobItem]]


@pytest.fixture
def send(service: Service) -> Send:
    """Return a function that sends a batch, works on it and returns its items."""

    def send(content: bytes, name: str = "batch.tar", **fields: Any) -> list[JobItem]:
        job, items = ingest(service, content, name, **fields)
        assert items, job.detail
        return items

    return send


@pytest.fixture(autouse=True)
def no_glitches(service: Service) -> None:
    with service.engine.begin() as connection:
        connection.execute(text("DELETE FROM glitch"))


def with_strain(table: bytes, name: str = "triggers.csv", shift_s: int = 0) -> bytes:
    """Return a tar of a table and, after it, strain."""
    strain = gwosc_hdf5(STRAIN, start=GPS_START + shift_s)
    return tar({name: table, f"H-H1_TEST-{GPS_START + shift_s}-32.hdf5": strain})


def csv_of(*rows: dict[str, Any]) -> bytes:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, rows[0])
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue().encode()


def catalogue(service: Service) -> list[dict[str, Any]]:
    """Return all columns of every glitch, and its label."""
    query = (
        "SELECT glitch.*, glitch_class.name AS label FROM glitch"
        " LEFT JOIN glitch_class ON glitch_class.id = glitch.class_id ORDER BY glitch.id"
    )
    with service.engine.connect() as connection:
        return [dict(row) for row in connection.execute(text(query)).mappings()]


def test_row_numbers_are_no_ids_of_triggers(send: Send, service: Service) -> None:
    times = [AT - 4, AT, AT + 4]
    for shift_s in (0, 1000):
        rows = [{"id": n, "gps_time": t + shift_s, "ifo": "H1"} for n, t in enumerate(times, 1)]
        items = send(with_strain(csv_of(*rows), shift_s=shift_s))
        assert [item.state for item in items] == ["done"] * 3, items
    stored = catalogue(service)
    assert len(stored) == 6
    assert {one["gravityspy_id"] for one in stored} == {None}


@pytest.mark.parametrize("column", ["id", "gravityspy_id"])
def test_row_numbers_are_no_ids_of_views(send: Send, service: Service, column: str) -> None:
    for seed, label in ((1, b"Blip"), (2, b"Whistle")):
        buffer = io.BytesIO()
        with h5py.File(buffer, "w") as tree:
            tree["views"] = np.random.default_rng(seed).random((3, 4, 128, 128), dtype=np.float32)
            tree[column] = np.arange(3)
            tree["label"] = np.array([label] * 3)
        items = send(buffer.getvalue(), "stack.h5")
        assert [item.state for item in items] == ["done"] * 3, items
    assert sorted(one["label"] for one in catalogue(service)) == ["Blip"] * 3 + ["Whistle"] * 3


def test_nanoseconds_belong_to_their_own_column(send: Send, service: Service) -> None:
    row = {"event_time": float(AT + 1), "peak_time": AT, "peak_time_ns": 999999990, "ifo": "H1"}
    send(with_strain(csv_of(row)))
    assert [str(one["gps_time"]) for one in catalogue(service)] == [f"{AT}.999999990"]


def test_a_column_of_utc_hides_no_gps(send: Send, service: Service) -> None:
    row = {"time": "2015-09-14 09:50:40", "gps": f"{AT}.1", "ifo": "h1"}
    send(with_strain(csv_of(row)))
    assert [str(one["gps_time"]) for one in catalogue(service)] == [f"{AT}.100000000"]


def test_gwoscs_text_is_strain_in_a_batch_too(send: Send, service: Service) -> None:
    rate = SAMPLE_RATE_HZ
    header = (
        f"# Gravitational wave strain for GW150914 for H1 (see http://losc.ligo.org)\n# This file "
        f"has {rate} samples per second\n# starting GPS {GPS_START} duration 32\n"
    )
    strain = gzip.compress((header + "\n".join(f"{one:.9e}" for one in STRAIN)).encode(), 1)
    name = f"H-H1_LOSC_4_V2-{GPS_START}-32.txt.gz"
    [item] = send(tar({"t.csv": csv_of({"gps_time": AT, "ifo": "H1"}), name: strain}))
    assert item.state == "done", item
    assert catalogue(service)[0]["ifo"] == "H1"


def test_a_frame_of_two_detectors_serves_the_triggers_of_both(
    send: Send, service: Service, tmp_path: Path
) -> None:
    path = tmp_path / f"HL-X-{GPS_START}-32.gwf"
    channels = {f"{ifo}:GDS-CALIB_STRAIN": strain_values(at) for at, ifo in ((3, "H1"), (5, "L1"))}
    gwframe.write(path, channels, start=float(GPS_START), sample_rate=float(SAMPLE_RATE_HZ))
    rows = csv_of(*({"gps_time": GPS_TIME, "ifo": ifo} for ifo in ("H1", "L1")))
    items = send(tar({"t.csv": rows, path.name: path.read_bytes()}))
    assert [item.state for item in items] == ["done", "done"], items
    found = {one["ifo"]: (one["channel"], one["peak_frequency"]) for one in catalogue(service)}
    assert {ifo: channel for ifo, (channel, _) in found.items()} == {
        ifo: f"{ifo}:GDS-CALIB_STRAIN" for ifo in ("H1", "L1")
    }
    assert found["H1"][1] < found["L1"][1]  # 120 and 160 Hz


def test_a_time_in_the_future_is_no_glitchs(send: Send, service: Service) -> None:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as tree:
        tree["views"] = np.random.default_rng(1).random((2, 4, 128, 128), dtype=np.float32)
        tree["gps_time"] = [3_000_000_000.5, float(AT)]
    items = send(buffer.getvalue(), "stack.h5")
    items += send(with_strain(csv_of({"time": 3_000_000_000.5, "ifo": "H1"})))
    assert [item.state for item in items] == ["failed", "done", "failed"]
    assert all("lies in the future" in str(item.reason) for item in (items[0], items[2]))
    assert len(catalogue(service)) == 1


def test_the_channel_that_was_read_is_stored(send: Send, service: Service) -> None:
    path_free = io.BytesIO()
    names = ("H1:GDS-CALIB_STRAIN", "H1:GDS-CALIB_STRAIN_CLEAN")
    frame = gwframe.Frame(start=GPS_START, duration=32, name="H1")
    for name in names:
        frame.add_channel(name, STRAIN, sample_rate=SAMPLE_RATE_HZ)
    with gwframe.FrameWriter(path_free) as writer:
        writer.write_frame(frame)
    channels = ["H1:ASC-Y_TR_A_NSUM_OUT_DQ", "L1:GDS-CALIB_STRAIN", names[1]]
    rows = [
        {"gps_time": AT - 4 + 4 * n, "ifo": "H1", "channel": one} for n, one in enumerate(channels)
    ]
    frames = {f"H-H1_TEST-{GPS_START}-32.gwf": path_free.getvalue()}
    items = send(tar({"t.csv": csv_of(*rows), **frames}))
    assert [item.state for item in items] == ["done"] * 3, items
    stored = sorted(catalogue(service), key=lambda one: one["gps_time"])
    assert [one["channel"] for one in stored] == [names[0], names[0], names[1]]


@pytest.mark.parametrize(
    ("row", "origin"),
    [
        ({"event_time": AT, "ifo": "H1", "ml_label": "Blip"}, "gravityspy"),
        ({"GPStime": AT, "peakFreq": 90, "ifo": "H1", "label": "Blip"}, "gravityspy"),
        ({"time": AT, "tstart": 1, "tend": 2, "fstart": 1, "fend": 2, "ifo": "H1"}, "omicron"),
        ({"gps_time": AT, "ifo": "H1"}, "upload"),
    ],
)
def test_origins(send: Send, service: Service, row: dict[str, Any], origin: str) -> None:
    send(with_strain(csv_of(row)))
    assert [one["origin"] for one in catalogue(service)] == [origin]


def test_a_known_trigger_is_recognised_in_any_batch(
    send: Send, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"gps_time": f"{AT - 9 + n}.3", "ifo": "H1"} for n in range(18)]
    assert {item.state for item in send(with_strain(csv_of(*rows)))} == {"done"}
    with service.engine.begin() as connection:  # as if rounded differently in another batch
        connection.execute(text("UPDATE glitch SET content_digest = sha256(id::text::bytea)"))
    again = send(with_strain(csv_of(*rows[::3])))
    assert {item.reason for item in again} == {"It was known already."}
    assert len(catalogue(service)) == len(rows)


def test_labels_count_without_regard_to_case(send: Send, service: Service) -> None:
    row = {"gps_time": AT, "ifo": "H1", "label": "koi fish"}
    [item] = send(with_strain(csv_of(row)))
    assert (item.state, item.reason) == ("done", None)
    assert [one["label"] for one in catalogue(service)] == ["Koi_Fish"]


def test_the_confidence_of_a_label_is_kept_and_a_person_has_none(
    send: Send, service: Service, client: httpx.Client
) -> None:
    rows = [
        {"gps_time": AT - 4 * n, "ifo": "H1", "ml_label": "Blip", "ml_confidence": confidence}
        for n, confidence in enumerate((0.97, 0.5, 40, ""))
    ]
    for expected in ("done", "skipped"):
        assert {item.state for item in send(with_strain(csv_of(*rows)))} == {expected}

    def found(**filters: str) -> list[float | None]:
        items = client.get("/glitches", params=filters).json()["items"]
        return [one["ml_confidence"] for one in items]

    assert sorted(found(), key=str) == [0.5, 0.97, None, None]
    assert found(ml_confidence_min="0.9") == [0.97]
    [sure] = client.get("/glitches", params={"ml_confidence_min": "0.9"}).json()["items"]
    labels = f"/glitches/{sure['id']}/labels"
    [label] = client.get(labels).json()["items"]
    assert (label["source"], label["confidence"]) == ("batch", 0.97)
    given = client.post(labels, json={"label": "Whistle"}).json()
    assert (given["confidence"], found(ml_confidence_min="0.9")) == (None, [])
    client.delete(f"{labels}/{given['id']}")
    assert found(ml_confidence_min="0.9") == [0.97]
    page = client.get("/ui/glitches", params={"confidence_min": "0.9", "view": "table"})
    assert page.status_code in (200, 303)


LIGOLW = f"""<?xml version='1.0' encoding='utf-8'?><LIGO_LW><Table Name="sngl_burst:table">
<Column Name="sngl_burst:event_id" Type="ilwd:char"/><Column Name="sngl_burst:ifo" Type="lstring"/>
<Column Name="sngl_burst:peak_time" Type="int_4s"/>
<Column Name="sngl_burst:peak_time_ns" Type="int_4s"/><Column Name="sngl_burst:snr" Type="real_4"/>
<Stream Name="sngl_burst:table" Delimiter="," Type="Local">
"sngl_burst:event_id:0","H1",{AT},400000000,9.5,
"sngl_burst:event_id:1","H1",{AT + 3},5,19.5
</Stream></Table></LIGO_LW>"""


def test_ligolw(send: Send, service: Service) -> None:
    send(with_strain(LIGOLW.encode(), "H1-OMICRON.xml"))
    stored = sorted((str(one["gps_time"]), one["snr"]) for one in catalogue(service))
    assert stored == [(f"{AT}.400000000", 9.5), (f"{AT + 3}.000000005", 19.5)]


@pytest.mark.parametrize("format_name", ["csv", "hdf5", "ligolw"])
def test_an_export_sent_back_changes_nothing(
    send: Send, service: Service, client: httpx.Client, format_name: str
) -> None:
    """The glitches are of all types: with and without time, detector, id, label and channel."""
    rng = np.random.default_rng(7)
    for number in range(6):
        named = f"H1_{'sent' if number % 2 else 'back'}{number:06d}_spectrogram_0.5.png"
        name = named if number % 3 else "picture.png"
        fields = {"view_duration_s": "0.5"}
        if number % 2:
            second, nano = int(rng.integers(1, 2**30)), int(rng.integers(0, 10**9))
            fields |= {"gps_time": f"{second}.{nano:09d}"}
            fields |= {"label": "Blip", "channel": "H1:ODD, (name) = 1"}
        if not number % 3:
            fields |= {"ifo": "V1"} if number else {}
            fields.pop("channel", None)
        files = {"file": (name, picture(20 + number))}
        answer = client.post("/embed", files=files, data=fields)
        assert answer.status_code == 201, answer.text
    sure = {"gps_time": f"{AT}.999999999", "ifo": "H1", "label": "Blip", "ml_confidence": 1 / 3}
    send(with_strain(csv_of(sure)))
    with service.engine.begin() as connection:
        flags = (
            "UPDATE glitch SET data_quality = ARRAY['H1:BAD:2', 'H1:DMT-READY:1'] WHERE ifo = 'H1'"
        )
        connection.execute(text(flags))
    before = catalogue(service)
    assert any(one["peak_gps_time"] for one in before)
    exported = client.get("/exports", params={"format": format_name})
    for content in (exported.content, with_strain(exported.content, f"back.{format_name}")):
        items = send(content, f"export.{format_name}")
        assert {item.reason for item in items} == {"It was known already."}, items
        assert {item.glitch_id for item in items} == {one["id"] for one in before}
        assert catalogue(service) == before


def test_an_export_of_another_catalogue_brings_triggers(
    send: Send, service: Service, client: httpx.Client
) -> None:
    send(with_strain(csv_of({"gps_time": AT, "ifo": "H1", "ml_label": "Blip"})))
    exported = client.get("/exports", params={"format": "csv"}).content
    with service.engine.begin() as connection:
        connection.execute(text("DELETE FROM glitch"))
    [item] = send(with_strain(exported))
    assert (item.state, item.reason) == ("done", None)
    [stored] = catalogue(service)
    assert (stored["gravityspy_id"], stored["origin"], stored["label"]) == (
        None,
        "gravityspy",
        "Blip",
    )


def test_fields_that_would_be_dropped_are_refused(client: httpx.Client) -> None:
    two = [("file", ("a.tar", tar({}))), ("file", ("b.tar", tar({})))]
    assert "Send one file, not 2" in assert_problem(client.post("/batches", files=two), 400)
    scan = {"file": ("H1_abcdefghij_spectrogram_0.5.png", picture(5))}
    detail = assert_problem(client.post("/embed", files=scan, data={"gpstime": "1"}), 400)
    assert "There is no field 'gpstime' here" in detail
    assert "gps_time" in detail
    assert client.get("/glitches").json()["items"] == []


def test_omicrons_triggers_in_a_root_file(send: Send, service: Service, tmp_path: Path) -> None:
    times, ones = np.array([AT - 4.0, AT + 0.25]), np.ones(2)
    with uproot.recreate(tmp_path / "x.root") as file:  # trees of triggers and segments, as Omicron
        where = {"time": times, "tstart": times - 0.01, "tend": times + 0.03}
        what = {"frequency": 70 * ones, "fstart": 50 * ones, "fend": 99 * ones, "q": 5 * ones}
        file.mktree("triggers", where | what | {"snr": np.array([9.0, 8.0])})
        file.mktree("segments", {"start": times - 9, "end": times + 9})
    content = (tmp_path / "x.root").read_bytes()
    items = send(with_strain(content, "H1-OMICRON-1126259440-40.root"))
    assert [item.state for item in items] == ["done", "done"], items
    stored = sorted(catalogue(service), key=lambda one: one["gps_time"])
    assert [float(one["gps_time"]) for one in stored] == [AT - 4, AT + 0.25]
    assert [(one["origin"], one["snr"]) for one in stored] == [("omicron", 9), ("omicron", 8)]
    assert (stored[0]["peak_frequency"], stored[0]["bandwidth"]) == (70, 49)


def test_an_unreadable_root_file_is_reported_as_such(send: Send) -> None:
    [item] = send(with_strain(b"root\0\0\xf5\xe1" + bytes(500), "H1-OMICRON.root"))
    assert item.reason == (
        "H1-OMICRON.root has no tree of triggers with one time each, such as Omicron's 'triggers'. "
        "From cWB, send EVENTS.txt."
    )


def windows_of(gravityspy_id: str, seed: int, folder: str = "") -> dict[str, bytes]:
    """Return the pictures of one glitch by path."""
    return {
        f"{folder}H1_{gravityspy_id}_spectrogram_{window}.png": picture(seed + index)
        for index, window in enumerate(("0.5", "1.0"))
    }


def test_rows_with_paths_of_elsewhere_are_found(send: Send, service: Service) -> None:
    """Manifests often have the paths of the machine that drew the pictures: these match too."""
    members = windows_of("faraway470", 470, "set/")
    rows = [
        {"path": f"/home/me/o3/{name}", "label": "Blip", "gps_time": f"{AT}.5"} for name in members
    ]
    assert [item.state for item in send(tar(members), manifest=csv_of(*rows))] == ["done"]
    [glitch] = catalogue(service)
    assert (str(glitch["gps_time"]), glitch["label"]) == (f"{AT}.500000000", "Blip")


@pytest.mark.parametrize(
    ("column", "one", "other"),
    [("gps_time", f"{AT}.5", f"{AT}.625"), ("label", "Blip", "Whistle"), ("snr", "18.5", "19.5")],
)
def test_contradictory_rows_are_refused(send: Send, column: str, one: str, other: str) -> None:
    """Two windows, one picture in two tables, or path and id: one of the rows used to win."""
    members = windows_of("denied4800", 480)
    first, second = members
    by_path = csv_of({"path": first, column: one})
    for tables in (
        {"m.csv": csv_of({"path": first, column: one}, {"path": second, column: other})},
        {"m.csv": by_path, "n.csv": csv_of({"gravityspy_id": "denied4800", column: other})},
        {"m.csv": by_path, "n.csv": csv_of({"path": first, column: other})},
    ):
        [item] = send(tar(members | tables))
        assert (item.name, item.state) == ("denied4800", "failed")
        assert f"say {column} {one} and {other}" in (item.reason or "")


def test_folders_are_labels_only_if_the_sender_says_so(send: Send, client: httpx.Client) -> None:
    """As Gravity Spy's training set is laid out, four windows of a glitch in its class's folder."""

    def sent(members: dict[str, bytes], **fields: Any) -> dict[str, JobItem]:
        return {item.name: item for item in send(tar(members), **fields)}

    first = {
        f"H1_fffffffff1_spectrogram_{window}.png": picture(number)
        for number, window in enumerate(("0.5", "1.0", "2.0", "4.0"), 5)
    }
    members = {f"TrainingSet/Koi_Fish/{name}": data for name, data in first.items()}
    members["TrainingSet/nonesuch/L1_fffffffff2_spectrogram_1.0.png"] = picture(15)
    items = sent(members)
    assert [item.state for item in items.values()] == ["done", "done", "skipped"]
    assert "named as classes (Koi_Fish)" in items["(the folders)"].reason
    assert "--labels-from-folders" in items["(the folders)"].reason
    path = f"/glitches/{items['fffffffff1'].glitch_id}"
    assert client.get(path).json()["label"] is None
    items = sent(members, labels_from_folders="true")  # known, and labelled
    assert [item.state for item in items.values()] == ["skipped", "skipped"]
    assert client.get(path).json()["label"] == "Koi_Fish"
    [label] = client.get(f"{path}/labels").json()["items"]
    assert (label["author"], label["source"]) == ("submitter", "batch")
    assert "no class 'nonesuch'" in items["fffffffff2"].reason
    rows = b"gravityspy_id,label\nfffffffff1,Blip\n"
    items = sent(members, manifest=rows, labels_from_folders="true")
    assert "say label Blip and Koi_Fish" in items["fffffffff1"].reason
    items = sent(first, labels_from_folders="true")
    assert (
        "lie in no folder of a class: send the folder that holds" in items["(the folders)"].reason
    )


def test_the_command_shows_what_was_left_out(
    service: Service, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Items that are neither stored nor known have a reason, also those that did not fail."""
    pictures = {"Blip/H1_leftout123_spectrogram_1.0.png": picture(31)}
    ingest(service, tar(pictures), "batch.tar")
    job, _ = ingest(service, tar({**pictures, "a.txt": b"x y", ".DS_Store": b"x"}), "batch.tar")
    monkeypatch.setenv("GLITCH_TOKEN", service.tokens["submitter"])
    shown = CliRunner().invoke(cli.app, ["jobs", "show", str(job.id), "--url", service.url])
    assert shown.exit_code == 0, shown.output
    assert "1 failed, 1 already known, 2 left out" in shown.output
    for name in ("a.txt", ".DS_Store", "(the folders)"):
        assert any(line.startswith(f" {name} ") for line in shown.output.splitlines())
    assert "H1_leftout123" not in shown.output
