"""The map over HTTP: drawn by a job, sent as columns, kept current, labelled by selection."""

from __future__ import annotations

import os
from collections.abc import Iterator
from uuid import UUID, uuid4

import httpx
import numpy as np
import pytest
import zstandard
from api_fixtures import Service, assert_problem, running_service, tiny_data_folder
from cluster_helpers import store_cluster, store_run
from map_helpers import GPS_START, order_of, store_kinds, work
from sqlalchemy import delete, text
from web_fixtures import Walker

from app.core.embedded import EmbeddedServer
from app.core.engine import make_session_factory
from app.glitches.tables import Glitch
from app.map.columns import MAGIC, unpack
from app.map.service import redraw_after_removal, request_due_job
from app.models.checkpoints import activate_checkpoint, active_checkpoint, publish_checkpoint

COUNT = 12  # too few for UMAP, which has its own test, so that none here compiles it


@pytest.fixture(scope="module")
def running(postgres_server: EmbeddedServer, migrated_template: str) -> Iterator[Service]:
    with (
        tiny_data_folder() as folder,
        running_service(postgres_server, migrated_template, folder) as running,
    ):
        yield running


@pytest.fixture
def service(running: Service) -> Service:
    """The service with an empty catalogue."""
    with running.engine.begin() as connection:
        connection.exec_driver_sql(
            "TRUNCATE glitch, projection, job, clustering_run, bulk_label RESTART IDENTITY CASCADE"
        )
    return running


@pytest.fixture
def drawn(service: Service) -> list[UUID]:
    """The glitch ids of a catalogue whose map is drawn."""
    ids = store_kinds(service, COUNT)
    with service.client("submitter") as client:
        done = work(service, client.post("/map", json={}).json()["id"])
    assert (done.state, done.result) == ("succeeded", {"projection": 1, "points": COUNT})
    return ids


def read(client: httpx.Client) -> tuple[dict, dict[str, np.ndarray], bytes]:
    answer = client.get("/map")
    assert answer.status_code == 200, answer.text
    header, columns = unpack(answer.content)
    ids = client.get("/map/ids", params={"version": header["version"]})
    assert ids.status_code == 200, ids.text
    return header, columns, ids.content


def test_there_is_no_map_until_one_is_drawn(service: Service) -> None:
    with service.client("submitter") as client:
        assert "POST /map" in assert_problem(client.get("/map"), 404)
        state = client.get("/map/state").json()
        assert (state["projection"], state["n_unplaced"], state["job"]) == (None, 0, None)
        assert "3 glitches at least" in assert_problem(client.post("/map", json={}), 409)
        assert "POST /map" in assert_problem(client.post("/map", json={"act": "place"}), 404)
        assert "16 to" in assert_problem(client.post("/map", json={"sample": 3}), 400)
        store_kinds(service, 4)
        first = client.post("/map", json={})
        assert first.status_code == 202
        assert client.post("/map", json={}).json()["id"] == first.json()["id"]
        assert client.get("/map/state").json()["job"]["id"] == first.json()["id"]
    with service.client("reader") as reader:
        assert_problem(reader.post("/map", json={}), 403)
        assert reader.get("/map/state").status_code == 200


