"""`up` replaces each of its processes that is killed or frozen, and gives up after many ends."""

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
    """Provide a running service without the demonstration; the last test ends it."""
    service = Service(new_folder(), GLITCH_DEMO="false", GLITCH_API_PROCESSES="2")
    service.wait_until_ready()
    yield service
    service.stop()
    shutil.rmtree(service.data_directory.parent, ignore_errors=True)


def part(service: Service, words: str) -> psutil.Process | None:
    """Return the first descendant of the supervisor whose command line contains the words."""
    return next(parts(service, words), None)


def parts(service: Service, words: str) -> Iterator[psutil.Process]:
    """Yield all live descendants of the supervisor whose command lines contain the words."""
    for process in psutil.Process(service.process.pid).children(recursive=True):
        try:
            if words in " ".join(process.cmdline()) and process.status() != psutil.STATUS_ZOMBIE:
                yield process
        except psutil.NoSuchProcess:
            continue


def metric(service: Service, name: str) -> float:
    """Return the value of a metric, or 0 if it is absent."""
    lines = httpx.get(f"{service.url}/metrics", timeout=20).text.splitlines()
    return next((float(line.split()[-1]) for line in lines if line.startswith(f"{name} ")), 0.0)


def kill(service: Service, *parts: str) -> None:
    """Kill these processes at once, and wait until others have replaced them."""
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
    if "did not end within" in answer.text:  # on a busy machine
        return ""
    assert answer.status_code == 200  # ready even if jobs are not processed
    return str(answer.json()["checks"]["background"])


def test_killed_workers_scheduler_and_redis_come_back_without_losing_jobs(mended: Service) -> None:
    eventually(lambda: background(mended) == "ok", mended)
    with mended.client() as client:
        assert client.get("/jobs").json() == {"items": [], "next": None}
        export = client.post("/exports", json={"format": "csv"}).raise_for_status().json()["id"]
        kill(mended, "worker_process worker")
        kill(mended, "worker_process scheduler")
        kill(mended, "unixsocket:")
        later = client.post("/exports", json={"format": "hdf5"}).raise_for_status().json()["id"]
        # Kill Redis together with the process that restarts it.
        kill(mended, "launch.redis.process", "unixsocket:")

        def states() -> dict[str, str]:
            jobs = client.get("/jobs").raise_for_status().json()["items"]
            return {job["id"]: job["state"] for job in jobs}

        eventually(lambda: states() == dict.fromkeys((export, later), "succeeded"), mended)
        eventually(lambda: background(mended) == "ok", mended)
        # This job is announced by the new Redis, and not only found by the scheduler's next check.
        third = client.post("/exports", json={"format": "csv", "snr_min": 3}).json()["id"]
        eventually(lambda: states()[third] == "succeeded", mended)


SERVE = "app.launch.serve"
LOGINS = 'glitch_http_requests_total{method="GET",route="/ui/login",status="200"}'


def test_processes_that_are_killed_or_frozen_are_replaced_while_others_answer(
    mended: Service,
) -> None:
    def both_answer() -> bool:
        return metric(mended, "glitch_api_processes") == 2

    def ask() -> None:  # on a new connection, so any of the processes may accept it
        assert httpx.get(f"{mended.url}/ui/login", timeout=20).status_code == 200

    eventually(both_answer, mended)
    for _ in range(20):
        ask()
    # The total over all processes, whichever answers; a response is counted shortly after it.
    eventually(lambda: metric(mended, LOGINS) == 20, mended)
    for process in list(parts(mended, SERVE)):
        process.kill()
        process.wait(30)
        eventually(
            lambda gone=process.pid: all(one.pid != gone for one in parts(mended, SERVE)), mended
        )
        eventually(both_answer, mended)
    restarts = [line for line in mended.errors if "The service ended" in line and "again" in line]
    assert len(restarts) == 2, mended.errors
    frozen = part(mended, SERVE)
    assert frozen is not None
    frozen.suspend()  # as a library that loops while it holds the GIL
    for _ in range(20):
        ask()
    frozen.wait(120)
    assert any("has stopped answering" in line for line in mended.errors)
    eventually(both_answer, mended)
    eventually(lambda: metric(mended, LOGINS) == 40, mended)  # counts of killed processes are kept


def test_a_database_that_is_killed_comes_back_until_it_is_too_often(mended: Service) -> None:
    lock = mended.data_directory / "database" / "postgres" / "postmaster.pid"
    family = psutil.Process(mended.process.pid).children(recursive=True)

    def postmaster() -> int:
        try:
            return int(lock.read_text().split()[0])
        except (OSError, ValueError, IndexError):
            return 0

    def n_lines(words: str) -> int:
        return sum(words in line for line in mended.errors)

    for often in range(1, 4):
        os.kill(postmaster(), signal.SIGKILL)
        # PostgreSQL accepts connections shortly before the supervisor notices. If it were killed in
        # between, the supervisor would count a failed start and not another end.
        eventually(lambda often=often: often == n_lines("The database is running again"), mended)
        eventually(lambda: answers(mended), mended)
        with mended.client() as client:
            assert client.get("/classes").status_code == 200
    family += psutil.Process(mended.process.pid).children(recursive=True)
    os.kill(postmaster(), signal.SIGKILL)
    assert mended.ends(60) == 1
    assert n_lines("The database ended 4 times within 5 minutes") == 1, mended.errors
    assert [process for process in family if process.is_running()] == []
