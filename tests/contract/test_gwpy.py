"""Unmodified ``gwpy.table.GravitySpyTable`` against the live service."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
import requests
from api_fixtures import Service, assert_problem, picture, running_service
from PIL import Image

from app.core.embedded import EmbeddedServer

WINDOWS = (0.5, 1.0, 2.0, 4.0)
PATH = "/search/similarity_search_restful_API/"
ERA_ALL = "event_time BETWEEN 1126400000 AND 1584057618"
COLUMNS = {
    *("ifo", "peak_frequency", "links_subjects", "ml_label", "searchedID", "snr"),
    *("gravityspy_id", "searchedzooID", "url1", "url2", "url3", "url4"),
}


def store_glitches(service: Service) -> list[dict[str, Any]]:
    """Store five glitches with four views and a Gravity Spy id, and one with one view and no id."""
    answers = []
    with service.client() as client:
        for index in range(5):
            files = [
                ("file", (f"{'HL'[index % 2]}1_gwpyTest0{index}_spectrogram_{window}.png", content))
                for window, content in (
                    (window, picture(200 + 10 * index + position))
                    for position, window in enumerate(WINDOWS)
                )
            ]
            fields = {"gps_time": f"{1_170_000_000 + index}.25", "label": "Blip"}
            answers.append(client.post("/embed", files=files, data=fields))
        lone = {"gps_time": "1170000100", "ifo": "L1", "view_duration_s": "2"}
        file = {"file": ("a.png", picture(290))}
        answers.append(client.post("/embed", files=file, data=lone))
    for answer in answers:
        assert answer.status_code == 201, answer.text
    return [answer.json()["glitch"] for answer in answers]


@pytest.fixture(scope="module")
def stored(service: Service) -> list[dict[str, Any]]:
    return store_glitches(service)


def test_search_and_download(
    service: Service, stored: list[dict[str, Any]], tmp_path: Path
) -> None:
    from gwpy.table import GravitySpyTable

    table = GravitySpyTable.search("gwpyTest00", howmany=5, host=service.url)
    assert set(table.colnames) >= COLUMNS
    assert len(table) == 5
    assert set(table["searchedID"]) == {"gwpyTest00"}
    assert set(table["ifo"]) <= {"H1", "L1"}
    full = table[[row["gravityspy_id"].startswith("gwpyTest") for row in table]]
    paths = full.download(download_path=tmp_path, parallel=2)
    assert len(paths) == 4 * len(full)
    for path in paths:
        with Image.open(path) as image:
            assert image.size == (800, 600)
    row = full[0]
    expected = tmp_path / f"{row['ifo']}_{row['gravityspy_id']}_spectrogram_0.5.png"
    assert expected.is_file()


def test_downloaded_pictures_find_their_glitch(
    service: Service, stored: list[dict[str, Any]], tmp_path: Path
) -> None:
    from gwpy.table import GravitySpyTable

    table = GravitySpyTable.search("gwpyTest03", howmany=1, host=service.url)
    paths = table.download(download_path=tmp_path)
    files = [("file", (Path(path).name, Path(path).read_bytes())) for path in paths]
    with service.client() as client:
        found = client.post("/neighbours", files=files).json()
    assert found["glitch"]["gravityspy_id"] == table["gravityspy_id"][0]
    assert found["neighbours"][0]["gravityspy_id"] == table["gravityspy_id"][0]


def test_detectors_and_eras_filter(service: Service, stored: list[dict[str, Any]]) -> None:
    from gwpy.table import GravitySpyTable

    only = GravitySpyTable.search("gwpyTest00", howmany=50, ifos="L1", host=service.url)
    assert set(only["ifo"]) == {"L1"}
    one = GravitySpyTable.search("gwpyTest00", howmany=50, ifos=("H1",), host=service.url)
    assert set(one["ifo"]) == {"H1"}
    none = GravitySpyTable.search("gwpyTest00", howmany=50, era="O3", host=service.url)
    assert len(none) == 0


def test_our_own_id_serves_where_there_is_no_other(
    service: Service, stored: list[dict[str, Any]]
) -> None:
    from gwpy.table import GravitySpyTable

    table = GravitySpyTable.search(stored[5]["id"], howmany=3, host=service.url)
    assert len(table) == 3
    assert set(table["searchedID"]) == {stored[5]["id"]}


def test_unknown_id_is_an_error_of_requests(service: Service, stored: list[Any]) -> None:
    from gwpy.table import GravitySpyTable

    with pytest.raises(requests.HTTPError, match="404"):
        GravitySpyTable.search("nobodyHas1", host=service.url)


def search(client: httpx.Client, **changed: str) -> httpx.Response:
    query = {
        "howmany": "3",
        "imageid": "gwpyTest00",
        "era": ERA_ALL,
        "ifo": "'H1', 'L1'",
        "database": "similarity_index_o3",
    }
    return client.get(PATH, params=query | changed)


def test_answer_is_an_object_of_equal_lists(
    client: httpx.Client, stored: list[dict[str, Any]]
) -> None:
    body = search(client).json()
    assert body.keys() >= COLUMNS
    assert {len(column) for column in body.values()} == {3}


@pytest.mark.parametrize(
    "changed",
    [
        {"era": "event_time BETWEEN 1 AND 2 OR 1=1"},
        {"era": "1=1; DROP TABLE glitch"},
        {"era": "event_time BETWEEN (SELECT 1) AND 2"},
        {"era": "event_time BETWEEN 1126400000 AND 1584057618 --"},
        {"era": ""},
        {"ifo": "'H1') OR ('1'='1"},
        {"ifo": "'H1'; DROP TABLE glitch; --"},
        {"ifo": "H1"},
        {"ifo": ""},
        {"ifo": "'X9'"},
        {"howmany": "10001"},
        {"howmany": "-1"},
        {"howmany": "1; SELECT 1"},
        {"howmany": "ten"},
        {"imageid": "' OR 1=1 --"},
        {"imageid": ""},
        {"imageid": "a\x00b"},
        {"imageid": "x" * 1000},
        {"database": "glitch; DROP TABLE glitch"},
    ],
)
def test_strict_grammar(
    service: Service, client: httpx.Client, stored: list[Any], changed: dict[str, str]
) -> None:
    before = service.counts()
    assert_problem(search(client, **changed), 400, 404, 422)
    assert service.counts() == before


def test_search_is_open_on_this_machine_only(service: Service, stored: list[Any]) -> None:
    with service.client(None) as anonymous:
        assert search(anonymous).status_code == 200
        anonymous.headers["Host"] = "rebound.example.org"
        assert_problem(search(anonymous), 401)


def test_picture_link_is_for_one_picture(service: Service, stored: list[dict[str, Any]]) -> None:
    with service.client(None) as anonymous:
        link = search(anonymous).json()["url2"][0]
        assert anonymous.get(link).headers["content-type"] == "image/png"
        assert_problem(anonymous.get(link.replace("/1.0.png", "/2.0.png")), 401)
        assert_problem(anonymous.get(link.split("&signature")[0]), 401)
        assert_problem(anonymous.get(link[:-1] + ("0" if link[-1] != "0" else "1")), 401)


def test_closed_search_takes_a_token_from_the_address(
    postgres_server: EmbeddedServer, migrated_template: str, data_folder: Path, tmp_path: Path
) -> None:
    from gwpy.table import GravitySpyTable

    with running_service(
        postgres_server, migrated_template, data_folder, public_search=False
    ) as closed:
        store_glitches(closed)
        with pytest.raises(requests.HTTPError, match="401"):
            GravitySpyTable.search("gwpyTest00", host=closed.url)
        host = closed.url.replace("://", f"://token:{closed.tokens['reader']}@")
        table = GravitySpyTable.search("gwpyTest00", howmany=1, host=host)
        assert len(table.download(download_path=tmp_path)) == 4
        assert len(list(tmp_path.glob("*.png"))) == 4
