"""`/classes` over HTTP: a class from creation to retirement, roles, errors."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from api_fixtures import Service, assert_problem


def change(client: httpx.Client, name: str, action: str, /, **more: Any) -> httpx.Response:
    last = client.get(f"/classes/{name}").json()["last_event_id"]
    return client.post(
        f"/classes/{name}/changes", json={"action": action, "last_event_id": last, **more}
    )


def test_the_life_of_a_class(service: Service) -> None:
    with service.client("admin") as client:
        made = client.post("/classes", json={"name": "Lantern", "description": "Glows."}).json()
        assert (made["state"], made["origin"], made["parent"]) == ("active", "ours", None)
        moved = change(client, "Lantern", "move", parent="Blip").json()
        assert moved["glitch_class"]["parent"] == "Blip"
        renamed = change(client, "Lantern", "rename", name="Lamp", remark="Shorter.").json()
        assert renamed["glitch_class"]["id"] == made["id"]
        former = assert_problem(client.get("/classes/Lantern"), 404)
        assert "renamed to Lamp" in former
        detail = client.get("/classes/Lamp").json()
        assert (detail["glitches"], detail["by_ifo"], detail["exemplars"]) == (0, {}, [])
        change(client, "Lamp", "state", state="retired")
        usable = client.get("/classes", params={"usable": True}).json()["items"]
        assert "Lamp" not in {one["name"] for one in usable}
        assert "Lamp" in {one["name"] for one in client.get("/classes").json()["items"]}
        history = client.get("/classes/Lamp/history").json()
        assert [one["kind"] for one in history["items"]] == ["create", "move", "rename", "state"]
        assert [one["may_undo"] for one in history["items"]] == [False, False, False, True]
        assert history["items"][2]["remark"] == "Shorter."
        undone = change(client, "Lamp", "undo", event_id=history["last_event_id"]).json()
        assert undone["glitch_class"]["state"] == "active"
        assert undone["history"]["items"][-1]["summary"] == "undid “retired it”"


@pytest.mark.parametrize(
    ("name", "status", "word"),
    [
        ("", 400, "needs a name"),
        ("x" * 10_000, 400, "10,000 characters"),
        ("<script>", 400, "letters, digits"),
        ("blip", 409, "class Blip already"),
    ],
)
def test_invalid_class_names_are_refused(
    service: Service, name: str, status: int, word: str
) -> None:
    with service.client("reviewer") as client:
        answer = client.post("/classes", json={"name": name, "description": "x"})
        assert word in assert_problem(answer, status)


def test_class_changes_without_the_role_or_of_unknown_actions_are_refused(service: Service) -> None:
    with service.client("submitter") as client:
        assert_problem(change(client, "Blip", "describe", description="x"), 403)
    with service.client("reviewer") as client:
        assert_problem(change(client, "Blip", "state", state="retired"), 403)
        assert_problem(change(client, "Helix", "merge", into="Blip"), 403)
        assert_problem(change(client, "Blip", "rename", name="Drop"), 409)
        assert_problem(change(client, "Blip", "explode"), 422)
        assert_problem(client.get("/classes/Nothing"), 404)
        assert_problem(client.get("/classes/a%00b"), 404)
    with service.client(None) as client:
        assert_problem(client.get("/classes/Blip"), 401)
