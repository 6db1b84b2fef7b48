"""`POST /embed` and `POST /neighbours`: the contract that clients rely on."""

from __future__ import annotations

import io
import math
from decimal import Decimal
from typing import Any
from uuid import UUID

import httpx
import numpy as np
import pytest
from api_fixtures import (
    GPS_TIME,
    SAMPLE_RATE_HZ,
    Service,
    assert_same_embedding,
    energy,
    gwosc_hdf5,
    npy,
    picture,
    strain_values,
)
from PIL import Image
from sqlalchemy import Engine, event

WINDOWS = (0.5, 1.0, 2.0, 4.0)


def embed(client: httpx.Client, *files: tuple[str, bytes], **fields: Any) -> httpx.Response:
    return client.post("/embed", files=[("file", file) for file in files], data=fields)


def assert_answer(body: dict[str, Any]) -> None:
    assert body.keys() == {"glitch", "embedding", "novelty", "neighbours", "assumed"}
    assert body["glitch"].keys() == {
        *("id", "gravityspy_id", "ifo", "gps_time", "snr", "peak_frequency", "duration", "label"),
        *("views", "links", "origin", "peak_gps_time", "centre_gps_time", "centring"),
        "ml_confidence",
    }
    assert body["embedding"].keys() == {
        *("checkpoint", "mean", "log_variance", "reconstruction_error", "simulated_class")
    }
    assert body["novelty"].keys() == {"score", "p_value", "is_judged", "reason", "basis"}
    mean, log_variance = body["embedding"]["mean"], body["embedding"]["log_variance"]
    assert len(mean) == len(log_variance) == 8
    assert all(math.isfinite(value) for value in mean + log_variance)
    for neighbour in body["neighbours"]:
        assert neighbour.keys() == {
            *("id", "gravityspy_id", "ifo", "gps_time", "label", "distance", "links", "origin")
        }
    distances = [neighbour["distance"] for neighbour in body["neighbours"]]
    assert distances == sorted(distances)
    assert all(distance >= 0 for distance in distances)


def test_strain_is_new_once(service: Service, client: httpx.Client) -> None:
    file = ("H-H1_TEST-32.hdf5", gwosc_hdf5(strain_values()))
    before = service.counts()
    first = embed(client, file, gps_time=str(GPS_TIME), ifo="H1")
    assert first.status_code == 201, first.text
    body = first.json()
    assert_answer(body)
    glitch = body["glitch"]
    assert glitch["gps_time"] == "1187008876.0625"
    assert glitch["ifo"] == "H1"
    assert glitch["views"] == list(WINDOWS)
    assert glitch["snr"] > 5
    assert 20 < glitch["peak_frequency"] < 500
    assert glitch["duration"] > 0
    assert UUID(glitch["id"])

    again = embed(client, file, gps_time=str(GPS_TIME), ifo="H1")
    assert again.status_code == 200
    assert again.json()["glitch"] == glitch
    assert_same_embedding(again.json()["embedding"], body["embedding"])
    after = service.counts()
    assert after["glitch"] == before["glitch"] + 1
    assert after["embedding"] == before["embedding"] + 1
    assert after["view"] == before["view"] + 4


def test_views_are_centred_on_the_loudest_moment(service: Service, client: httpx.Client) -> None:
    """An inexact GPS time gives the same vector, is reported, and is stored as the glitch's time.

    With ``centre=false`` the views are centred on the given time instead.
    """
    file = ("H-H1_TEST-32.hdf5", gwosc_hdf5(strain_values(4)))
    answers = {}
    for offset in ("0", "0.1", "-0.02"):
        time = GPS_TIME + Decimal(offset)
        answer = embed(client, file, gps_time=str(time), ifo="H1")
        assert answer.status_code == 201, answer.text
        answers[offset] = answer.json()
        glitch = answer.json()["glitch"]
        assert Decimal(glitch["gps_time"]) == time
        assert glitch["centre_gps_time"] == glitch["peak_gps_time"]
        assert abs(Decimal(glitch["peak_gps_time"]) - GPS_TIME) < Decimal("0.006")
    assert answers["0"]["glitch"]["centring"] is None
    assert answers["0.1"]["glitch"]["centring"].endswith(" ms earlier; centred there.")
    assert answers["-0.02"]["glitch"]["centring"].endswith(" ms later; centred there.")
    assert len({one["glitch"]["id"] for one in answers.values()}) == 3
    means = {offset: np.array(one["embedding"]["mean"]) for offset, one in answers.items()}
    kept = embed(client, file, gps_time=str(GPS_TIME + Decimal("0.1")), ifo="H1", centre="false")
    glitch = kept.json()["glitch"]
    assert kept.status_code == 201
    assert glitch["centre_gps_time"] == glitch["gps_time"]
    assert glitch["centring"].endswith(" ms earlier; centred on the given time.")
    moved = np.linalg.norm(np.array(kept.json()["embedding"]["mean"]) - means["0"])
    assert np.linalg.norm(means["0.1"] - means["0"]) < 0.1 * moved
    again = embed(client, file, gps_time=str(GPS_TIME + Decimal("0.1")), ifo="H1")
    assert (again.status_code, again.json()["glitch"]) == (200, answers["0.1"]["glitch"])
    assert client.get(f"/glitches/{glitch['id']}").json()["centring"] == glitch["centring"]
    with service.client() as other:
        looked = embed(other, file, gps_time=str(GPS_TIME + Decimal("0.1")), store="false")
    assert looked.json()["glitch"]["centring"] == answers["0.1"]["glitch"]["centring"]


