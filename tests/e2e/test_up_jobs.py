"""What does jobs beside the service: it comes up by itself, and comes back when it is killed."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path

import psutil
from service_process import Service


def child(service: Service, words: str) -> psutil.Process | None:
    """The supervisor's child whose command line holds the words."""
    for process in psutil.Process(service.process.pid).children(recursive=True):
        try:
            if words in " ".join(process.cmdline()) and process.status() != psutil.STATUS_ZOMBIE:
                return process
        except psutil.NoSuchProcess:
            continue
    return None


def eventually(true: Callable[[], object], within_s: float = 90) -> None:
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_killed_parts_come_back_and_none_is_left_at_the_end(
    start: Callable[..., Service], copied: Path
) -> None:
    service = start(copied)
    service.wait_until_ready(60)
    with service.client() as client:

        def background() -> str:
            answer = client.get("/readyz")
            assert answer.status_code == 200  # whatever becomes of the jobs
            return str(answer.json()["checks"]["background"])

        eventually(lambda: background() == "ok")
        for words in ("worker_process worker", "worker_process scheduler", "unixsocket:"):
            killed = child(service, words)
            assert killed is not None, words
            killed.send_signal(signal.SIGKILL)
            killed.wait(30)
            eventually(lambda words=words: child(service, words) is not None)
        eventually(lambda: background() == "ok")
        jobs = client.get("/jobs").json()["items"]
        assert {job["author"] for job in jobs} <= {"demonstration"}  # the copied catalogue's own
    family = psutil.Process(service.process.pid).children(recursive=True)
    started = time.monotonic()
    assert service.stop() == 0
    assert time.monotonic() - started < 40
    assert [process for process in family if process.is_running()] == []
