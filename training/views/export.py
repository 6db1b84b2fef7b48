"""Export of a run's best weights to a checkpoint that the service can load."""

from __future__ import annotations

import json
import subprocess
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from glitch.checkpoint import Manifest, save_checkpoint
from glitch.model import AnyArchitecture, ScatteringArchitecture, ViewsModel, build_model
from glitch.views import Preprocessing
from training.core.config import config_to_mapping
from training.core.loop import BEST_FILE, CONFIG_FILE
from training.core.state import STATE_FILE, load_state
from training.data.pack import Pack
from training.data.split import TrainingData
from training.views.config import AnyConfig, load_config
from training.views.guided_task import HEADS_FILE

LICENCE = "GPL-3.0-or-later"


def load_run(folder: Path) -> tuple[AnyConfig, ViewsModel, int]:
    """Load configuration, best weights (or else the last) and their step from a run's folder.

    Raises:
        ConfigError: if the folder has no run.
        CheckpointError: if its weights are missing or damaged.
    """
    config = load_config(folder / CONFIG_FILE)
    path = folder / BEST_FILE
    path = path if path.exists() else folder / STATE_FILE
    model = build_model(_with_heads(config.architecture, folder))
    step, _ = load_state(path, model, None)
    model.eval()
    return config, model, step


def _with_heads(architecture: AnyArchitecture, folder: Path) -> AnyArchitecture:
    """Add the heads that depend on the run's training data to the architecture."""
    if not isinstance(architecture, ScatteringArchitecture):
        return architecture
    heads = json.loads((folder / HEADS_FILE).read_text(encoding="utf-8"))
    return replace(
        architecture, classes=tuple(heads["classes"]), parameters=tuple(heads["parameters"])
    )


def export_run(
    run: Path,
    destination: Path,
    *,
    name: str,
    data: TrainingData,
    metrics: dict[str, Any],
    is_half_precision: bool = True,
) -> Manifest:
    """Write the checkpoint of a run, with its training data and evaluation in the manifest."""
    config, model, step = load_run(run)
    return save_checkpoint(
        destination,
        model,
        name=name,
        preprocessing=Preprocessing(),
        training={
            "step": step,
            "config": config_to_mapping(config),
            "real_train": summarise(data.real_train),
            "validation": summarise(data.validation),
            "simulated": summarise(data.simulated),
        },
        schedule=asdict(config.objective),
        metrics=metrics,
        licence=LICENCE,
        git_revision=git_revision(),
        is_half_precision=is_half_precision,
    )


def summarise(pack: Pack | None) -> dict[str, Any] | None:
    """Count glitches, groups and members of each label, for the manifest."""
    if pack is None:
        return None
    labels = {label: pack.labels.count(label) for label in sorted(set(pack.labels))}
    return {"glitches": len(pack), "groups": len(set(pack.groups)), "labels": labels}


def git_revision() -> str | None:
    """Return the commit of the running code; None outside a repository."""
    try:
        answer = subprocess.run(
            ["git", "rev-parse", "HEAD"],  # noqa: S607 - the user's own git
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()
