"""What `up` replaces by itself: a service that does not answer, a database that was killed."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import httpx
import psutil
import pytest
from service_process import Service


def service_child(service: Service) -> psutil.Process:
    [child] = [
        process
        for process in psutil.Process(service.process.pid).children()
        if "app.launch.serve" in process.cmdline()
    ]
    return child


def answers_again(service: Service, within_s: float = 240) -> None:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"{service.url}/readyz", timeout=5).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        assert service.process.poll() is None, service.errors
        time.sleep(0.5)
    raise AssertionError(f"it does not answer again: {service.errors}")


@pytest.mark.timeout(900)
def test_a_frozen_service_and_a_killed_database(tmp_path: Path) -> None:
    service = Service(tmp_path / "data", GLITCH_DEMO="false")
    try:
        service.wait_until_ready()
        with service.client() as client:
            assert client.get("/classes").status_code == 200
        place = service.data_directory / "database" / "postgres"
        postmaster = int((place / "postmaster.pid").read_text().split()[0])
        os.kill(postmaster, signal.SIGKILL)
        deadline = time.monotonic() + 120
        while psutil.pid_exists(postmaster) and time.monotonic() < deadline:
            time.sleep(0.1)
        while not (place / "postmaster.pid").exists() or (
            int((place / "postmaster.pid").read_text().split()[0]) == postmaster
        ):
            assert time.monotonic() < deadline, service.errors
            time.sleep(0.1)
        answers_again(service)
        with service.client() as client:
            assert client.get("/classes").status_code == 200

        frozen = service_child(service)
        frozen.suspend()  # as a library that loops with the interpreter's lock held
        frozen.wait(120)
        answers_again(service)
        assert service_child(service).pid != frozen.pid
        assert any("does not answer any more" in line for line in service.errors)
    finally:
        assert service.stop() == 0
