"""Unusual catalogues clustered over HTTP: the run's summary is true and no glitch wrongly flagged.

Each is stored as another detector of one service. unit/test_odd_catalogues.py tests the statistics.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import psycopg
import pytest
from api_fixtures import Service, assert_problem, picture
from doing_jobs import doing_jobs
from psycopg import sql
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.classes.tables import GlitchClass
from app.core.database import uuid7
from app.core.engine import make_session_factory
from app.models.checkpoints import active_checkpoint
from app.novelty.job import request_judging
from glitch.gps import LATEST_GPS_TIME

START = 1_240_000_000
# Too many to compare all pairs; unit/test_many_glitches.py tests a group of 100,000.
BURST = 30_000


@dataclass(frozen=True)
class Kind:
    """A group of ``n`` glitches around one axis of latent space, with a label or without."""

    n: int
    axis: int
    label: str | None = None
    times: Sequence[float] | None = None
    spread: float = 0.3


def apart(n: int, start: float = START) -> list[float]:
    return [start + 3600 * number for number in range(n)]


def store(service: Service, ifo: str, *kinds: Kind) -> None:
    rng = np.random.default_rng(3)
    with make_session_factory(service.engine).begin() as session:
        checkpoint = active_checkpoint(session)
        for kind in kinds:
            class_id = session.scalar(select(GlitchClass.id).where(GlitchClass.name == kind.label))
            means = kind.spread * rng.standard_normal((kind.n, checkpoint.latent_size))
            means[:, kind.axis] += 3
            keys = [uuid7() for _ in range(kind.n)]
            times = [None] * kind.n if kind.times is None else kind.times
            _copy(
                session,
                "glitch (id, ifo, gps_time, origin, content_digest, class_id)",
                (
                    (key, ifo, time_s, "upload", secrets.token_bytes(32), class_id)
                    for key, time_s in zip(keys, times, strict=True)
                ),
            )
            rest = ([0.0] * checkpoint.latent_size, 1.0, 1.0, False)
            _copy(
                session,
                "embedding (glitch_id, checkpoint_id, ifo, is_simulated, is_reference, mean,"
                " log_variance, reconstruction_error, kl, is_judged)",
                (
                    (key, checkpoint.id, ifo, False, class_id is not None, str(mean), *rest)
                    for key, mean in zip(keys, means.tolist(), strict=True)
                ),
            )


def _copy(session: Session, columns: str, rows: Iterable[tuple[Any, ...]]) -> None:
    """Insert rows with COPY, because INSERT of tens of thousands takes longer than the test."""
    driver = cast("psycopg.Connection[Any]", session.connection().connection.driver_connection)
    statement = sql.SQL("COPY {} FROM STDIN").format(sql.SQL(columns))
    with driver.cursor() as cursor, cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(row)


def clustered(service: Service, ifo: str, patience_s: float = 120) -> dict[str, Any]:
    """Request a clustering over HTTP, wait until its job has succeeded, and return the run."""
    with doing_jobs(service), service.client("submitter") as client:
        job = client.post("/clusters/runs", json={"ifo": ifo}).json()
        deadline = time.monotonic() + patience_s
        while job["state"] in {"queued", "running"}:
            assert time.monotonic() < deadline, job
            time.sleep(0.1)
            job = client.get(f"/jobs/{job['id']}").json()
        assert job["state"] == "succeeded", job
        runs = client.get("/clusters/runs").json()["items"]
        return dict(next(one for one in runs if one["id"] == job["result"]["run"]))


KNOWN = (Kind(60, 0, "Blip", apart(60)), Kind(60, 1, "Whistle", apart(60, START + 1e6)))


def test_a_class_with_one_example(service: Service) -> None:
    store(service, "H1", *KNOWN, Kind(1, 2, "Tomte", apart(1)), Kind(20, 0, None, apart(20)))
    run = clustered(service, "H1")
    assert (run["n_judged"], run["n_unjudged"], run["n_flagged"]) == (20, 0, 0)
    assert "Tomte is back" not in run["detail"]


def test_labels_without_times(service: Service) -> None:
    known = (Kind(60, 0, "Blip"), Kind(60, 1, "Whistle"))
    store(service, "L1", *known, Kind(20, 0, None, apart(20)))
    run = clustered(service, "L1")
    assert (run["n_judged"], run["n_unjudged"], run["n_flagged"]) == (20, 0, 0)
    assert "is back" not in run["detail"]


def test_a_detector_without_a_reference(service: Service) -> None:
    store(service, "V1", Kind(30, 0, None, apart(30)))
    run = clustered(service, "V1")
    assert (run["n_judged"], run["n_unjudged"], run["n_clusters"]) == (0, 30, 0)
    assert "None of 30 unlabelled glitches could be judged" in run["detail"]
    assert "glitch-discovery references training-set" in run["detail"]


def test_clocks_in_the_future(service: Service) -> None:
    latest = int(LATEST_GPS_TIME)
    future = apart(50, latest - 100 * 3600)
    more = (Kind(20, 0, None, future[:20]), Kind(30, 3, None, future[20:], 0.1))
    store(service, "K1", *KNOWN, *more)
    run = clustered(service, "K1")
    assert run["n_judged"] == 50
    assert 25 <= run["n_flagged"] <= 33
    assert "is back" not in run["detail"]
    with service.client("reader") as client:
        (found,) = client.get("/clusters", params={"run": run["id"]}).json()["items"]
        assert float(found["summary"]["gps_times"]["last"]) <= latest
        seen = client.get(f"/clusters/{found['id']}/seen-before").json()
        assert len(seen["bins"]) < 1000
    with service.client("submitter") as client:
        later = client.post(
            "/embed",
            files={"file": ("a.png", picture(3))},
            data={"view_duration_s": "0.5", "ifo": "K1", "gps_time": str(latest + 10)},
        )
        assert str(latest) in assert_problem(later, 400).replace(",", "")


@pytest.mark.timeout(600)
def test_a_burst_of_tens_of_thousands(service: Service) -> None:
    """Tens of thousands of glitches of a known class within a minute: all judged, none flagged."""
    rng = np.random.default_rng(1)
    times = list(START + 1e8 + 60 * rng.random(BURST))
    store(service, "G1", *KNOWN, Kind(BURST, 0, None, times, 0.02))
    with make_session_factory(service.engine).begin() as session:
        assert request_judging(session, "a batch") is not None
    run = clustered(service, "G1", 500)
    assert (run["n_judged"], run["n_flagged"], run["n_clusters"]) == (BURST, 0, 0)
