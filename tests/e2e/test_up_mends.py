"""What `up` replaces by itself, whatever part is killed, frozen or gone; and when it gives up."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator

import httpx
import psutil
import pytest
from service_process import PATIENCE_S, Service, new_folder

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def mended() -> Iterator[Service]:
    """A running service without the demonstration: the last test ends it."""
    service = Service(new_folder(), GLITCH_DEMO="false")
    service.wait_until_ready()
    yield service
    service.stop()
    shutil.rmtree(service.data_directory.parent, ignore_errors=True)


def part(service: Service, words: str) -> psutil.Process | None:
    """The supervisor's child whose command line holds the words."""
    for process in psutil.Process(service.process.pid).children(recursive=True):
        try:
            if words in " ".join(process.cmdline()) and process.status() != psutil.STATUS_ZOMBIE:
                return process
        except psutil.NoSuchProcess:
            continue
    return None


def kill(service: Service, *parts: str) -> None:
    """End the parts at once, and wait until others are in their place."""
    killed = [part(service, words) for words in parts]
    for process in killed:
        assert process is not None, parts
        process.kill()
    for words, process in zip(parts, killed, strict=True):
        assert process is not None
        process.wait(30)
        eventually(lambda words=words: part(service, words) is not None, service)


def eventually(true: Callable[[], object], service: Service) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline, service.errors
        time.sleep(0.2)


def answers(service: Service) -> bool:
    try:
        return httpx.get(f"{service.url}/readyz", timeout=5).status_code == 200
    except httpx.HTTPError:
        assert service.process.poll() is None, service.errors
        return False


def background(service: Service) -> str:
    answer = httpx.get(f"{service.url}/readyz", timeout=20)
    if "did not end within" in answer.text:  # on a machine that does much else
        return ""
    assert answer.status_code == 200  # whatever becomes of the jobs
    return str(answer.json()["checks"]["background"])


def test_what_does_jobs_comes_back_and_no_job_is_lost(mended: Service) -> None:
    eventually(lambda: background(mended) == "ok", mended)
    with mended.client() as client:
        assert client.get("/jobs").json() == {"items": [], "next": None}
        asked = client.post("/exports", json={"format": "csv"}).raise_for_status().json()["id"]
        kill(mended, "worker_process worker")
        kill(mended, "worker_process scheduler")
        kill(mended, "unixsocket:")
        later = client.post("/exports", json={"format": "hdf5"}).raise_for_status().json()["id"]
        # The process that starts Redis again is killed with it.
        kill(mended, "launch.redis.process", "unixsocket:")

        def states() -> dict[str, str]:
            jobs = client.get("/jobs").raise_for_status().json()["items"]
            return {job["id"]: job["state"] for job in jobs}

        eventually(lambda: states() == dict.fromkeys((asked, later), "succeeded"), mended)
        eventually(lambda: background(mended) == "ok", mended)
        # Announced by the Redis of now, not found by the scheduler's look at what is due alone.
        third = client.post("/exports", json={"format": "csv", "snr_min": 3}).json()["id"]
        eventually(lambda: states()[third] == "succeeded", mended)


def test_a_service_that_is_killed_or_frozen_is_replaced(mended: Service) -> None:
    kill(mended, "app.launch.serve")
    eventually(lambda: answers(mended), mended)
    assert any("The service ended" in line and "again" in line for line in mended.errors)
    frozen = part(mended, "app.launch.serve")
    assert frozen is not None
    frozen.suspend()  # as a library that loops with the interpreter's lock held
    frozen.wait(120)
    eventually(lambda: answers(mended), mended)
    replaced = part(mended, "app.launch.serve")
    assert replaced is not None
    assert replaced.pid != frozen.pid
    assert any("does not answer any more" in line for line in mended.errors)


def test_a_database_that_is_killed_comes_back_until_it_is_too_often(mended: Service) -> None:
    lock = mended.data_directory / "database" / "postgres" / "postmaster.pid"
    family = psutil.Process(mended.process.pid).children(recursive=True)

    def postmaster() -> int:
        try:
            return int(lock.read_text().split()[0])
        except (OSError, ValueError, IndexError):
            return 0

    def said(words: str) -> int:
        return sum(words in line for line in mended.errors)

    for often in range(1, 4):
        os.kill(postmaster(), signal.SIGKILL)
        # PostgreSQL answers a little before the supervisor has seen it: killed then, it is a start
        # that failed, not an end more.
        eventually(lambda often=often: often == said("The database serves again"), mended)
        eventually(lambda: answers(mended), mended)
        with mended.client() as client:
            assert client.get("/classes").status_code == 200
    family += psutil.Process(mended.process.pid).children(recursive=True)
    os.kill(postmaster(), signal.SIGKILL)
    assert mended.ends(60) == 1
    assert said("The database ended 4 times within 5 minutes") == 1, mended.errors
    assert [process for process in family if process.is_running()] == []
