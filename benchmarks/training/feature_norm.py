"""Table 1's objectives with and without a norm before the ReLU of the encoder's features.

    python -m benchmarks.training.feature_norm FOLDER [--seeds 2] [--steps 2000] [--jobs 1]

A high beta switches off ReLUs that do not recover when it falls: the annealed runs of Table 1 end
with few live features. With a layer norm before that ReLU no step can switch all of them off.
FOLDER is Table 1's (`reproduce table1 --tier reduced`, its `table1/`); its complete runs are
reused, and missing ones, with and without the norm, are trained there with the same initial weights
and batches. A stopped call continues. Printed: 22 classes, all views, mean over seeds, and the
differences by seed.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.machine import heading
from training.core.budget import Budget
from training.core.parallel import Work, run_all
from training.reproduction.table1.command import (
    OBJECTIVES,
    PLAIN,
    TableTier,
    configuration,
    read_splits,
    run_folder,
    tier_named,
    train_run,
    with_budget,
)
from training.reproduction.table1.judging import judge_run
from training.reproduction.table1.results import PAPER_CLASSES_NAME, Scored
from training.views.config import TrainingConfig

NAMES = (*OBJECTIVES, PLAIN)


def runs_of(tier: TableTier) -> Iterator[tuple[str, bool, TrainingConfig]]:
    """Yield objective, whether with the norm, and configuration of every run."""
    for seed in tier.seeds:
        for name in NAMES:
            plain = configuration(tier, name, seed)
            yield name, False, plain
            normalised = replace(plain.architecture, has_normalised_features=True)
            yield name, True, replace(plain, name=f"{plain.name}-norm", architecture=normalised)


def main() -> int:
    """Print a row for each objective."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="that holds Table 1's runs/")
    parser.add_argument("--tier", default="reduced")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument(
        "--real-images", type=Path, default=Path("../shared/data/gravityspy_images")
    )
    chosen = parser.parse_args()
    print(heading())
    tier = with_budget(tier_named(chosen.tier), Budget(chosen.steps, chosen.seeds))
    splits = read_splits(tier, chosen.real_images)
    runs = list(runs_of(tier))
    works = [
        Work(
            config.name,
            tier.steps,
            partial(train_run, config, chosen.folder, splits[config.seed][0], tier.device),
        )
        for _, _, config in runs
    ]
    if not run_all(works, jobs=chosen.jobs, progress=_print_progress):
        return 1
    rows: dict[tuple[str, bool], list[Scored]] = {}
    for name, is_normalised, config in runs:
        judged = judge_run(config, run_folder(chosen.folder, config), name, splits[config.seed])
        rows.setdefault((name, is_normalised), []).extend(
            one.row
            for one in judged
            if (one.row.sample, one.row.classes) == ("all views", PAPER_CLASSES_NAME)
        )
    print(
        "\nobjective       norm  accuracy, %  balanced, %  rate, nats  live features, %  "
        "norm minus none, points by seed: accuracy; balanced"
    )
    for name in NAMES:
        for is_normalised in (False, True):
            print(_line(name, rows[name, is_normalised], rows[name, False]))
    return 0


def _line(name: str, normalised: list[Scored], plain: list[Scored]) -> str:
    accuracy, balanced, rate, live = (
        np.array([getattr(row, what) for row in normalised])
        for what in ("accuracy", "balanced_accuracy", "rate", "live_features")
    )
    is_normalised = normalised is not plain
    gains = "; ".join(
        " ".join(
            f"{100 * (getattr(row, what) - getattr(other, what)):+.1f}"
            for row, other in zip(normalised, plain, strict=True)
        )
        for what in ("accuracy", "balanced_accuracy")
    )
    return (
        f"{name:<15} {'yes' if is_normalised else 'no':<5} {100 * accuracy.mean():>11.1f}  "
        f"{100 * balanced.mean():>11.1f}  {rate.mean():>10.1f}  {100 * live.mean():>16.0f}  "
        f"{gains if is_normalised else ''}"
    )


def _print_progress(done: int, total: int | None, what: str) -> None:
    if what:
        print(f"\r{done}/{total} {what}          ", end="", flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
