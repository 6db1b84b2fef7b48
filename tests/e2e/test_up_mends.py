"""What `up` replaces by itself, whatever part is killed, frozen or gone; and when it gives up."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator

import httpx
import psutil
import pytest
from service_process import PATIENCE_S, Service, new_folder
from waiting import eventually as holds

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def mended() -> Iterator[Service]:
    """A running service without the demonstration: the last test ends it."""
    service = Service(new_folder(), GLITCH_DEMO="false", GLITCH_API_PROCESSES="2")
    service.wait_until_ready()
    yield service
    service.stop()
    shutil.rmtree(service.data_directory.parent, ignore_errors=True)


def part(service: Service, words: str) -> psutil.Process | None:
    """The supervisor's child whose command line holds the words."""
    return next(parts(service, words), None)


def parts(service: Service, words: str) -> Iterator[psutil.Process]:
    """All of its children whose command lines hold the words."""
    for process in psutil.Process(service.process.pid).children(recursive=True):
        try:
            if words in " ".join(process.cmdline()) and process.status() != psutil.STATUS_ZOMBIE:
                yield process
        except psutil.NoSuchProcess:
            continue


def metric(service: Service, name: str) -> float:
    """What a scrape says; 0 where it does not say it."""
    lines = httpx.get(f"{service.url}/metrics", timeout=20).text.splitlines()
    return next((float(line.split()[-1]) for line in lines if line.startswith(f"{name} ")), 0.0)


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
    holds(true, PATIENCE_S, lambda: service.errors)


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


SERVE = "app.launch.serve"
LOGINS = 'glitch_http_requests_total{method="GET",route="/ui/login",status="200"}'


def test_processes_that_are_killed_or_frozen_are_replaced_while_others_answer(
    mended: Service,
) -> None:
    def both_answer() -> bool:
        return metric(mended, "glitch_api_processes") == 2

    def ask() -> None:  # over a connection of its own, so whichever process takes it
        assert httpx.get(f"{mended.url}/ui/login", timeout=20).status_code == 200

    eventually(both_answer, mended)
    for _ in range(20):
        ask()
    # Whoever answered, and whoever is asked; an answer is counted a moment after it is sent.
    eventually(lambda: metric(mended, LOGINS) == 20, mended)
    for process in list(parts(mended, SERVE)):
        process.kill()
        process.wait(30)
        eventually(
            lambda gone=process.pid: all(one.pid != gone for one in parts(mended, SERVE)), mended
        )
        eventually(both_answer, mended)
    said = [line for line in mended.errors if "The service ended" in line and "again" in line]
    assert len(said) == 2, mended.errors
    frozen = part(mended, SERVE)
    assert frozen is not None
    frozen.suspend()  # as a library that loops with the interpreter's lock held
    for _ in range(20):
        ask()
    frozen.wait(120)
    assert any("has stopped answering" in line for line in mended.errors)
    eventually(both_answer, mended)
    eventually(lambda: metric(mended, LOGINS) == 40, mended)  # what the dead had counted is kept


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
        eventually(lambda often=often: often == said("The database is running again"), mended)
        eventually(lambda: answers(mended), mended)
        with mended.client() as client:
            assert client.get("/classes").status_code == 200
    family += psutil.Process(mended.process.pid).children(recursive=True)
    os.kill(postmaster(), signal.SIGKILL)
    assert mended.ends(60) == 1
    assert said("The database ended 4 times within 5 minutes") == 1, mended.errors
    assert [process for process in family if process.is_running()] == []
