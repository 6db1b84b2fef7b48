"""`/clusters` and `/label-audit` over HTTP: from the request to the stored job, and errors."""

from __future__ import annotations

from uuid import UUID

import pytest
from api_fixtures import Service
from sqlalchemy.orm import Session

from app.clusters.job import run_clustering
from app.clusters.records import ClusteringParameters

NOBODY = UUID(int=7)


def test_a_run_is_a_job_and_its_outcome_is_listed(service: Service) -> None:
    parameters = {"fdr": 0.05, "min_cluster_size": 4, "ifo": "L1", "scope": "everything"}
    with service.client("submitter") as client:
        answer = client.post("/clusters/runs", json=parameters)
        assert answer.status_code == 202
        job = answer.json()
        assert (job["kind"], job["state"]) == ("cluster", "queued")
        assert client.post("/clusters/runs", json=parameters).json()["id"] == job["id"]
        other = client.post("/clusters/runs", json={"simulated": True}).json()
        assert other["id"] != job["id"]
    with Session(service.engine) as session:  # as a worker would do
        run = run_clustering(session, ClusteringParameters(min_cluster_size=4), author="worker")
        session.commit()
    with service.client("reader") as client:
        runs = client.get("/clusters/runs").json()["items"]
        assert str(run.id) in [one["id"] for one in runs]
        assert "nothing was tested" in runs[0]["detail"]
        assert client.get("/clusters", params={"run": str(run.id)}).json()["items"] == []
        audit = client.get("/label-audit").json()
        assert audit == {"audit": None, "clusters": [], "glitches": []}


@pytest.mark.parametrize(
    ("body", "status", "word"),
    [
        ({"fdr": 0}, 400, "must be between 0 and 1"),
        ({"fdr": 1.5}, 400, "must be between 0 and 1"),
        ({"min_cluster_size": 2}, 400, "minimum cluster size"),
        ({"min_cluster_size": 10**9}, 400, "minimum cluster size"),
        ({"ifo": "Hanford"}, 400, "no detector"),
        ({"scope": "all"}, 422, ""),
        ({"epsilon": 1}, 422, ""),
    ],
)
def test_invalid_parameters_are_problems(
    service: Service, body: dict[str, object], status: int, word: str
) -> None:
    with service.client("submitter") as client:
        answer = client.post("/clusters/runs", json=body)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert word in answer.json()["detail"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"/clusters/{NOBODY}", 404),
        (f"/clusters/{NOBODY}/members", 404),
        (f"/clusters/{NOBODY}/seen-before", 404),
        (f"/clusters?run={NOBODY}", 404),
        ("/clusters?state=odd", 400),
        ("/clusters?limit=0", 400),
        ("/clusters?cursor=x", 400),
        ("/clusters/runs?cursor=x", 400),
        ("/label-audit?limit=1000", 400),
        ("/clusters/not-an-id", 422),
    ],
)
def test_unknown_or_invalid_cluster_addresses_are_problems(
    service: Service, path: str, status: int
) -> None:
    with service.client("reader") as client:
        answer = client.get(path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_reader_may_look_but_not_start(service: Service) -> None:
    with service.client("reader") as client:
        assert client.post("/clusters/runs", json={}).status_code == 403
    with service.client(None) as client:
        assert client.get("/clusters").status_code == 401
