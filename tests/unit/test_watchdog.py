"""A service that does not answer is noticed, and one that does is left alone."""

from __future__ import annotations

import socket
import time

from local_server import QuietHandler, serving

from app.launch.service_process import Watchdog


def waits_for(watchdog: Watchdog, within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while not watchdog.is_silent and time.monotonic() < deadline:
        time.sleep(0.01)
    return watchdog.is_silent


def test_a_socket_that_takes_and_says_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        watchdog = Watchdog(url, pause_s=0.01, patience_s=0.1, first_within_s=0)
        assert waits_for(watchdog, 20)
        watchdog.close()


def test_a_service_has_time_until_its_first_answer() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        watchdog = Watchdog(url, pause_s=0.01, patience_s=0.01, first_within_s=1)
        assert not waits_for(watchdog, 0.8)
        assert waits_for(watchdog, 20)
        watchdog.close()


class _Answers(QuietHandler):
    def reply(self) -> None:
        self.answer(200)


def test_a_service_that_answers() -> None:
    with serving(_Answers) as url:
        watchdog = Watchdog(url, pause_s=0.01)
        assert not waits_for(watchdog, 1)
        watchdog.close()
