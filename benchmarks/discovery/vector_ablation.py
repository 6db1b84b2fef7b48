"""Contribution of each part of the vector's recipe: runs without it, over folds and seeds.

    python -m benchmarks.discovery.vector_ablation ../shared/data/gravityspy_images PACK...
        [--folds 0 1 2] [--seeds 0] [--steps 1000] [--only NAME...] [--looks runs/looks.npz]

PACKs are made by `glitch-discovery simulate-pack`. Every variant is the shipped configuration
except for the change in its name, trained without the held-out fold and evaluated on it as in
`vector_value.py` (each picture alone; cells are accuracy / balanced accuracy, means over folds and
seeds). Folds keep groups together. The last column is the standard error of the mean of a row's
eight numbers over its runs. Features are computed once for all runs and stored in the file of
--looks.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from sklearn.decomposition import PCA

from benchmarks.discovery.vector_value import MIN_GROUPS, cells, probe_columns, scores, sides_of
from benchmarks.machine import heading
from glitch.model import ScatteringVAE
from glitch.views import Preprocessing
from training.core.config import LogConfig, ObjectiveConfig
from training.data.pack import Pack, read_packs
from training.data.real_images import read_real_images
from training.evaluation.encoding import encode_pack, single_views
from training.evaluation.probe import classes_with_groups, grouped_folds
from training.views.augmented import RawFeatures, scattering_features
from training.views.config import load_config
from training.views.export import load_run
from training.views.guided_config import GuidedConfig
from training.views.train import train

CONFIG = Path(__file__).parents[2] / "training" / "configs" / "shipped.yaml"
Change = Callable[[GuidedConfig], GuidedConfig]


def architecture(**changes: object) -> Change:
    return lambda one: replace(one, architecture=replace(one.architecture, **changes))


def guidance(**changes: object) -> Change:
    return lambda one: replace(one, guidance=replace(one.guidance, **changes))


def looks(**changes: object) -> Change:
    return lambda one: replace(one, looks=replace(one.looks, **changes))


def data(**changes: object) -> Change:
    return lambda one: replace(one, data=replace(one.data, **changes))


VARIANTS: dict[str, Change] = {
    "as shipped": lambda one: one,
    "no trunk": architecture(trunk=0),
    "a trunk of simulation alone": guidance(trunk_real_steps=0),
    "no guidance": lambda one: architecture(trunk=0)(guidance(classes=0.0)(one)),
    "no unnamed shapes": guidance(unnamed_share=0.0),
    "own noise explained": guidance(is_twin_the_target=False),
    "lone views, own window": looks(several_views_share=0.0, other_view_share=0.0),
    "parameters guided too": guidance(parameters=30.0),
    "a tenth real": data(real_share=0.1),
    "48 latents": architecture(latent=48),
    "64 latents": architecture(latent=64),
}


def shipped(steps: int | None) -> GuidedConfig:
    config = load_config(CONFIG)
    if not isinstance(config, GuidedConfig):
        raise SystemExit(f"{CONFIG} is not of the scattering model.")
    steps = steps or config.optimiser.steps
    annealed = {**config.objective.parameters, "annealing_steps": int(0.4 * steps)}
    return replace(
        config,
        is_painted=False,
        objective=ObjectiveConfig(config.objective.kind, annealed),
        optimiser=replace(config.optimiser, steps=steps),
        log=LogConfig(log_every=steps, evaluate_every=steps, save_every=steps),
    )


def looks_once(kept: Path, config: GuidedConfig, packs: dict[str, Pack]) -> dict[str, RawFeatures]:
    """Features of the augmented packs, computed once."""
    if not kept.exists():
        made = scattering_features(
            ScatteringVAE(config.architecture), packs, config.looks, config.seed
        )
        kept.parent.mkdir(parents=True, exist_ok=True)
        np.savez(kept.with_suffix(".partial.npz"), **made)
        kept.with_suffix(".partial.npz").replace(kept)
    with np.load(kept) as file:
        return {name: file[name] for name in packs}


def lone_vectors(model: ScatteringVAE, pack: Pack) -> np.ndarray:
    """Return posterior means of every view alone."""
    alone, input_views, _ = single_views(pack)
    return encode_pack(model, alone, input_views).mean


def scattering_pca(
    raw: RawFeatures, train_pack: Pack, held_raw: RawFeatures, held: Pack
) -> list[float]:
    flat = []
    for looked, pack in ((raw, train_pack), (held_raw, held)):
        glitch, view = np.asarray(pack.observed).any(axis=2).nonzero()
        flat.append(looked[glitch, 0, view, :-1].astype(np.float32))
    reduce = PCA(32, random_state=0).fit(flat[0])
    sides = sides_of(*_joined(train_pack, held), train_pack, held)
    return scores(*(reduce.transform(one) for one in flat), sides)


def _joined(train_pack: Pack, held_out: Pack) -> tuple[Pack]:
    both = Pack(
        np.empty((0,)),
        np.empty((0,)),
        train_pack.labels + held_out.labels,
        train_pack.groups + held_out.groups,
    )
    return (both,)


def row(name: str, found: list[list[float]]) -> None:
    mean = np.mean(found, axis=0)
    level = np.asarray(found).mean(axis=1)
    spread = level.std(ddof=1) / np.sqrt(len(found)) if len(found) > 1 else float("nan")
    print(f"| {name} | {cells(mean)} | {spread:.4f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("packs", type=Path, nargs="+")
    parser.add_argument("--folds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--steps", type=int)
    parser.add_argument("--only", nargs="+", choices=sorted(VARIANTS), default=list(VARIANTS))
    parser.add_argument("--looks", type=Path, default=Path("runs/looks.npz"))
    args = parser.parse_args()

    print(heading())
    config = shipped(args.steps)
    real = read_real_images(args.folder)
    simulated = read_packs(args.packs, Preprocessing())
    looks = looks_once(args.looks, config, {"real": real, "simulated": simulated})
    folds = list(grouped_folds(real.labels, real.groups, 3, config.data.split_seed))
    print(f"{args.folds} of 3 folds, seeds {args.seeds}, {config.optimiser.steps} steps")
    sets = [classes_with_groups(real.labels, real.groups, least) for least in MIN_GROUPS]
    print(f"| variant | {probe_columns(sets)} | error |")
    print("| --- |" + " --- |" * 5)
    rows: list[list[float]] = []
    for fold in args.folds:
        sides = [(real.subset(part), looks["real"][part]) for part in folds[fold]]
        rows.append(scattering_pca(sides[0][1], sides[0][0], sides[1][1], sides[1][0]))
    row("scattering PCA-32", rows)
    for name in args.only:
        rows = []
        for fold in args.folds:
            known, judged = (real.subset(part) for part in folds[fold])
            looked = [looks["real"][part] for part in folds[fold]]
            for seed in args.seeds:
                one = replace(VARIANTS[name](config), seed=seed)
                with tempfile.TemporaryDirectory() as place:
                    train(
                        one,
                        Path(place),
                        real_train=known,
                        validation=None,
                        simulated=simulated,
                        seen={"real": looked[0], "simulated": looks["simulated"]},
                    )
                    model = load_run(Path(place))[1]
                if not isinstance(model, ScatteringVAE):
                    raise SystemExit("The run made another model.")
                vectors = (lone_vectors(model, known), lone_vectors(model, judged))
                rows.append(scores(*vectors, sides_of(real, known, judged)))
        row(name, rows)


if __name__ == "__main__":
    main()
