"""Public files, unchanged from their sources, sent to the live service."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from api_fixtures import Service, assert_problem, running_service, tiny_data_folder

from app.core.embedded import EmbeddedServer

pytestmark = pytest.mark.real_data

STRAIN = {  # file -> GPS time, detector
    "H-H1_LOSC_4_V2-1126259446-32.hdf5": ("1126259462.4", "H1"),
    "L-L1_LOSC_4_V2-1126259446-32.hdf5": ("1126259462.4", "L1"),
    "L1_GW170817_4K_32s.hdf5": ("1187008881.38", "L1"),
}

_WINDOWS = ("0.5", "1", "2", "4")


@pytest.fixture(scope="module")
def service(postgres_server: EmbeddedServer, migrated_template: str) -> Iterator[Service]:
    with (
        tiny_data_folder() as folder,
        running_service(postgres_server, migrated_template, folder) as running,
    ):
        yield running


@pytest.mark.parametrize("name", STRAIN)
def test_strain(service: Service, shared_data: Path, name: str) -> None:
    gps_time, ifo = STRAIN[name]
    content = (shared_data / "strain" / name).read_bytes()
    fields = {"gps_time": gps_time}
    with service.client() as client:
        answer = client.post("/embed", files={"file": (name, content)}, data=fields)
        assert answer.status_code == 201, answer.text
        glitch = answer.json()["glitch"]
        assert (glitch["ifo"], glitch["gps_time"]) == (ifo, gps_time)
        assert glitch["views"] == [0.5, 1.0, 2.0, 4.0]
        assert glitch["snr"] > 7.5
        again = client.post("/embed", files={"file": (name, content)}, data=fields)
        assert again.status_code == 200


def test_time_near_the_edge_names_the_usable_interval(service: Service, shared_data: Path) -> None:
    name = "H-H1_LOSC_4_V2-1126259446-32.hdf5"
    file = {"file": (name, (shared_data / "strain" / name).read_bytes())}
    with service.client() as client:
        for gps_time in ("1126259446.2", "1126259477.9", "1126259999"):
            answer = client.post("/embed", files=file, data={"gps_time": gps_time})
            detail = assert_problem(answer, 400)
            assert "1126259446" in detail
            assert "1126259478" in detail


def test_official_pictures(service: Service, shared_data: Path) -> None:
    folder = shared_data / "gravityspy_originals"
    with service.client() as client:
        for path in sorted(folder.glob("*.*")):
            file = {"file": (path.name, path.read_bytes())}
            if "_spectrogram_" in path.name:
                answer = client.post("/embed", files=file, data={"store": "false"})
                assert answer.status_code == 200, (path.name, answer.text)
                continue
            given = {one: {"store": "false", "view_duration_s": one} for one in _WINDOWS}
            answers = {one: client.post("/embed", files=file, data=given[one]) for one in given}
            taken = [one for one, answer in answers.items() if answer.status_code == 200]
            # Axis labels such as -1.0, -0.5, 0.0 fit a window of 2 s as well as one of 4 s.
            assert taken in (["0.5"], ["2", "4"]), (path.name, taken)
            for one in set(given) - set(taken):
                assert f"fit a window of {one} s" in assert_problem(answers[one], 400)
        for sub in sorted(path for path in folder.iterdir() if path.is_dir()):
            groups: dict[str, list[Path]] = {}
            for path in sorted(sub.glob("*.png")):
                groups.setdefault(path.name.split("_spectrogram_")[0], []).append(path)
            for stem, paths in groups.items():
                files = [("file", (path.name, path.read_bytes())) for path in paths]
                answer = client.post("/embed", files=files, data={"label": sub.name})
                assert answer.status_code == 201, (stem, answer.text)
                glitch = answer.json()["glitch"]
                assert f"{glitch['ifo']}_{glitch['gravityspy_id']}" == stem
                assert len(glitch["views"]) == len(paths)
                assert glitch["label"] == sub.name
