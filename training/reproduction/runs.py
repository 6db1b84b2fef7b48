"""Trains and scores the runs of a plan, several side by side, each resumable."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

from glitch.errors import GlitchError
from training.pictures import train_on_pictures
from training.pictures.dsprites_set import DSpritesPictures, open_dsprites
from training.reproduction.plan import Run
from training.reproduction.scores import SCORES_FILE, score_run
from training.reproduction.tiers import Tier

RUNS_FOLDER, DATA_FOLDER = "runs", "data"
Progress = Callable[[int, str], None]


@dataclass(frozen=True)
class Workplace:
    """Where a reproduction keeps what it makes, and which data it uses."""

    folder: Path
    tier: Tier
    npz: Path | None = None  # public dSprites; our re-rendering if None

    def dsprites(
        self, on_progress: Callable[[int], None] = lambda _images: None
    ) -> DSpritesPictures:
        """The data, read or rendered by whoever asks first."""
        return open_dsprites(
            self.folder / DATA_FOLDER,
            side=self.tier.side,
            npz=self.npz,
            orientation_stride=self.tier.orientation_stride,
            on_progress=on_progress,
        )

    def run_folder(self, run: Run) -> Path:
        """Where that run keeps its state, log and scores."""
        return self.folder / RUNS_FOLDER / run.name


def perform(
    place: Workplace, run: Run, on_step: Callable[[int], None] = lambda _step: None
) -> bool:
    """Trains one run to its end and scores it, or continues where it was.

    Returns:
        False if it was stopped before its end; the same call continues it.
    """
    folder = place.run_folder(run)
    pictures = place.dsprites()
    config = run.config(place.tier, pictures.name)
    result = train_on_pictures(
        config, folder, pictures, report=lambda step, _metrics: on_step(step)
    )
    if result.is_complete:
        score_run(folder, pictures, place.tier)
    return result.is_complete


def perform_all(place: Workplace, runs: Sequence[Run], *, jobs: int, progress: Progress) -> bool:
    """Performs every run, ``jobs`` at a time.

    Args:
        place: where.
        runs: the first ones start first.
        jobs: processes; with one, runs are done in this process.
        progress: told the number of finished runs and what is under way.

    Returns:
        False if the work was stopped; the same call continues it.

    Raises:
        GlitchError: if a run cannot be continued or went numerically wrong; the others are saved.
    """
    place.dsprites(lambda _images: progress(0, "preparing dSprites"))
    if jobs == 1:
        for done, run in enumerate(runs):
            progress(done, run.label)
            if not perform(place, run, lambda step, d=done, r=run: progress(d, _note(r, step))):  # type: ignore[misc]
                return False
        progress(len(runs), "")
        return True
    return side_by_side(place, runs, jobs=jobs, progress=progress)


def read_scores(place: Workplace, run: Run) -> dict[str, Any]:
    """The scores of a performed run."""
    path = place.run_folder(run) / SCORES_FILE
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _note(run: Run, step: int) -> str:
    return f"{run.label}, seed {run.seed}, step {step:,}"


def side_by_side(place: Workplace, runs: Sequence[Run], *, jobs: int, progress: Progress) -> bool:
    """:func:`perform_all` in processes of their own, one thread each."""
    # Spawned: a fork would copy a half-initialised torch.
    context = multiprocessing.get_context("spawn")
    waiting, active, done = list(runs), dict[Connection, tuple[Run, SpawnProcess]](), 0
    is_whole = True
    try:
        while active or (waiting and is_whole):
            while waiting and is_whole and len(active) < jobs:
                run = waiting.pop(0)
                ours, theirs = context.Pipe(duplex=False)
                process = context.Process(target=_perform_apart, args=(place, run, theirs))
                process.start()
                theirs.close()
                active[ours] = (run, process)
            progress(done, ", ".join(run.label for run, _ in active.values()))
            for answered in wait(list(active)):
                assert isinstance(answered, Connection)  # noqa: S101 - what was waited for
                run, process = active.pop(answered)
                is_complete = _answer(answered, run)
                process.join()
                is_whole &= is_complete
                done += is_complete
    except KeyboardInterrupt:
        is_whole = False
    finally:
        for _, process in active.values():
            process.terminate()  # the loop saves, then ends
        for _, process in active.values():
            process.join()
    return is_whole


def _answer(answered: Connection, run: Run) -> bool:
    """Whether the run is complete.

    Raises:
        GlitchError: with the sentence of the run's own process, or that it was killed.
    """
    try:
        answer = answered.recv()
    except EOFError:
        raise GlitchError(
            f"The process of {run.label}, seed {run.seed}, was killed (by the system, if memory "
            "ran out): run the same command with fewer jobs; it continues."
        ) from None
    if isinstance(answer, str):
        raise GlitchError(f"{run.label}, seed {run.seed}: {answer}")
    return bool(answer)


def _perform_apart(place: Workplace, run: Run, answer: Connection) -> None:
    """One run in its own process: True if complete, False if stopped, or the error's sentence."""
    import torch

    torch.set_num_threads(1)
    # A terminal's Ctrl-C reaches the whole group, and then the parent's SIGTERM comes second,
    # which would end the loop before it has saved.
    os.setpgid(0, 0)
    parent = multiprocessing.parent_process()

    def look_up(_step: int) -> None:
        if parent is not None and not parent.is_alive():
            os.kill(os.getpid(), signal.SIGTERM)  # a killed parent cannot ask

    try:
        answer.send(perform(place, run, look_up))
    except GlitchError as error:
        answer.send(str(error))
