"""Exported files contain the catalogue and can be read by gwpy."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import httpx
import pytest
from api_fixtures import Service, assert_problem, picture
from gwpy.table import EventTable, GravitySpyTable

from app.core.engine import make_session_factory
from worker.runner import JobRunner

GPS = "1187008882.123456789"


@pytest.fixture(scope="module", autouse=True)
def catalogue(service: Service) -> None:
    with service.client() as client:
        for number, ifo in enumerate(("H1", "L1", "H1")):
            files = {"file": (f"{ifo}_export{number:04d}_spectrogram_0.5.png", picture(number))}
            data = {"gps_time": GPS} if number == 0 else {}
            data |= {"label": "Koi_Fish"} if number == 0 else {}
            assert client.post("/embed", files=files, data=data).status_code == 201


def saved(client: httpx.Client, folder: Path, name: str, **query: str) -> Path:
    answer = client.get("/exports", params=query)
    assert answer.status_code == 200, answer.text
    path = folder / name
    path.write_bytes(answer.content)
    return path


def test_gwpy_reads_the_csv(client: httpx.Client, tmp_path: Path) -> None:
    path = saved(client, tmp_path, "glitches.csv")
    assert GPS in path.read_text()  # with all its decimals
    table = EventTable.read(path, format="ascii.csv")
    assert list(table["gravityspy_id"]) == ["export0000", "export0001", "export0002"]
    assert list(table["ifo"]) == ["H1", "L1", "H1"]
    assert table["ml_label"][0] == "Koi_Fish"
    assert (int(table["peak_time"][0]), int(table["peak_time_ns"][0])) == (1187008882, 123456789)


def test_gwpy_reads_the_hdf5(client: httpx.Client, tmp_path: Path) -> None:
    path = saved(client, tmp_path, "glitches.h5", format="hdf5", ifo="H1")
    table = EventTable.read(path, format="hdf5", path="triggers")
    assert [str(one) for one in table["gravityspy_id"]] == ["export0000", "export0002"]
    assert table["event_time"][0] == pytest.approx(float(GPS), abs=1e-6)
    assert int(table["peak_time_ns"][0]) == 123456789


def test_gwpy_reads_the_ligolw(client: httpx.Client, tmp_path: Path) -> None:
    path = saved(client, tmp_path, "glitches.xml", format="ligolw", ifo="H1")
    table = EventTable.read(path, format="ligolw", tablename="sngl_burst")
    assert list(table["param_one_name"]) == ["export0000", "export0002"]
    assert list(table["param_two_name"]) == ["Koi_Fish", ""]
    assert list(table["ifo"]) == ["H1", "H1"]
    assert (int(table["peak_time"][0]), int(table["peak_time_ns"][0])) == (1187008882, 123456789)


def test_gravity_spys_own_table_reads_it(client: httpx.Client, tmp_path: Path) -> None:
    path = saved(client, tmp_path, "glitches.csv")
    table = GravitySpyTable.read(path, format="ascii.csv")
    assert len(table.filter("ifo == H1")) == 2
    assert table["ml_label"][0] == "Koi_Fish"


def test_a_job_writes_the_file(service: Service, client: httpx.Client, tmp_path: Path) -> None:
    parameters = {"format": "ligolw", "ifo": ["L1"]}
    with service.client("reader") as reader:
        assert_problem(reader.post("/exports", json=parameters), 403)
    with service.client("submitter") as submitter:
        assert_problem(submitter.post("/exports", json={"snr_min": 9, "snr_max": 1}), 400)
        assert_problem(submitter.post("/exports", json={"label": ["Nothing"]}), 400)
        assert_problem(submitter.post("/exports", json={"format": "pickle"}), 422)
        answer = submitter.post("/exports", json=parameters)
        assert answer.status_code == 202
        job = answer.json()
        assert submitter.post("/exports", json=parameters).json()["id"] == job["id"]
    assert "is queued" in assert_problem(client.get(f"/exports/{job['id']}"), 409)
    JobRunner(make_session_factory(service.engine), service.settings).work(UUID(job["id"]))
    job = client.get(f"/jobs/{job['id']}").json()
    assert job["state"] == "succeeded", job
    assert (job["result"]["rows"], job["progress"]["done"]) == (1, 1)
    answer = client.get(job["result"]["href"])
    assert answer.headers["content-disposition"] == 'attachment; filename="glitches.xml"'
    path = tmp_path / "job.xml"
    path.write_bytes(answer.content)
    table = EventTable.read(path, format="ligolw", tablename="sngl_burst")
    assert list(table["param_one_name"]) == ["export0001"]
    assert_problem(client.get(f"/exports/{UUID(int=7)}"), 404)


def test_filters_hold_and_senseless_ones_are_refused(client: httpx.Client) -> None:
    assert client.get("/exports", params={"label": "Koi_Fish"}).text.count("\n") == 2
    assert client.get("/exports", params={"ifo": "V1"}).text.count("\n") == 1
    assert_problem(client.get("/exports", params={"snr_min": 9, "snr_max": 1}), 400)
    assert_problem(client.get("/exports", params={"format": "pickle"}), 422)
    with httpx.Client(base_url=client.base_url) as anonymous:
        assert_problem(anonymous.get("/exports"), 401)
