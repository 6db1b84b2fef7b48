"""Training of several models in parallel: one process and one thread each, stopped together."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from multiprocessing.resource_tracker import ensure_running

from glitch.errors import GlitchError
from training.core.interrupts import interrupts_held_back

OnStep = Callable[[int], None]
# Arguments: steps done, total steps (None if not known), current activity.
Progress = Callable[[int, int | None, str], None]


@dataclass(frozen=True)
class Work:
    """The training of one model. ``do`` is sent to another process, so it must be picklable.

    ``do`` receives a function to call at each logged step, continues where an earlier run stopped,
    and returns False if it was stopped before its end.
    """

    label: str
    steps: int
    do: Callable[[OnStep], bool]


def run_all(works: Sequence[Work], *, jobs: int, progress: Progress) -> bool:
    """Run all works, ``jobs`` at a time; with one job, in this process.

    Returns:
        False if the work was stopped; the same call continues it.

    Raises:
        GlitchError: if one cannot be continued or failed; the others are saved.
    """
    if jobs > 1:
        return _run_in_parallel(works, jobs, progress)
    done, total = 0, sum(work.steps for work in works)
    for work in works:
        progress(done, total, work.label)

        def on_step(step: int, done: int = done, label: str = work.label) -> None:
            progress(done + step, total, label)

        if not work.do(on_step):
            return False
        done += work.steps
    progress(total, total, "")
    return True


def _run_in_parallel(works: Sequence[Work], jobs: int, progress: Progress) -> bool:
    # Spawned: a fork would copy a half-initialised torch.
    context = multiprocessing.get_context("spawn")
    ensure_running()  # otherwise spawned with the first process, where it would unblock SIGINT
    waiting, active = list(range(len(works))), dict[Connection, tuple[int, SpawnProcess]]()
    steps, total = [0] * len(works), sum(work.steps for work in works)
    is_whole = True
    try:
        while active or (waiting and is_whole):
            while waiting and is_whole and len(active) < jobs:
                index = waiting.pop(0)
                receiver, sender = context.Pipe(duplex=False)
                process = context.Process(target=_run_in_process, args=(works[index], sender))
                # A terminal's Ctrl-C reaches the whole group. This process stops the others, so
                # they must not receive it themselves: they would be interrupted twice, or during
                # imports.
                with interrupts_held_back():
                    process.start()
                sender.close()
                active[receiver] = (index, process)
            progress(sum(steps), total, ", ".join(works[i].label for i, _ in active.values()))
            for ready in wait(list(active)):
                assert isinstance(ready, Connection)  # noqa: S101 - only connections were waited for
                index, process = active[ready]
                message = _receive(ready, works[index].label)
                if isinstance(message, _Step):
                    steps[index] = message.step
                    continue
                del active[ready]
                process.join()
                is_whole &= message
                if message:
                    steps[index] = works[index].steps
    except KeyboardInterrupt:
        is_whole = False
    finally:
        for _, process in active.values():
            process.terminate()  # the loop saves, then ends
        for _, process in active.values():
            process.join()
    return is_whole


@dataclass(frozen=True)
class _Step:
    """The current step of a work's process."""

    step: int


def _receive(connection: Connection, label: str) -> _Step | bool:
    """Return the work's current step or, at its end, whether it is complete.

    Raises:
        GlitchError: with the message of the work's process, or if that was killed.
    """
    try:
        message = connection.recv()
    except EOFError:
        raise GlitchError(
            f"The process of {label} was killed (by the system, if memory ran out): run the same "
            "command with fewer jobs; it continues."
        ) from None
    if isinstance(message, str):
        raise GlitchError(f"{label}: {message}")
    return message if isinstance(message, _Step) else bool(message)


def _run_in_process(work: Work, answer: Connection) -> None:
    """Run a work in its own process; send whether it is complete, or the error's message."""
    if "torch" in sys.modules:  # imported by works that compute
        import torch

        torch.set_num_threads(1)
    parent = multiprocessing.parent_process()

    def on_step(step: int) -> None:
        if parent is not None and not parent.is_alive():
            os.kill(os.getpid(), signal.SIGTERM)  # a killed parent cannot stop this process
            return
        with suppress(BrokenPipeError):  # the parent was just killed: the next step detects it
            answer.send(_Step(step))

    with suppress(BrokenPipeError):  # the parent was killed; the work is saved
        try:
            answer.send(work.do(on_step))
        except GlitchError as error:
            answer.send(str(error))
    # There is nothing left to stop, and the cleanup at exit must not be interrupted.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
