"""A service that does not answer is noticed, and one that answers is left alone."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import psutil
import pytest
from local_server import QuietHandler, serving
from waiting import PATIENCE_S, eventually

from app.launch import service_process
from app.launch.data_directory import hold_data_directory
from app.launch.service_process import Watchdog


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_process, "_PAUSE_S", 0.01)
    monkeypatch.setattr(service_process, "_PATIENCE_S", 0.1)


def waits_for(watchdog: Watchdog, within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while not watchdog.is_silent and time.monotonic() < deadline:
        time.sleep(0.01)
    return watchdog.is_silent


def test_a_socket_that_takes_and_says_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        watchdog = Watchdog(url)
        assert waits_for(watchdog, PATIENCE_S)
        watchdog.close()


def test_a_service_has_time_until_its_first_answer() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        watchdog = Watchdog(url, first_within_s=4)
        assert not waits_for(watchdog, 0.8)
        assert waits_for(watchdog, PATIENCE_S)
        watchdog.close()


class _Answers(QuietHandler):
    def reply(self) -> None:
        self.answer(200)


def test_a_service_that_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_process, "_PATIENCE_S", 5.0)
    with serving(_Answers) as url:
        watchdog = Watchdog(url)
        assert not waits_for(watchdog, 1)
        watchdog.close()


def test_a_process_that_joins_and_never_answers_is_detected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_process, "_JOINED_WITHIN_S", 0.2)
    with (
        hold_data_directory(tmp_path, "a test") as lock,
        socket.create_server(("127.0.0.1", 0)) as listener,
    ):
        service = service_process.ServiceProcess(lock, listener, {"GLITCH_DATA_DIR": str(tmp_path)})
        psutil.Process(service.pid).suspend()
        try:
            service.join("postgresql://nowhere/at-all")
            eventually(lambda: service.is_silent)
        finally:
            service.kill()
            service.stop()
