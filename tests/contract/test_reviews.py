"""`/clusters/{id}/review` and its history."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import httpx
import pytest
from api_fixtures import Service, assert_problem
from cluster_helpers import store_cluster, store_run
from web_fixtures import fill_catalogue

from app.core.engine import make_session_factory


@pytest.fixture(scope="module")
def members(service: Service) -> list[UUID]:
    return [one.id for one in fill_catalogue(service, 12)]


@pytest.fixture
def cluster(service: Service, members: list[UUID]) -> str:
    with make_session_factory(service.engine)() as session:
        made = store_cluster(session, store_run(session), members).id
        session.commit()
    return str(made)


@pytest.fixture
def reviewer(service: Service) -> Iterator[httpx.Client]:
    with service.client("reviewer") as client:
        yield client


def review(client: httpx.Client, cluster: str, action: str, seen: int = 0, **more: Any) -> Any:
    body = {"action": action, "last_event_id": seen, **more}
    return client.post(f"/clusters/{cluster}/review", json=body)


def test_name_undo_redo(reviewer: httpx.Client, cluster: str) -> None:
    named = review(reviewer, cluster, "promote", class_name="Crown", remark="Arches.").json()
    assert (named["state"], named["suggestions"], named["cluster_id"]) == ("promoted", 2, cluster)
    assert "Crown" in {one["name"] for one in reviewer.get("/classes").json()["items"]}
    seen = named["history"]["last_event_id"]
    undone = review(reviewer, cluster, "undo", seen, event_id=named["event_id"]).json()
    assert (undone["state"], undone["suggestions"]) == ("flagged", 0)
    assert "Crown" not in {one["name"] for one in reviewer.get("/classes").json()["items"]}
    review(reviewer, cluster, "redo", undone["event_id"], event_id=named["event_id"])
    history = reviewer.get(f"/clusters/{cluster}/history").json()
    assert [one["kind"] for one in history["items"]] == ["promote", "undo", "redo"]
    first = history["items"][0]
    assert (first["author"], first["class_name"], first["text"]) == ("reviewer", "Crown", "Arches.")
    assert first["is_in_force"]
    assert first["may_undo"]
    review(reviewer, cluster, "undo", history["last_event_id"], event_id=named["event_id"])


def test_the_second_reviewer_gets_409_with_who_did_what(
    reviewer: httpx.Client, cluster: str
) -> None:
    assert review(reviewer, cluster, "dismiss").status_code == 200
    detail = assert_problem(review(reviewer, cluster, "promote", class_name="Crown"), 409)
    assert "reviewer: dismissed it" in detail
    assert review(reviewer, cluster, "comment", text="Fair.").status_code == 200


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"action": "promote", "class_name": ""}, 400),
        ({"action": "promote", "class_name": "x" * 10_000}, 400),
        ({"action": "promote", "class_name": "<script>"}, 400),
        ({"action": "promote", "class_name": "a\0b"}, 400),
        ({"action": "promote", "class_name": "Blip"}, 409),
        ({"action": "merge", "class_name": "a\0b"}, 400),
        ({"action": "merge"}, 422),
        ({"action": "vanish"}, 422),
        ({"action": "dismiss", "last_event_id": -1}, 422),
        ({"action": "dismiss", "last_event_id": 10**30}, 422),
        ({"action": "dismiss", "last_event_id": 12_345}, 400),
        ({"action": "dismiss", "member_ids": []}, 422),
        ({"action": "split", "member_ids": []}, 422),
        ({"action": "split", "member_ids": [str(UUID(int=1))]}, 400),
        ({"action": "accept"}, 409),
        ({"action": "comment", "text": "\0"}, 400),
        ({"action": "undo", "event_id": 999_999}, 404),
        ([], 422),
    ],
)
def test_bad_requests(reviewer: httpx.Client, cluster: str, body: Any, status: int) -> None:
    if isinstance(body, dict):
        body = {"last_event_id": 0, **body}
    assert_problem(reviewer.post(f"/clusters/{cluster}/review", json=body), status)
    assert reviewer.get(f"/clusters/{cluster}/history").json() == {"items": [], "last_event_id": 0}


def test_access(service: Service, cluster: str) -> None:
    with service.client("submitter") as submitter:
        assert_problem(review(submitter, cluster, "dismiss"), 403)
    with service.client("reader") as reader:
        assert reader.get(f"/clusters/{cluster}/history").status_code == 200
        assert_problem(reader.get(f"/clusters/{UUID(int=3)}/history"), 404)
    with service.client(None) as anonymous:
        assert_problem(anonymous.get(f"/clusters/{cluster}/history"), 401)
