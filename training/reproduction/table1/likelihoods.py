"""Table 1's objectives with other pixel likelihoods: the effect of its scale on their order.

The paper does not state the likelihood of its glitch models. Its scale determines the value of a
nat of rate, and so the rate at beta = 1. In addition to the optimal variance there are three fixed
ones and the Bernoulli likelihood of the reference study; all else is as in Table 1, whose runs with
the optimal variance are reused if the folder has them.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import numpy as np

from training.core.budget import Budget
from training.core.parallel import Progress, Work, run_all
from training.core.state import STATE_FILE, saved_step
from training.reproduction.table1.command import (
    CLOSED_FORM,
    OBJECTIVES,
    PLAIN,
    configuration,
    read_splits,
    run_folder,
    tier_named,
    train_run,
    with_budget,
)
from training.reproduction.table1.judging import judge_run
from training.reproduction.table1.results import PAPER_CLASSES_NAME, Scored
from training.views.config import TrainingConfig, VarianceConfig

LIKELIHOODS = {
    "variance at its optimum": CLOSED_FORM,
    "variance .01": VarianceConfig("fixed", fixed=0.01),
    "variance .003": VarianceConfig("fixed", fixed=0.003),
    "variance .001": VarianceConfig("fixed", fixed=0.001),
    "Bernoulli": VarianceConfig("bernoulli"),
}
N_SEEDS = 2
SAMPLE = "all views"


def run_likelihoods(
    tier: str,
    folder: Path,
    on_progress: Progress = lambda _done, _total, _note: None,
    *,
    jobs: int = 1,
    real_images: Path = Path("../shared/data/gravityspy_images"),
    budget: Budget | None = None,
    is_report_only: bool = False,
) -> Path | None:
    """Train every objective with every likelihood, and write ``likelihoods.csv`` and ``.md``.

    Args:
        tier: key of Table 1's tiers; its first two seeds are used unless ``budget`` gives more.
        folder: Table 1's folder; complete runs in it are not trained again.
        on_progress: called with steps done, total steps, and the current activity.
        jobs: number of parallel training processes.
        real_images: folder of pictures with its manifest; not needed for the smoke tier.
        budget: other steps or seeds.
        is_report_only: train nothing; make the table of the complete runs.

    Returns:
        The report's path, or None if the work was stopped (the same call continues it) or no run is
        complete.

    Raises:
        GlitchError: if the tier is unknown, the pictures are missing, or a run fails.
    """
    wish = budget or Budget()
    settings = with_budget(tier_named(tier), replace(wish, seeds=wish.seeds or N_SEEDS))
    planned = [
        (likelihood, name, configuration(settings, name, seed, variance=variance))
        for seed in settings.seeds
        for likelihood, variance in LIKELIHOODS.items()
        for name in (*OBJECTIVES, PLAIN)
    ]

    def is_complete(config: TrainingConfig) -> bool:
        return saved_step(run_folder(folder, config) / STATE_FILE) >= settings.steps

    if is_report_only and not any(is_complete(config) for *_, config in planned):
        return None
    splits = read_splits(settings, real_images)
    works = [
        Work(
            f"{name}, {likelihood}, seed {config.seed}",
            settings.steps,
            partial(train_run, config, folder, splits[config.seed][0], settings.device),
        )
        for likelihood, name, config in planned
    ]
    if not is_report_only and not run_all(works, jobs=jobs, progress=on_progress):
        return None
    scored = [
        (likelihood, one.row)
        for likelihood, name, config in planned
        if is_complete(config)
        for one in judge_run(config, run_folder(folder, config), name, splits[config.seed])
    ]
    return _write(folder, scored)


def _write(folder: Path, scored: Sequence[tuple[str, Scored]]) -> Path:
    rows = [
        {"likelihood": likelihood} | asdict(row) | {"is_collapsed": int(row.is_collapsed)}
        for likelihood, row in scored
    ]
    with (folder / "likelihoods.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    path = folder / "likelihoods.md"
    path.write_text("\n".join(_report(scored)), encoding="utf-8")
    return path


def _report(scored: Sequence[tuple[str, Scored]]) -> list[str]:
    classes = PAPER_CLASSES_NAME
    if all(row.classes != classes for _, row in scored):
        classes = scored[0][1].classes  # the smoke tier has too few for the paper's set
    names = (*OBJECTIVES, PLAIN)
    lines = [
        "# Table 1 under other likelihoods",
        "",
        f"{classes}, {SAMPLE}: accuracy in per cent (rate in nats) of each seed, collapsed runs in "
        "brackets [ ].",
        "",
        f"| | {' | '.join(names)} |",
        f"| --- |{' --- |' * len(names)}",
    ]
    for likelihood in LIKELIHOODS:
        cells = []
        for name in names:
            chosen = [
                row
                for one, row in scored
                if (one, row.contender, row.sample, row.classes)
                == (likelihood, name, SAMPLE, classes)
            ]
            cells.append(", ".join(map(_cell, chosen)) or "not run")
        lines.append(f"| {likelihood} | {' | '.join(cells)} |")
    return [*lines, ""]


def _cell(row: Scored) -> str:
    text = f"{100 * row.accuracy:.1f} ({np.round(row.rate, 1):g})"
    return f"[{text}]" if row.is_collapsed else text
