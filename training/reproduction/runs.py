"""Trains and scores the runs of a plan, several side by side, each resumable."""

from __future__ import annotations

import json
import multiprocessing
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.pictures import train_on_pictures
from training.pictures.dsprites_set import DSpritesPictures, open_dsprites
from training.reproduction.plan import Run
from training.reproduction.scores import score_run
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
        TrainingError: if a run went numerically wrong; the others' work is kept.
    """
    place.dsprites()
    if jobs == 1:
        for done, run in enumerate(runs):
            progress(done, run.label)
            if not perform(place, run):
                return False
        progress(len(runs), "")
        return True
    # Processes of their own: a fork would copy a half-initialised torch.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context, initializer=_one_thread) as pool:
        waiting: set[Future[bool]] = {pool.submit(perform, place, run) for run in runs}
        is_whole, done = True, 0
        while waiting:
            finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for future in finished:
                is_whole &= future.result()
                done += 1
            progress(done, f"{jobs} side by side")
            if not is_whole:
                for future in waiting:
                    future.cancel()
                return False
    return True


def read_scores(place: Workplace, run: Run) -> dict[str, Any]:
    """The scores of a performed run."""
    path = place.run_folder(run) / "scores.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.default_int_handler)
