"""Planning of a batch: it reports progress, stops soon after a cancel, and can be retried."""

from __future__ import annotations

import gzip
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
import pytest
import sent_batches
from api_fixtures import Service, gwosc_hdf5, strain_values
from sqlalchemy import text

from app.batches.index import BatchIndex, Manifest
from app.core.engine import make_session_factory
from worker.lease import HeldLease
from worker.runner import JobRunner

ROWS = 2000
MANY = 12_000
# A worker must notice a cancel within seconds, also on a busy machine.
# Share of the planning of MANY rows that may pass between two heartbeats; 0.13 was measured.
LONGEST_SHARE = 0.33
PATIENCE_S = 60


def triggers(n: int, seed: int) -> bytes:
    """Return a table of triggers at times without strain; MANY rows are a few hundred kB."""
    lines = [f"{1_150_000_000 + seed + 10 * number}.5,H1,9" for number in range(n)]
    return "\n".join(["gps_time,ifo,snr", *reversed(lines)]).encode()


@pytest.fixture
def runner(service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> JobRunner:
    # Strain of H1 at another time: without any, one item would stand for all the triggers.
    (tmp_path / "H-H1_TEST-1000000000-32.hdf5").write_bytes(gwosc_hdf5(strain_values(9)))
    monkeypatch.setattr(service.settings, "strain_dir", tmp_path)
    return JobRunner(make_session_factory(service.engine), service.settings)


class Beats:
    """Records the heartbeats of workers in this process and can act at one of them.

    The first heartbeat is the runner's own, before planning begins.
    """

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.times: list[float] = []
        self._patch, self._real = patch, HeldLease.check

    def listen(self, number: int = 0, act: Callable[[], None] = lambda: None) -> None:
        """Call ``act`` at heartbeat ``number`` and wait until the lease notices the cancel."""

        def check(lease: HeldLease) -> None:
            self.times.append(time.thread_time())
            if len(self.times) == number:
                act()
                deadline = time.monotonic() + PATIENCE_S
                while not lease.is_cancelled and time.monotonic() < deadline:
                    time.sleep(0.05)
            self._real(lease)

        self._patch.setattr(HeldLease, "check", check)


@pytest.fixture
def beats(monkeypatch: pytest.MonkeyPatch) -> Beats:
    return Beats(monkeypatch)


@pytest.mark.parametrize(
    "beat", [2, 4, 7], ids=["unpacking", "reading its rows", "putting them in order"]
)
def test_a_batch_is_cancelled_while_it_is_planned(
    service: Service, client: httpx.Client, runner: JobRunner, beats: Beats, beat: int
) -> None:
    content = gzip.compress(triggers(ROWS, beat))
    job = client.post("/batches", files={"file": ("many.csv.gz", content)}).json()["job"]

    def cancel() -> None:
        answer = client.post(f"/jobs/{job}/cancel")
        assert answer.json()["state"] == "running"

    beats.listen(beat, cancel)
    runner.work(job)
    assert len(beats.times) == beat  # it stopped there, not at the end of planning
    ended = client.get(f"/jobs/{job}").json()
    assert (ended["state"], ended["progress"]["total"]) == ("cancelled", 0)
    assert client.get(f"/jobs/{job}/items").json()["items"] == []
    with service.engine.connect() as connection:
        query = text("SELECT count(*) FROM job_chunk WHERE job_id = :job")
        assert connection.scalar(query, {"job": job}) == 2  # only those of planning and finishing
    work = service.settings.data_dir / "batches" / "work" / job
    assert not list(work.glob("*.part"))

    assert client.post(f"/jobs/{job}/retry").status_code == 200
    runner.work(job)
    ended = client.get(f"/jobs/{job}").json()
    assert ended["progress"] == {"total": ROWS, "done": 0, "failed": ROWS, "skipped": 0}


def test_planning_is_never_long_without_a_heartbeat(
    client: httpx.Client, runner: JobRunner, beats: Beats
) -> None:
    job = client.post("/batches", files={"file": ("many.csv", triggers(MANY, 7))}).json()["job"]
    beats.listen()
    started = time.thread_time()
    runner.work(job, slice_s=0)
    assert client.get(f"/jobs/{job}").json()["progress"]["total"] == MANY
    assert len(beats.times) >= 2 * MANY / 1000  # for each 1,000 rows: one written, one read
    # In processor time, because a busy machine would stretch some gaps more than others.
    gaps = np.diff([started, *beats.times, time.thread_time()])
    assert gaps.max() < LONGEST_SHARE * gaps.sum()


def test_long_planning_reports_its_progress(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    sentences: list[str | None] = []
    note = HeldLease.note

    def noted(keeper: HeldLease, sentence: str | None) -> None:
        sentences.append(sentence)
        note(keeper, sentence)

    monkeypatch.setattr(HeldLease, "note", noted)
    monkeypatch.setattr("app.batches.job._REPORT_EVERY_S", 0.0)
    job, _ = sent_batches.ingest(service, triggers(2500, 0), "many.csv")
    assert job.failed == 1  # there is no strain of H1: one item for all
    assert sentences[0] == "1,000 members and rows read, 0 glitches planned."
    assert any(one is not None and one.startswith("2,500 members and rows") for one in sentences)
    assert sentences[-1] is None


@pytest.mark.parametrize(
    ("header", "cells", "names"),
    [
        ("Filename1,#Filename2", "a__0.5.png,a__1.0.png", ["set/in/a__0.5.PNG", "in/a__1.0.png"]),
        ("subject_id,!Filename1,Filename2", "7,a/b.png,a/c.jpg", ["a/b.png", "a/c.jpg"]),
        ("url1,url2", "https://x.org/a.png,https://x.org/b.png", ["a.png", "b.png"]),
        ("path", "set\\a.png", ["set/a.PNG"]),
    ],
)
def test_a_row_is_found_by_each_picture_that_it_names(
    service: Service, tmp_path: Path, header: str, cells: str, names: list[str]
) -> None:
    """As Zooniverse's manifests name a subject's pictures; capitals of a suffix do not count."""
    table = tmp_path / "manifest.csv"
    table.write_text(f"{header},label\n{cells},Whistle\n")
    with make_session_factory(service.engine)() as session:
        manifest = Manifest(BatchIndex(session, lambda: None), folders_are_labels=False)
        assert list(manifest.read(table, table.name)) == []
        found = manifest.about([*names, "other.png"])
        notes = list(manifest.notes(session))
    assert [found[name].label for name in names] == ["Whistle"] * len(names)
    assert found["other.png"].label is None
    assert notes == []
