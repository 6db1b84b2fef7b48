"""Training and scoring of the runs of a plan, several in parallel, each resumable."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from training.core.devices import device_named
from training.core.full_disk import full_disk_as_error
from training.core.parallel import OnStep, Progress, Work, run_all
from training.dsprites import train_on_pictures
from training.dsprites.packed import DSpritesPictures, dsprites_name, open_dsprites
from training.reproduction.plan import Run
from training.reproduction.scores import SCORES_FILE, score_run
from training.reproduction.tiers import Tier

RUNS_FOLDER, DATA_FOLDER = "runs", "data"


@dataclass(frozen=True)
class Workspace:
    """Folder, tier and data of a reproduction."""

    folder: Path
    tier: Tier
    npz: Path | None = None  # public dSprites; None: our re-rendering

    def dsprites(
        self, on_progress: Callable[[int], None] = lambda _images: None
    ) -> DSpritesPictures:
        """Open the data, read or rendered at the first request."""
        return open_dsprites(
            self.folder / DATA_FOLDER,
            side=self.tier.side,
            npz=self.npz,
            orientation_stride=self.tier.orientation_stride,
            on_progress=on_progress,
        )

    @property
    def data_name(self) -> str:
        """The data's name in results, without reading or rendering them."""
        return dsprites_name(npz=self.npz, orientation_stride=self.tier.orientation_stride)

    def run_folder(self, run: Run) -> Path:
        """Return the folder of a run's state, log and scores."""
        return self.folder / RUNS_FOLDER / run.name


def perform(place: Workspace, run: Run, on_step: OnStep = lambda _step: None) -> bool:
    """Train one run to its end and score it, or continue it.

    Returns:
        False if it was stopped before its end; the same call continues it.
    """
    folder = place.run_folder(run)
    pictures = place.dsprites()
    config = run.config(place.tier, pictures.name)
    result = train_on_pictures(
        config,
        folder,
        pictures,
        report=lambda step, _metrics: on_step(step),
        device=device_named(place.tier.device),
    )
    if result.is_complete:
        with full_disk_as_error(folder):
            score_run(folder, pictures, place.tier)
    return result.is_complete


def perform_all(place: Workspace, runs: Sequence[Run], *, jobs: int, progress: Progress) -> bool:
    """Train and score every run, ``jobs`` at a time.

    Args:
        place: folder, tier and data.
        runs: in the order in which they start.
        jobs: number of processes; with one, runs are trained in this process.
        progress: called with the steps done, the total of all runs, and the current activity.

    Returns:
        False if the work was stopped; the same call continues it.

    Raises:
        GlitchError: if a run cannot be continued or diverged; the others are saved.
    """
    place.dsprites(lambda _images: progress(0, None, "preparing dSprites"))
    works = [
        Work(f"{run.label}, seed {run.seed}", place.tier.steps, partial(perform, place, run))
        for run in runs
    ]
    return run_all(works, jobs=jobs, progress=progress)


def read_scores(place: Workspace, run: Run) -> dict[str, Any]:
    """Read the scores of a finished run."""
    path = place.run_folder(run) / SCORES_FILE
    scores: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return scores