def test_four_pictures_are_one_glitch(service: Service, client: httpx.Client) -> None:
    files = [
        (f"L1_Ab3dE6gH1j_spectrogram_{window}.png", picture(20 + index, duration_s=window))
        for index, window in enumerate(WINDOWS)
    ]
    before = service.counts()
    answer = embed(client, *files)
    assert answer.status_code == 201, answer.text
    glitch = answer.json()["glitch"]
    assert (glitch["ifo"], glitch["gravityspy_id"]) == ("L1", "Ab3dE6gH1j")
    assert glitch["views"] == list(WINDOWS)
    assert glitch["gps_time"] is None
    assert service.counts()["view"] == before["view"] + 4


def test_pictures_may_come_in_any_order_with_their_windows_given(client: httpx.Client) -> None:
    def answer(order: tuple[float, ...]) -> dict[str, Any]:
        files = [("picture.png", picture(40 + WINDOWS.index(window))) for window in order]
        fields = {"view_duration_s": [str(window) for window in order], "store": "false"}
        body = embed(client, *files, **fields)
        assert body.status_code == 200, body.text
        return dict(body.json())

    forward, backward = answer((0.5, 4.0)), answer((4.0, 0.5))
    assert forward["glitch"]["views"] == [0.5, 4.0]
    assert_same_embedding(forward["embedding"], backward["embedding"])


def test_one_picture_has_one_view(client: httpx.Client) -> None:
    fields = {"ifo": "V1", "gps_time": "1238205532.5", "view_duration_s": "1"}
    answer = embed(client, ("scan.png", picture(3)), **fields)
    assert answer.status_code == 201, answer.text
    glitch = answer.json()["glitch"]
    assert glitch["views"] == [1.0]
    assert (glitch["ifo"], glitch["gps_time"]) == ("V1", "1238205532.5")
    assert (glitch["snr"], glitch["peak_frequency"], glitch["duration"]) == (None, None, None)


def test_array_of_views(client: httpx.Client) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, views=np.stack([energy(60 + i) for i in range(4)]), durations_s=WINDOWS)
    answer = embed(client, ("views.npz", buffer.getvalue()), ifo="L1", store="false")
    assert answer.status_code == 200, answer.text
    assert answer.json()["glitch"]["views"] == list(WINDOWS)


def test_bare_samples_need_a_rate_and_a_time(client: httpx.Client) -> None:
    samples = ("strain.npy", npy(strain_values(7)))
    fields = {"gps_time": "1187008876", "ifo": "L1", "store": "false"}
    answer = embed(client, samples, sample_rate_hz=str(SAMPLE_RATE_HZ), **fields)
    assert answer.status_code == 200, answer.text
    assert answer.json()["glitch"]["snr"] is not None
    assert answer.json()["assumed"] == ["gps_start"]  # the GPS time is at their middle
    gwosc_file = ("H-H1_TEST-32.hdf5", gwosc_hdf5(strain_values(7)))
    assert embed(client, gwosc_file, gps_time=str(GPS_TIME), store="false").json()["assumed"] == []


def test_store_false_and_queries_store_nothing(service: Service, client: httpx.Client) -> None:
    before = service.counts()
    file = ("scan.png", picture(8))
    unstored = embed(client, file, view_duration_s="0.5", ifo="H1", store="false")
    query = client.post("/neighbours", files={"file": file}, data={"view_duration_s": "0.5"})
    for answer in (unstored, query):
        assert answer.status_code == 200, answer.text
        assert_answer(answer.json())
        assert answer.json()["glitch"]["id"] is None
        assert answer.json()["glitch"]["links"]["self"] is None
    assert service.counts() == before


