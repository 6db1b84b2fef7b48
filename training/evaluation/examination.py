"""All measures of a model written to one folder, as data and as plots."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from glitch.checkpoint import load_checkpoint
from glitch.errors import GlitchError
from glitch.model import ViewsModel
from glitch.views import VIEW_DURATIONS_S
from training.core.config import ConfigError
from training.core.loop import CONFIG_FILE, METRICS_FILE, logged_entries
from training.data.datasets import RealGlitches
from training.data.pack import Pack
from training.data.split import split_glitches
from training.evaluation.encoding import encode_pack, single_views
from training.evaluation.measures.by_class import ClassRow, by_class
from training.evaluation.measures.clustering import cluster_agreement
from training.evaluation.measures.novelty import leave_one_class_out
from training.evaluation.measures.rates import WEIGHTS, CurvePoint, Rates, in_order, measure_rates
from training.evaluation.measures.retrieval import retrieve
from training.evaluation.pictures_of_views import draw_reconstructions, draw_traversals, reconstruct
from training.evaluation.plots_measures import (
    draw_by_class,
    draw_curve,
    draw_latents_over_training,
    draw_novelty,
    draw_rate_of_latents,
)
from training.evaluation.probe import classes_with_groups
from training.evaluation.report import CLASSES_BY_GROUPS
from training.views.config import AnyConfig, config_from_mapping
from training.views.export import load_run

MANIFEST_FILE = "manifest.json"


@dataclass(frozen=True, eq=False)
class JudgedModel:
    """A model to evaluate, and the configuration that it was trained with."""

    config: AnyConfig
    model: ViewsModel
    folder: Path


def load_judged(folder: Path) -> JudgedModel:
    """Load the best weights of a run, or the weights of a checkpoint, with the configuration.

    Raises:
        ConfigError: if the folder is neither, or the checkpoint does not contain its configuration.
        CheckpointError: if the weights are missing or damaged.
    """
    if (folder / CONFIG_FILE).exists():
        config, model, _ = load_run(folder)
        return JudgedModel(config, model, folder)
    if not (folder / MANIFEST_FILE).exists():
        raise ConfigError(
            f"{folder} is neither a training run ({CONFIG_FILE}) nor a checkpoint "
            f"({MANIFEST_FILE}): give the folder of one."
        )
    checkpoint = load_checkpoint(folder)
    saved = checkpoint.manifest.training.get("config")
    if saved is None:
        raise ConfigError(
            f"The checkpoint {folder} lacks its training configuration: give its run's folder."
        )
    checkpoint.model.eval()
    return JudgedModel(config_from_mapping(saved), checkpoint.model, folder)


def examine_into(
    judged: JudgedModel, real: Pack, train_groups: frozenset[str], out: Path
) -> dict[str, Any]:
    """Compute all measures on held-out groups and write them.

    Args:
        judged: the model.
        real: all real glitches.
        train_groups: the groups that the model was trained on. Only their labels train the probes,
            and only they are references of the novelty score.
        out: folder for ``measures.json``, ``by_class.csv``, ``novelty.csv``, ``latents.csv`` and
            the plots; created if missing.

    Returns:
        The content of ``measures.json``.
    """
    out.mkdir(parents=True, exist_ok=True)
    model = judged.model
    is_known = np.asarray([group in train_groups for group in real.groups])
    held_out = real.subset(np.nonzero(~is_known)[0])
    vectors = encode_pack(model, real).mean
    rates = measure_rates(model, held_out)
    classes = _class_rows(model, real, vectors, is_known)
    try:
        hidden = leave_one_class_out(vectors, real.labels, real.groups, is_known)
    except GlitchError:
        hidden = []  # every class is too small to be hidden: the other measures are still valid
    measures: dict[str, Any] = {
        "n_held_out": len(held_out),
        "rate": rates.rate,
        "distortion": rates.distortion,
        "elbo": rates.elbo,
        "active_units": rates.active_units,
        "novelty_mean_auroc": float(np.mean([one.auroc for one in hidden])) if hidden else None,
        "sets": {
            name: _agreement(vectors[~is_known], held_out, at_least, real)
            for name, at_least in CLASSES_BY_GROUPS.items()
            if len(classes_with_groups(real.labels, real.groups, at_least)) >= 2
        },
    }
    _save_table(out / "by_class.csv", [asdict(row) for row in classes])
    if hidden:
        _save_table(out / "novelty.csv", [asdict(one) for one in hidden])
        draw_novelty(out / "novelty.png", hidden)
    _save_table(
        out / "latents.csv",
        [
            {"latent": index, "rate": rate, "variance_of_mean": variance}
            for index, (rate, variance) in enumerate(
                zip(rates.rate_of_latents, rates.variance_of_means, strict=True)
            )
        ],
    )
    text = json.dumps(measures, indent=2, allow_nan=False)
    (out / "measures.json").write_text(text + "\n", encoding="utf-8")
    draw_rate_of_latents(out / "latents.png", rates)
    draw_by_class(out / "by_class.png", [row for row in classes if row.sample == "all views"])
    draw_reconstructions(out / "reconstructions.png", reconstruct(model, held_out))
    for view, duration_s in enumerate(VIEW_DURATIONS_S[: model.architecture.n_views]):
        path = out / f"traversals_{duration_s:g}s.png"
        draw_traversals(path, model, rates, view=view)
    _save_latents_over_training(judged.folder, out)
    return measures


def _agreement(vectors: np.ndarray, held_out: Pack, at_least: int, real: Pack) -> dict[str, Any]:
    """Compute retrieval and clustering of held-out glitches in the classes with enough groups."""
    classes = classes_with_groups(real.labels, real.groups, at_least)
    chosen = np.nonzero(np.isin(np.asarray(held_out.labels), classes))[0]
    subset = held_out.subset(chosen)
    return {
        "n_classes": len(set(subset.labels)),
        "retrieval": asdict(retrieve(vectors[chosen], subset.labels, subset.groups)),
        "clustering": asdict(cluster_agreement(vectors[chosen], subset.labels)),
    }


def _class_rows(
    model: ViewsModel, real: Pack, vectors: np.ndarray, is_known: np.ndarray
) -> list[ClassRow]:
    """Compute the rows for all views together, and for every window alone."""
    rows = by_class("all views", vectors, real.labels, is_known)
    singles, input_views, origin = single_views(real)
    alone = encode_pack(model, singles, input_views).mean
    for view, duration_s in enumerate(VIEW_DURATIONS_S[: input_views.shape[1]]):
        chosen = np.nonzero(input_views[:, view])[0]
        labels = [singles.labels[index] for index in chosen]
        sample = f"{duration_s:g} s alone"
        rows += by_class(sample, alone[chosen], labels, is_known[origin[chosen]])
    return rows


def _save_table(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _save_latents_over_training(run: Path, out: Path) -> None:
    """Write the KL of each latent during training, if the run has a log."""
    entries = [one for one in logged_entries(run / METRICS_FILE) if "validation.kl.0" in one]
    if not entries:
        return
    n_latent = sum(1 for name in entries[0] if name.startswith("validation.kl."))
    rates = np.asarray(
        [[entry[f"validation.kl.{index}"] for index in range(n_latent)] for entry in entries]
    )
    steps = [int(entry["step"]) for entry in entries]
    _save_table(
        out / "latents_over_training.csv",
        [
            {"step": step, **{f"kl_{index}": value for index, value in enumerate(row)}}
            for step, row in zip(steps, rates.tolist(), strict=True)
        ],
    )
    draw_latents_over_training(out / "latents_over_training.png", steps, rates)


def held_out_of_all(runs: Sequence[JudgedModel], glitches: RealGlitches) -> Pack:
    """Select the glitches that no run was trained on.

    Raises:
        ConfigError: if the runs used different data sets, or together trained on all glitches.
    """
    first = runs[0].config.data
    is_new = np.ones(len(glitches.pack), dtype=np.bool_)
    for judged in runs:
        data = judged.config.data
        if (data.real_images, data.real_layout) != (first.real_images, first.real_layout):
            raise ConfigError(
                f"{judged.folder} was trained on {data.real_images}, but {runs[0].folder} on "
                f"{first.real_images}: give runs trained on the same data set."
            )
        learnt, _ = split_glitches(glitches, data)
        is_new &= ~np.isin(np.asarray(glitches.pack.groups), np.asarray(learnt.groups))
    if not is_new.any():
        raise ConfigError(
            "At least one of these runs was trained on each glitch: give runs with the same "
            "data.split_seed and data.validation_fold."
        )
    return glitches.pack.subset(np.nonzero(is_new)[0])


def rate_distortion_curve(
    runs: Sequence[JudgedModel], held_out: Pack, out: Path
) -> list[CurvePoint]:
    """Measure several runs on the same glitches, and write ``curve.csv`` and ``curve.png``.

    Args:
        runs: trained models; each objective's curve follows its own hyperparameter.
        held_out: glitches that none of them was trained on.
        out: folder of the results, created if missing.
    """
    points: list[CurvePoint] = []
    for judged in runs:
        rates: Rates = measure_rates(judged.model, held_out)
        objective = judged.config.objective
        name = WEIGHTS[objective.kind]
        value = float(getattr(objective.build(), name))
        points.append(
            CurvePoint(
                judged.folder.name,
                objective.kind,
                name,
                value,
                judged.config.seed,
                rates.rate,
                rates.distortion,
            )
        )
    ordered = in_order(points)
    out.mkdir(parents=True, exist_ok=True)
    _save_table(out / "curve.csv", [asdict(point) for point in ordered])
    draw_curve(out / "curve.png", ordered, {})
    return ordered
