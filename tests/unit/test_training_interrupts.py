"""Ctrl-C also stops a background job, which a shell starts with SIGINT ignored."""

import os
import signal
from collections.abc import Iterator

import pytest

from training.core.interrupts import interruptible, stop_requests


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_ignored_ctrl_c_interrupts_what_is_inside_and_nothing_else() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with pytest.raises(KeyboardInterrupt), interruptible():
        os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGINT)  # ignored again
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_another_handler_is_left_alone() -> None:
    received: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _frame: received.append(number))
    with interruptible():
        os.kill(os.getpid(), signal.SIGINT)
    assert received == [signal.SIGINT]


def test_a_training_takes_the_first_ctrl_c_as_a_request_and_the_second_as_an_interrupt() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with interruptible(), stop_requests() as is_stopped:
        assert not is_stopped()
        os.kill(os.getpid(), signal.SIGINT)
        assert is_stopped()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