def test_neighbours_are_as_many_as_asked_for_and_others(client: httpx.Client) -> None:
    own = set()
    for seed in range(70, 76):
        answer = embed(client, ("scan.png", picture(seed)), view_duration_s="2", ifo="H1")
        assert answer.status_code == 201
        own.add(answer.json()["glitch"]["id"])
        assert answer.json()["glitch"]["id"] not in {n["id"] for n in answer.json()["neighbours"]}
    for k in (0, 1, 5):
        answer = embed(
            client, ("scan.png", picture(70)), view_duration_s="2", ifo="H1", neighbours=str(k)
        )
        assert len(answer.json()["neighbours"]) == k
    query = client.post(
        "/neighbours", files={"file": ("a.png", picture(73))}, data={"view_duration_s": "2"}
    ).json()
    nearest = query["neighbours"][0]
    assert nearest["id"] in own
    assert nearest["distance"] == pytest.approx(0, abs=1e-3)
    assert client.get(nearest["links"]["self"]).json()["id"] == nearest["id"]


def test_label_is_stored_once_with_its_author(service: Service, client: httpx.Client) -> None:
    file = ("scan.png", picture(90))
    for status in (201, 200):
        answer = embed(client, file, view_duration_s="4", ifo="H1", label="Blip")
        assert answer.status_code == status, answer.text
        assert answer.json()["glitch"]["label"] == "Blip"
    labels = client.get(answer.json()["glitch"]["links"]["labels"]).json()["items"]
    assert [(one["label"], one["author"]) for one in labels] == [("Blip", "submitter")]


def test_novelty_that_cannot_be_judged_says_why(client: httpx.Client) -> None:
    answer = embed(client, ("scan.png", picture(91)), view_duration_s="4", ifo="K1")
    novelty = answer.json()["novelty"]
    assert novelty["is_judged"] is False
    assert novelty["p_value"] is None
    assert "K1" in novelty["reason"] or "50" in novelty["reason"]


def test_an_upload_takes_nine_trips_to_the_database(client: httpx.Client) -> None:
    """A new upload needs at most nine statements, as each costs about a millisecond under load.

    Among them are the token, the active model, the locks with the known glitches, four writes and
    the neighbours. An upload that is judged by calibration needs ten.
    """
    sent: list[str] = []

    def note(_1: object, _2: object, statement: str, *_: object) -> None:
        sent.append(statement)

    file = ("scan.png", picture(77, duration_s=1.0))
    event.listen(Engine, "before_cursor_execute", note)
    try:
        answer = embed(client, file, view_duration_s="1.0", ifo="V1", gps_time="1187000077.5")
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    assert answer.status_code == 201, answer.text
    assert len(sent) <= 9, "\n".join(sent)


def test_links_lead_where_they_say(client: httpx.Client) -> None:
    links = embed(client, ("scan.png", picture(92)), view_duration_s="1").json()["glitch"]["links"]
    assert client.get(links["self"]).status_code == 200
    assert client.get(links["neighbours"]).status_code == 200
    assert client.get(links["labels"]).json() == {"items": [], "next": None}
    assert set(links["views"]) == {"1.0"}
    view = client.get(links["views"]["1.0"])
    assert view.headers["content-type"] == "image/png"
    assert view.content.startswith(b"\x89PNG")


def test_gps_time_stays_exact(client: httpx.Client) -> None:
    exact = "1234567890.123456789"
    answer = embed(client, ("scan.png", picture(93)), view_duration_s="1", gps_time=exact)
    assert answer.json()["glitch"]["gps_time"] == exact
    kept = client.get(answer.json()["glitch"]["links"]["self"]).json()
    assert kept["gps_time"] == exact


def test_assumed_scales_of_a_picture_are_reported(client: httpx.Client) -> None:
    """``assumed`` lists the defaults for a picture with neither axis labels nor our metadata."""
    bare = io.BytesIO()
    with Image.open(io.BytesIO(picture(8))) as drawn:
        drawn.convert("RGB").save(bare, "PNG")
    file, fields = ("scan.png", bare.getvalue()), {"view_duration_s": "0.5", "store": "false"}
    assert embed(client, file, **fields).json()["assumed"] == ["energy_max", "frequency_range"]
    half = embed(client, file, **fields, energy_max="25.5").json()
    assert half["assumed"] == ["frequency_range"]
    both = embed(client, file, **fields, energy_max="25.5", frequency_range="10,2048").json()
    assert both["assumed"] == []
    assert both["embedding"]["mean"] == half["embedding"]["mean"]
