"""Several trainings in parallel: one process and one thread each, stopped and reported together."""

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
# Told what is done, of how much (steps; None where that is not known), and what is under way.
Progress = Callable[[int, int | None, str], None]


@dataclass(frozen=True)
class Work:
    """One training. ``do`` is sent to another process, so it must be picklable.

    It is given what to call at each logged step, continues where it was, and gives False if it
    was stopped before its end.
    """

    label: str
    steps: int
    do: Callable[[OnStep], bool]


def run_all(works: Sequence[Work], *, jobs: int, progress: Progress) -> bool:
    """Does every work, ``jobs`` at a time; with one, in this process.

    Returns:
        False if the work was stopped; the same call continues it.

    Raises:
        GlitchError: if one cannot be continued or went wrong; the others are saved.
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
    ensure_running()  # spawned with the first process otherwise, and then it unblocks SIGINT
    waiting, active = list(range(len(works))), dict[Connection, tuple[int, SpawnProcess]]()
    steps, total = [0] * len(works), sum(work.steps for work in works)
    is_whole = True
    try:
        while active or (waiting and is_whole):
            while waiting and is_whole and len(active) < jobs:
                index = waiting.pop(0)
                ours, theirs = context.Pipe(duplex=False)
                process = context.Process(target=_run_in_process, args=(works[index], theirs))
                # A terminal's Ctrl-C reaches the whole group; this process tells the others, which
                # would otherwise be interrupted twice, or while they import.
                with interrupts_held_back():
                    process.start()
                theirs.close()
                active[ours] = (index, process)
            progress(sum(steps), total, ", ".join(works[i].label for i, _ in active.values()))
            for answered in wait(list(active)):
                assert isinstance(answered, Connection)  # noqa: S101 - what was waited for
                index, process = active[answered]
                message = _receive(answered, works[index].label)
                if isinstance(message, _Step):
                    steps[index] = message.step
                    continue
                del active[answered]
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
    """How far a work's own process has come."""

    step: int


def _receive(answered: Connection, label: str) -> _Step | bool:
    """How far the work is, or, at its end, whether it is complete.

    Raises:
        GlitchError: with the sentence of the work's own process, or that it was killed.
    """
    try:
        message = answered.recv()
    except EOFError:
        raise GlitchError(
            f"The process of {label} was killed (by the system, if memory ran out): run the same "
            "command with fewer jobs; it continues."
        ) from None
    if isinstance(message, str):
        raise GlitchError(f"{label}: {message}")
    return message if isinstance(message, _Step) else bool(message)


def _run_in_process(work: Work, answer: Connection) -> None:
    """One work in its own process: True if complete, False if stopped, or the error's sentence."""
    if "torch" in sys.modules:  # a work that computes has brought it along
        import torch

        torch.set_num_threads(1)
    parent = multiprocessing.parent_process()

    def on_step(step: int) -> None:
        if parent is not None and not parent.is_alive():
            os.kill(os.getpid(), signal.SIGTERM)  # a killed parent cannot ask
            return
        with suppress(BrokenPipeError):  # killed this very moment: the next look finds out
            answer.send(_Step(step))

    with suppress(BrokenPipeError):  # killed: nobody is there to be told, and the work is saved
        try:
            answer.send(work.do(on_step))
        except GlitchError as error:
            answer.send(str(error))
    # Nothing is left to stop, and what runs at the process's end is not to be cut in two.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
