"""Each type of job links to its result, and only while the result exists."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from app.core.settings import Settings
from app.jobs.records import JobRecord
from app.jobs.registry import KINDS
from app.jobs.schemas import made_by
from app.main import create_app
from app.page_routes import PREFIX, create_web_router

NOW = datetime(2026, 5, 4, tzinfo=UTC)
JOB = UUID(int=7)
RESULTS = {
    "cluster": {"run": str(UUID(int=8))},
    "export": {"format": "ligolw", "kept_until": (NOW + timedelta(hours=1)).isoformat()},
}


def job(kind: str) -> JobRecord:
    return JobRecord(
        id=JOB,
        kind=kind,
        key=None,
        state="succeeded",
        is_cancel_requested=False,
        parameters={},
        result=RESULTS.get(kind, {}),
        total=3,
        done=2,
        failed=1,
        skipped=0,
        author="Ann",
        detail=None,
        created_at=NOW,
        started_at=NOW,
        finished_at=NOW,
    )


@pytest.fixture(scope="module")
def api_paths() -> dict[str, Any]:
    paths: dict[str, Any] = create_app(Settings(log_level="error")).openapi()["paths"]
    return paths


def page_paths() -> list[str]:
    parts = [getattr(part, "original_router", None) for part in create_web_router().routes]
    return [f"{PREFIX}{route.path}" for part in parts if part is not None for route in part.routes]


def path_of(address: str) -> str:
    return address.partition("?")[0].replace(str(JOB), "{job_id}")


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_job_leads_to_what_it_made(api_paths: dict[str, Any], kind: str) -> None:
    made = made_by(job(kind), NOW)
    assert made is not None
    assert path_of(made.page) in page_paths()
    assert "get" in api_paths[path_of(made.href)]
    if kind != "ingest":
        assert made_by(replace(job(kind), state="running", result=None), NOW) is None


def test_a_batch_leads_to_its_glitches_while_it_is_at_work() -> None:
    at_work = replace(job("ingest"), state="running", result=None)
    made = made_by(at_work, NOW)
    assert made is not None
    assert made.page == f"/ui/glitches?batch={JOB}"
    assert made_by(replace(at_work, done=0), NOW) is None


def test_a_file_is_offered_as_long_as_it_is_kept() -> None:
    made = made_by(job("export"), NOW)
    assert made is not None
    assert made.text == "Download the LIGO_LW"
    assert made_by(job("export"), NOW + timedelta(hours=2)) is None