def test_the_page_says_how_the_map_was_laid_out(
    service: Service, drawn: list[UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Walker(service, "reader") as walker:
        assert "laid out by two principal directions." in walker.client.get("/ui/map").text
        monkeypatch.setattr("glitch.projection.FEWEST_FOR_UMAP", len(drawn))
        assert "laid out by UMAP." in walker.client.get("/ui/map").text


def test_columns_say_what_the_catalogue_says(service: Service, drawn: list[UUID]) -> None:
    with make_session_factory(service.engine).begin() as session:
        run = store_run(session)
        made = store_cluster(session, run, [drawn[1], drawn[3], drawn[7]])
        cluster_id = str(made.id)
    with service.client("reviewer") as client:
        client.post(f"/glitches/{drawn[2]}/labels", json={"label": "Whistle"})
        header, columns, ids = read(client)
    assert header["n_points"] == header["n_laid_out"] == COUNT
    where = order_of(ids, drawn)
    names = [one["name"] for one in header["classes"]]
    assert names[0] is None
    assert names.index("Whistle") == columns["class"][where[2]]
    assert header["classes"][names.index("Whistle")]["count"] == 1
    assert header["classes"][0]["count"] == COUNT - 1
    detectors = [header["ifos"][columns["ifo"][one]]["name"] for one in where]
    assert detectors == ["H1", "L1"] * (COUNT // 2)
    gps = [GPS_START + 1000 * index + 0.25 for index in range(COUNT)]
    np.testing.assert_array_equal(columns["gps_time"][where], gps)
    assert [header["clusters"][columns["cluster"][where[one]]]["id"] for one in (1, 2, 3)] == [
        cluster_id,
        None,
        cluster_id,
    ]
    simulated = [index % 5 == 0 for index in range(COUNT)]
    assert columns["is_simulated"][where].astype(bool).tolist() == simulated
    assert np.isnan(columns["p_value"]).all()  # without labels nothing can be judged
    origins = [header["origins"][columns["origin"][one]]["name"] for one in where]
    assert origins == ["simulated" if one else "upload" for one in simulated]
    assert {header["runs"][one]["name"] for one in columns["run"]} == {"between O2 and O3a"}
    np.testing.assert_array_equal(columns["snr"][where], 8 + np.arange(COUNT, dtype=np.float32))
    np.testing.assert_array_equal(columns["peak_frequency"][where], 20 + np.arange(COUNT))
    place = np.stack([columns["x"], columns["y"]], axis=1)[where]
    assert np.abs(place).max() == pytest.approx(1)
    between = np.linalg.norm(place[::2].mean(axis=0) - place[1::2].mean(axis=0))
    within = np.linalg.norm(place[::2] - place[::2].mean(axis=0), axis=1).max()
    assert between > 2 * within


def test_the_map_is_sent_compressed_and_only_if_it_changed(
    service: Service, drawn: list[UUID]
) -> None:
    with service.client("reviewer") as client:
        plain = client.get("/map", headers={"Accept-Encoding": "identity"})
        assert plain.content.startswith(MAGIC)
        assert "content-encoding" not in plain.headers
        gzip = client.get("/map", headers={"Accept-Encoding": "gzip, zstd;q=0"})
        assert gzip.headers["content-encoding"] == "gzip"
        assert gzip.content == plain.content  # httpx has decompressed it
        with client.stream("GET", "/map", headers={"Accept-Encoding": "zstd, gzip"}) as answer:
            assert answer.headers["content-encoding"] == "zstd"
            packed = b"".join(answer.iter_raw())
        assert zstandard.ZstdDecompressor().decompress(packed) == plain.content
        tag = answer.headers["etag"]
        known = {"Accept-Encoding": "zstd", "If-None-Match": f'"other", {tag}'}
        folder = max(service.settings.data_dir.rglob("*.points.zst")).parent
        of_killed, of_another = folder / "old.points.1", folder / "new.points.2"
        of_killed.touch()
        os.utime(of_killed, (0, 0))
        of_another.touch()
        again = client.get("/map", headers=known)
        assert (again.status_code, again.content) == (304, b"")
        label = client.post(f"/glitches/{drawn[0]}/labels", json={"label": "Blip"}).json()
        changed = client.get("/map", headers=known)
        assert changed.status_code == 200
        assert changed.headers["etag"] != tag
        assert (of_killed.exists(), of_another.exists()) == (False, True)
        client.post(f"/labels/{label['id']}/revoke")
        assert_problem(client.get("/map/ids", params={"version": "0" * 20}), 404)
        assert_problem(client.get("/map/ids", params={"version": "../../x"}), 404)


def test_newcomers_join_without_moving_anything(service: Service, drawn: list[UUID]) -> None:
    sessions = make_session_factory(service.engine)
    with service.client("submitter") as client:
        _, before, ids = read(client)
        with sessions.begin() as session:
            assert request_due_job(session) is None
        new = store_kinds(service, 6, start=COUNT)
        assert client.get("/map/state").json()["n_unplaced"] == 6
        with sessions.begin() as session:
            job = request_due_job(session)
            assert job is not None
            assert request_due_job(session) == job  # not a second one
        assert work(service, job.id).state == "succeeded"
        with sessions.begin() as session:
            assert request_due_job(session) is None
        _, after, all_ids = read(client)
        assert client.get("/map/state").json()["n_unplaced"] == 0
    kept, old = order_of(all_ids, drawn), order_of(ids, drawn)
    for axis in ("x", "y"):
        np.testing.assert_array_equal(after[axis][kept], before[axis][old])
    place = np.stack([after["x"], after["y"]], axis=1)
    for index, one in enumerate(order_of(all_ids, new)):
        apart = np.linalg.norm(place[kept] - place[one], axis=1)
        assert apart.argmin() % 2 == index % 2  # near its own type


def test_the_map_after_a_removal_accepts_new_glitches(service: Service, drawn: list[UUID]) -> None:
    sessions = make_session_factory(service.engine)
    later = store_kinds(service, 4, start=COUNT)
    with service.client("submitter") as client:
        place = {"act": "place"}
        work(service, client.post("/map", json=place).json()["id"])
        with sessions.begin() as session:  # all glitches of the layout
            session.execute(delete(Glitch).where(Glitch.id.in_(drawn)))
        newest = store_kinds(service, 1, start=COUNT + 4)
        failed = work(service, client.post("/map", json=place).json()["id"])
        assert failed.state == "failed"
        assert "draw it again" in str(failed.detail)
        with sessions.begin() as session:
            redraw_after_removal(session, "somebody")
        work(service, UUID(client.get("/map/state").json()["job"]["id"]))
        assert client.get("/map/state").json()["projection"]["n_laid_out"] == 5
        newest += store_kinds(service, 1, start=COUNT + 5)
        work(service, client.post("/map", json=place).json()["id"])
        assert client.get("/map/state").json()["n_unplaced"] == 0
        with sessions.begin() as session:
            session.execute(delete(Glitch).where(Glitch.id.in_(later)))
            redraw_after_removal(session, "somebody")  # fewer are left than a map needs
        assert client.get("/map/state").json()["projection"] is None


def test_drawing_again_replaces_the_map_when_it_is_whole(
    service: Service, drawn: list[UUID]
) -> None:
    with service.client("submitter") as client:
        _, before, _ = read(client)
        job = client.post("/map", json={}).json()["id"]
        assert client.get("/map").status_code == 200  # the old one is still served
        assert work(service, job).state == "succeeded"
        _, after, _ = read(client)
        state = client.get("/map/state").json()
    assert state["projection"]["id"] == 2
    np.testing.assert_array_equal(before["x"], after["x"])  # the same catalogue, the same map
    with service.engine.connect() as connection:
        counted = connection.exec_driver_sql("SELECT count(*) FROM map_point").scalar()
    assert counted == COUNT


def test_a_switch_of_the_checkpoint_draws_its_map(service: Service, drawn: list[UUID]) -> None:
    sessions = make_session_factory(service.engine)
    with sessions.begin() as session:
        was = active_checkpoint(session)
        other = publish_checkpoint(
            session,
            name="other",
            digest=uuid4().hex * 2,
            preprocessing_digest=was.preprocessing_digest,
            latent_size=was.latent_size,
            manifest={},
        )
        assert request_due_job(session) is None  # no glitch is embedded with it
        session.execute(
            text(
                "INSERT INTO embedding (glitch_id, checkpoint_id, is_simulated, is_reference, mean,"
                " log_variance, reconstruction_error, kl, is_judged) SELECT glitch_id, :other,"
                " is_simulated, is_reference, mean, log_variance, 1, 1, false FROM embedding"
            ),
            {"other": other.id},
        )
        job = request_due_job(session)
        assert job is not None
        assert job.parameters == {"act": "draw", "checkpoint_id": other.id}
    try:
        with service.client("admin") as admin:
            assert_problem(admin.get("/map"), 404)
            admin.post(f"/jobs/{job.id}/cancel")
        with sessions.begin() as session:
            assert request_due_job(session) is None  # somebody cancelled it
    finally:
        with sessions.begin() as session:
            activate_checkpoint(session, was.id)


def test_a_selection_is_labelled_and_taken_back_as_one(service: Service, drawn: list[UUID]) -> None:
    chosen = [str(one) for one in drawn[:5]]
    with service.client("reviewer") as client:
        client.post(f"/glitches/{drawn[0]}/labels", json={"label": "Blip"})
        body = {"glitch_ids": [*chosen, chosen[0]], "label": "Whistle"}
        made = client.post("/map/labels", json=body)
        assert made.status_code == 201, made.text
        assert (made.json()["n_glitches"], made.json()["label"]) == (5, "Whistle")
        labels = [client.get(f"/glitches/{one}").json()["label"] for one in chosen]
        assert labels == ["Whistle"] * 5
        client.post(f"/glitches/{drawn[1]}/labels", json={"label": "Tomte"})
        undone = client.post(f"/map/labels/{made.json()['id']}/undo")
        assert undone.json()["undone_by"] == "reviewer"
        labels = [client.get(f"/glitches/{one}").json()["label"] for one in chosen]
        assert labels == ["Blip", "Tomte", None, None, None]
        problem = assert_problem(client.post(f"/map/labels/{made.json()['id']}/undo"), 409)
        assert "by reviewer" in problem
        assert [one["id"] for one in client.get("/map/labels").json()["items"]] == [
            made.json()["id"]
        ]


def around(columns: dict[str, np.ndarray], where: list[int]) -> list[list[float]]:
    """Return the corners of a box around these points."""
    xs, ys = columns["x"][where], columns["y"][where]
    left, right = float(xs.min()) - 0.01, float(xs.max()) + 0.01
    low, high = float(ys.min()) - 0.01, float(ys.max()) + 0.01
    return [[left, low], [right, low], [right, high], [left, high]]


def test_a_region_is_resolved_named_and_taken_back_with_its_class(
    service: Service, drawn: list[UUID]
) -> None:
    with service.client("reviewer") as client:
        header, columns, ids = read(client)
        box = around(columns, order_of(ids, drawn[::2]))
        region = {"version": header["version"], "polygon": box}
        found = client.post("/map/region", json=region).json()
        assert {UUID(one) for one in found["glitch_ids"]} == set(drawn[::2])
        region["leave_out"] = {"origin": ["simulated"], "class": ["Blip"], "run": [None]}
        region["ranges"] = {"snr": [None, 16], "gps_time": [GPS_START + 1, None]}
        expected = {drawn[index] for index in (2, 4, 6, 8)}  # glitch 0 is simulated and too early
        found = client.post("/map/region", json=region).json()
        assert {UUID(one) for one in found["glitch_ids"]} == expected
        body = {"region": region, "label": "Thunder", "is_new": True}
        made = client.post("/map/labels", json=body)
        assert made.status_code == 201, made.text
        assert made.json()["n_glitches"] == len(expected)
        assert {
            UUID(one["id"]) for one in client.get("/glitches?label=Thunder").json()["items"]
        } == expected
        assert_problem(client.post("/map/labels", json=body), 409)  # the class exists now
        client.post(f"/map/labels/{made.json()['id']}/undo")
        names = [one["name"] for one in client.get("/classes").json()["items"]]
        assert "Thunder" not in names
        again = client.post("/map/labels", json=body).json()
        client.post(f"/glitches/{drawn[1]}/labels", json={"label": "Thunder"})
        client.post(f"/map/labels/{again['id']}/undo")
        names = [one["name"] for one in client.get("/classes").json()["items"]]
        assert "Thunder" in names  # another label uses it by now


def test_an_invalid_region_is_refused(service: Service, drawn: list[UUID]) -> None:
    with service.client("reviewer") as client:
        version = read(client)[0]["version"]
        square = [[-1, -1], [1, -1], [1, 1]]
        for change, status in (
            ({"version": "0" * 20}, 404),
            ({"polygon": square[:2]}, 422),
            ({"polygon": [*square[:2], ["NaN", 0]]}, 400),
            ({"polygon": square * 1000}, 422),
            ({"leave_out": {"x": ["a"]}}, 400),
            ({"ranges": {"x": [0, 1]}}, 400),
        ):
            region = {"version": version, "polygon": square, **change}
            assert_problem(client.post("/map/region", json=region), status)
        both = {"glitch_ids": [str(drawn[0])], "region": {"version": version, "polygon": square}}
        assert_problem(client.post("/map/labels", json={**both, "label": "Blip"}), 422)
        assert_problem(client.post("/map/clusters", json={}), 422)


def test_a_selection_becomes_a_cluster_to_review(service: Service, drawn: list[UUID]) -> None:
    chosen = [str(one) for one in drawn[1:5]]
    with service.client("reviewer") as client:
        problem = assert_problem(client.post("/map/clusters", json={"glitch_ids": chosen}), 409)
        assert "start a clustering" in problem
        with make_session_factory(service.engine).begin() as session:
            store_run(session)
        everyone = {"glitch_ids": [str(one) for one in drawn]}
        assert "simulated" in assert_problem(client.post("/map/clusters", json=everyone), 409)
        assert_problem(client.post("/map/clusters", json={"glitch_ids": chosen[:1]}), 400)
        made = client.post("/map/clusters", json={"glitch_ids": chosen})
        assert made.status_code == 201, made.text
        found = client.get(f"/clusters/{made.json()['id']}").json()
        assert (found["size"], found["state"]) == (4, "flagged")
        header, columns, ids = read(client)  # the map shows it
        where = order_of(ids, drawn)
        shown = {header["clusters"][columns["cluster"][where[one]]]["id"] for one in range(1, 5)}
        assert shown == {made.json()["id"]}


def test_an_invalid_label_of_a_selection_changes_nothing(
    service: Service, drawn: list[UUID]
) -> None:
    one = str(drawn[0])
    with service.client("reviewer") as client:
        for ids, name, status in (
            ([one, str(uuid4())], "Blip", 404),
            ([one], "No_such_class", 400),
            ([one], "x" * 10_000, 422),
            ([], "Blip", 422),
        ):
            body = {"glitch_ids": ids, "label": name}
            assert_problem(client.post("/map/labels", json=body), status)
        assert_problem(client.post(f"/map/labels/{uuid4()}/undo"), 404)
        assert client.get(f"/glitches/{one}").json()["label"] is None
        assert client.get("/map/labels").json()["items"] == []
    with service.client("submitter") as submitter:
        body = {"glitch_ids": [one], "label": "Blip"}
        assert_problem(submitter.post("/map/labels", json=body), 403)
