"""`/glitches` and related routes: pages, filters, pictures, labels, classes, checkpoints."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import numpy as np
import pytest
from api_fixtures import Service, assert_problem, assert_same_embedding, picture
from PIL import Image

SEEDS = range(100, 112)
IFOS = ("H1", "L1", "V1")


@pytest.fixture(scope="module")
def stored(service: Service) -> list[dict[str, Any]]:
    """Provide the responses to twelve uploads, in the order in which they were stored."""
    answers = []
    with service.client() as client:
        for index, seed in enumerate(SEEDS):
            fields = {
                "ifo": IFOS[index % 3],
                "gps_time": f"{1_200_000_000 + index}.5",
                "view_duration_s": "0.5" if index % 2 else "2",
            }
            if index < 4:
                fields["label"] = ("Blip", "Tomte")[index % 2]
            answer = client.post("/embed", files={"file": ("a.png", picture(seed))}, data=fields)
            assert answer.status_code == 201, answer.text
            answers.append(answer.json())
    return answers


@pytest.fixture
def reader(service: Service) -> Iterator[httpx.Client]:
    with service.client("reader") as client:
        yield client


def ids(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [item["id"] for item in answer.json()["items"]]


def test_pages_give_each_glitch_once_latest_first(
    reader: httpx.Client, stored: list[dict[str, Any]]
) -> None:
    seen: list[str] = []
    cursor = None
    for _ in range(10):
        params = {"limit": 5} | ({"cursor": cursor} if cursor else {})
        answer = reader.get("/glitches", params=params)
        assert answer.json().keys() == {"items", "next"}
        seen += ids(answer)
        cursor = answer.json()["next"]
        if cursor is None:
            break
    assert seen == [one["glitch"]["id"] for one in reversed(stored)]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"ifo": "H1"}, [0, 3, 6, 9]),
        ({"ifo": ["H1", "L1"]}, [0, 1, 3, 4, 6, 7, 9, 10]),
        ({"gps_start": "1200000003.5", "gps_end": "1200000005.5"}, [3, 4, 5]),
        ({"gps_start": "1200000003.6", "gps_end": "1200000005.4"}, [4]),
        ({"label": "Blip"}, [0, 2]),
        ({"label": ["Blip", "Tomte"]}, [0, 1, 2, 3]),
        ({"is_labelled": "false", "ifo": "H1"}, [6, 9]),
        ({"origin": "simulated"}, []),
        ({"origin": "upload", "ifo": "V1"}, [2, 5, 8, 11]),
        ({"snr_min": "7.5"}, []),
    ],
)
def test_filters(
    reader: httpx.Client, stored: list[dict[str, Any]], query: dict[str, Any], expected: list[int]
) -> None:
    found = ids(reader.get("/glitches", params=query))
    assert found == [stored[index]["glitch"]["id"] for index in reversed(expected)]


def test_one_glitch_with_its_embedding(reader: httpx.Client, stored: list[dict[str, Any]]) -> None:
    body = reader.get(f"/glitches/{stored[0]['glitch']['id']}").json()
    for key, value in stored[0]["glitch"].items():
        assert body[key] == value
    assert_same_embedding(body["embedding"], stored[0]["embedding"])
    assert body["novelty"] == stored[0]["novelty"]
    assert body["channel"] is None
    assert body["created_at"]


def test_neighbours_of_one(reader: httpx.Client, stored: list[dict[str, Any]]) -> None:
    path = f"/glitches/{stored[0]['glitch']['id']}/neighbours"
    body = reader.get(path, params={"neighbours": 200}).json()
    assert len(body["items"]) == len(stored) - 1
    distances = [item["distance"] for item in body["items"]]
    assert distances == sorted(distances)
    means = {one["glitch"]["id"]: np.array(one["embedding"]["mean"]) for one in stored}
    own = means.pop(stored[0]["glitch"]["id"])
    expected = {key: float(np.linalg.norm(mean - own)) for key, mean in means.items()}
    for item in body["items"]:
        assert item["distance"] == pytest.approx(expected[item["id"]], rel=1e-4)
    only = reader.get(path, params={"ifo": "L1", "neighbours": 2}).json()["items"]
    assert [item["ifo"] for item in only] == ["L1", "L1"]
    assert reader.get(path, params={"neighbours": 0}).json()["items"] == []
    for wrong in (-1, 10_001):
        assert "10,000" in assert_problem(reader.get(path, params={"neighbours": wrong}), 400)


def test_pictures(reader: httpx.Client, stored: list[dict[str, Any]]) -> None:
    own = f"/glitches/{stored[1]['glitch']['id']}/views"
    plain = reader.get(f"{own}/0.5.png")
    assert plain.headers["content-type"] == "image/png"
    with Image.open(io.BytesIO(plain.content)) as image:
        image.load()
    with Image.open(io.BytesIO(reader.get(f"{own}/0.5.png?axes=true").content)) as image:
        assert image.size == (800, 600)
    assert "0.5" in assert_problem(reader.get(f"{own}/4.0.png"), 404)


def test_picture_comes_back_as_it_went_in(
    reader: httpx.Client, stored: list[dict[str, Any]]
) -> None:
    glitch = stored[1]["glitch"]
    content = reader.get(glitch["links"]["views"]["0.5"]).content
    query = {"view_duration_s": "0.5", "ifo": glitch["ifo"]}
    found = reader.post("/neighbours", files={"file": ("a.png", content)}, data=query).json()
    assert found["neighbours"][0]["id"] == glitch["id"]


def test_labels_are_appended_and_revoked_never_changed(
    service: Service, client: httpx.Client, stored: list[dict[str, Any]]
) -> None:
    own = f"/glitches/{stored[5]['glitch']['id']}"
    first = client.post(f"{own}/labels", json={"label": "Whistle"})
    assert first.status_code == 201, first.text
    assert first.json()["author"] == "submitter"
    with service.client("reviewer") as reviewer:
        second = reviewer.post(f"{own}/labels", json={"label": "Scratchy"}).json()
        assert client.get(own).json()["label"] == "Scratchy"
        assert_problem(client.delete(f"{own}/labels/{second['id']}"), 403)
        revoked = reviewer.delete(f"{own}/labels/{second['id']}")
        assert revoked.status_code == 200
        assert revoked.json()["revoked_by"] == "reviewer"
        assert_problem(reviewer.delete(f"{own}/labels/{second['id']}"), 409)
    assert client.get(own).json()["label"] == "Whistle"
    assert client.delete(f"{own}/labels/{first.json()['id']}").status_code == 200
    assert client.get(own).json()["label"] is None
    history = client.get(f"{own}/labels").json()["items"]
    assert [one["label"] for one in history] == ["Whistle", "Scratchy"]
    assert all(one["revoked_at"] for one in history)


def test_invalid_labels_are_refused(client: httpx.Client, stored: list[dict[str, Any]]) -> None:
    own = f"/glitches/{stored[6]['glitch']['id']}"
    assert_problem(client.post(f"{own}/labels", json={"label": "Nonsense"}), 400, 404)
    assert_problem(client.post(f"{own}/labels", json={"label": "'; DROP TABLE label"}), 422)
    assert_problem(client.post(f"{own}/labels", json={}), 422)
    assert_problem(client.post(f"/glitches/{uuid4()}/labels", json={"label": "Blip"}), 404)
    other = client.post(f"{own}/labels", json={"label": "Blip"}).json()
    elsewhere = f"/glitches/{stored[7]['glitch']['id']}/labels/{other['id']}"
    assert_problem(client.delete(elsewhere), 404)
    assert_problem(client.delete(f"{own}/labels/{uuid4()}"), 404)


def test_classes_and_checkpoints(reader: httpx.Client) -> None:
    names = [item["name"] for item in reader.get("/classes").json()["items"]]
    assert {"Blip", "Koi_Fish", "Scattered_Light"} <= set(names)
    (checkpoint,) = reader.get("/checkpoints").json()["items"]
    assert (checkpoint["name"], checkpoint["is_active"], checkpoint["latent_size"]) == (
        *("tiny", True),
        8,
    )


def test_health_and_metrics(reader: httpx.Client) -> None:
    assert reader.get("/healthz").json()["status"] == "ok"
    assert reader.get("/readyz").json() == {
        "status": "degraded",  # no Redis here
        "checks": {
            "database": "ok",
            "disk": "ok",
            "model": "ok",
            "background": "REDIS_URL is not set: jobs wait until it is, and a worker runs.",
        },
    }
    text = reader.get("/metrics").text
    assert 'glitch_http_requests_total{method="GET",route="/readyz",status="200"}' in text
    assert "not-a-uuid" not in text
