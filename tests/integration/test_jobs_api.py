"""Jobs over HTTP: lists, items, live events, cancel and retry."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from api_fixtures import Service, assert_problem, running_service, tiny_data_folder
from jobs_fixtures import KIND, ProbeHandler, register

from app.core.embedded import EmbeddedServer
from app.core.engine import make_session_factory
from app.jobs.service import create_job
from worker.runner import JobRunner


@pytest.fixture(scope="module")
def service(postgres_server: EmbeddedServer, migrated_template: str) -> Iterator[Service]:
    register(KIND, ProbeHandler())
    with (
        tiny_data_folder() as folder,
        running_service(
            postgres_server, migrated_template, folder, redis_url="unix:///nowhere/redis.sock"
        ) as service,
    ):
        yield service


@pytest.fixture
def client(service: Service) -> Iterator[httpx.Client]:
    with service.client("submitter") as client:
        yield client


def make(service: Service, author: str = "submitter", **parameters: Any) -> UUID:
    with make_session_factory(service.engine).begin() as session:
        return create_job(session, KIND, parameters, author).id


def work(service: Service, job: UUID) -> None:
    JobRunner(make_session_factory(service.engine), service.settings).work(job)


def test_an_absent_redis_only_degrades_the_service(client: httpx.Client) -> None:
    answer = client.get("/readyz")
    assert answer.status_code == 200
    assert answer.json()["status"] == "degraded"
    assert answer.json()["checks"]["background"].startswith("Redis does not answer")


def test_a_job_is_created_followed_and_retried(
    service: Service, client: httpx.Client, tmp_path: Path
) -> None:
    job = make(service, fail=["item-1"], mended=str(tmp_path / "mended"))
    assert client.get(f"/jobs/{job}").json()["state"] == "queued"
    work(service, job)
    shown = client.get(f"/jobs/{job}").json()
    assert shown["progress"] == {"total": 10, "done": 9, "failed": 1, "skipped": 0}
    assert (shown["state"], shown["can_be_retried"]) == ("succeeded", True)
    [failed] = client.get(f"/jobs/{job}/items", params={"state": "failed"}).json()["items"]
    assert (failed["name"], failed["reason"]) == ("item-1", "item-1 is damaged.")
    (tmp_path / "mended").touch()
    assert client.post(f"/jobs/{job}/retry").json()["state"] == "queued"
    work(service, job)
    shown = client.get(f"/jobs/{job}").json()
    assert (shown["progress"]["done"], shown["result"]) == (10, {"stored": 10})
    assert "nothing to retry" in assert_problem(client.post(f"/jobs/{job}/retry"), 409)
    assert "succeeded already" in assert_problem(client.post(f"/jobs/{job}/cancel"), 409)


def test_lists_are_paged(service: Service, client: httpx.Client) -> None:
    made = [str(make(service)) for _ in range(3)]
    first = client.get("/jobs", params={"limit": 2}).json()
    rest = client.get("/jobs", params={"limit": 1, "cursor": first["next"]}).json()
    assert [job["id"] for job in first["items"] + rest["items"]] == made[::-1]
    assert client.get("/jobs", params={"kind": "nonsense"}).json()["items"] == []
    for bad in ({"limit": 0}, {"limit": 501}, {"state": "odd"}, {"cursor": "x"}):
        assert_problem(client.get("/jobs", params=bad), 400)
    work(service, UUID(made[0]))
    first = client.get(f"/jobs/{made[0]}/items", params={"limit": 7}).json()
    rest = client.get(f"/jobs/{made[0]}/items", params={"cursor": first["next"]}).json()
    assert [item["ordinal"] for item in first["items"] + rest["items"]] == list(range(10))
    for bad in ({"limit": 0}, {"state": "odd"}, {"cursor": "-1"}, {"cursor": "9" * 30}):
        assert_problem(client.get(f"/jobs/{made[0]}/items", params=bad), 400)


@pytest.mark.parametrize("path", ["", "/items", "/events"])
def test_unknown_jobs_are_not_found(client: httpx.Client, path: str) -> None:
    assert "no job" in assert_problem(client.get(f"/jobs/{uuid4()}{path}"), 404)


def test_others_may_not_cancel(service: Service, client: httpx.Client) -> None:
    job = make(service, author="somebody else")
    assert "Only somebody else" in assert_problem(client.post(f"/jobs/{job}/cancel"), 403)
    with service.client("reviewer") as reviewer:
        assert reviewer.post(f"/jobs/{job}/cancel").json()["state"] == "cancelled"
        assert reviewer.post(f"/jobs/{job}/cancel").status_code == 200


def messages(response: httpx.Response) -> Iterator[tuple[int, str, dict[str, Any]]]:
    number = name = ""
    for line in response.iter_lines():
        field, _, value = line.partition(": ")
        if field == "id":
            number = value
        elif field == "event":
            name = value
        elif field == "data":
            yield int(number), name, json.loads(value)


def test_events_tell_of_a_job_until_its_end(service: Service, client: httpx.Client) -> None:
    job = make(service, items=8, per_chunk=2, slow_s=0.3)
    worker = threading.Thread(target=work, args=[service, job])
    with client.stream("GET", f"/jobs/{job}/events") as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        worker.start()
        events = list(messages(response))
    worker.join()
    names = [content["name"] for _, name, content in events if name == "event"]
    assert names == ["created", "started", "planned", "succeeded"]
    done = [content["progress"]["done"] for _, name, content in events if name == "progress"]
    assert done == sorted(done)
    assert done[-1] == 8
    assert len(set(done)) > 2
    first = events[0][0]
    with client.stream(
        "GET", f"/jobs/{job}/events", headers={"Last-Event-ID": str(first)}
    ) as response:
        names = [content["name"] for _, name, content in messages(response) if name == "event"]
    assert names == ["started", "planned", "succeeded"]


def test_a_client_that_goes_away_ends_its_stream(service: Service, client: httpx.Client) -> None:
    job = make(service)
    with client.stream("GET", f"/jobs/{job}/events") as response:
        assert next(messages(response))[1] == "event"
    assert client.get(f"/jobs/{job}").status_code == 200
