"""One encoder for each hidden class, trained without its pictures and its simulation.

Called by `leave_one_class_out.py encoders FOLDER PACK...`: FOLDER contains real pictures, PACKs are
made by `glitch-discovery simulate-pack`. Runs are stored in runs/unmet and continued.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from glitch.model import ScatteringVAE
from glitch.views import Preprocessing
from training.core.config import LogConfig, ObjectiveConfig
from training.data.pack import Pack, read_packs
from training.views.augmented import RawFeatures, scattering_features
from training.views.config import load_config
from training.views.export import load_run
from training.views.guided_config import GuidedConfig
from training.views.train import train

EIGHT = (
    "Blip",
    "Whistle",
    "Koi_Fish",
    "Scattered_Light",
    "Fast_Scattering",
    "Power_Line",
    "Violin_Mode",
    "Scratchy",
)
CONFIG = Path(__file__).parents[2] / "training" / "configs" / "shipped.yaml"
STEPS, REAL_LOOKS = 600, 4
RUNS = Path("runs/unmet")


def short_config(hidden: str | None) -> GuidedConfig:
    """Return the shipped configuration with fewer steps and fewer looks."""
    shipped = load_config(CONFIG)
    if not isinstance(shipped, GuidedConfig):
        raise SystemExit(f"{CONFIG} is not of the scattering model.")
    annealed = {"beta_start": 10.0, "annealing_steps": int(0.4 * STEPS)}
    return replace(
        shipped,
        name=f"unmet-{hidden or 'none'}",
        hidden_class=hidden,
        is_painted=False,
        objective=ObjectiveConfig("beta_annealed", annealed),
        optimiser=replace(shipped.optimiser, steps=STEPS),
        looks=replace(shipped.looks, real_looks=REAL_LOOKS),
        log=LogConfig(log_every=100, evaluate_every=STEPS, save_every=250),
    )


def looks_once(config: GuidedConfig, packs: dict[str, Pack]) -> dict[str, RawFeatures]:
    """Compute the features of augmented copies that all eight runs share once, and store them."""
    cache = RUNS / "looks.npz"
    if cache.exists():
        with np.load(cache) as file:
            return {name: file[name] for name in packs}
    made = scattering_features(ScatteringVAE(config.architecture), packs, config.looks, config.seed)
    RUNS.mkdir(parents=True, exist_ok=True)
    np.savez(cache, **made)
    return made


def encoders(
    real: Pack, pack_folders: list[Path], hidden: list[str]
) -> Iterator[tuple[str, ScatteringVAE]]:
    """Train an encoder for each class without that class."""
    simulated = read_packs(pack_folders, Preprocessing())
    config = short_config(None)
    seen = looks_once(config, {"real": real, "simulated": simulated})
    for name in hidden:
        folder = RUNS / name
        train(
            short_config(name),
            folder,
            real_train=real,
            validation=None,
            simulated=simulated,
            seen=seen,
        )
        _, model, _ = load_run(folder)
        if not isinstance(model, ScatteringVAE):
            raise SystemExit(f"{folder} holds another model.")
        yield name, model
