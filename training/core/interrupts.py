"""Ctrl-C and SIGTERM: a training finishes its step, saves, and ends."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def interruptible() -> Iterator[None]:
    """Ctrl-C (SIGINT) interrupts what is inside, also where the shell had it ignored.

    A shell starts its background jobs with SIGINT ignored, and Python then leaves it so: ``kill
    -INT`` would be lost, and a run of hours could not be stopped between two trainings.
    """
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextmanager
def interrupts_held_back() -> Iterator[None]:
    """Ctrl-C comes after what is inside; a process that is started inside never gets it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def stop_requests() -> Iterator[Callable[[], bool]]:
    """Turns the first Ctrl-C or SIGTERM into a flag; a second one interrupts at once."""
    received: list[int] = []
    previous: dict[int, signal._HANDLER] = {}

    def restore() -> None:
        for number, handler in previous.items():
            signal.signal(number, handler)

    def note(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        restore()

    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            previous[number] = signal.signal(number, note)
    except ValueError:
        previous.clear()  # not the main thread: signals are not ours to take
    try:
        yield lambda: bool(received)
    finally:
        restore()
