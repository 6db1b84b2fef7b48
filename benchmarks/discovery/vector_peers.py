"""The vector compared with supervised learning: every picture alone, and all views of a glitch.

    python -m benchmarks.discovery.vector_peers ../shared/data/gravityspy_images CHECKPOINT...

Over three folds by group, accuracy / balanced accuracy for the classes of at least 8 groups and of
at least 3, learnt from the labels of the other folds:

- *supervised CNN*: the trunk's layers and a linear head, trained on the labels (classes sampled
  uniformly, pictures shifted, scaled and with noise as for the trunk). It has no vector of 32
  numbers: its predictions are in the column "linear". For several views it takes the geometric
  mean.
- *PCA-32* of pixels and of scattering: all four windows concatenated, absent ones replaced by the
  mean of their window. Probes as in `vector_value`, and the same for each CHECKPOINT, whose encoder
  was trained on the pictures without labels (all but one fold if its data were split).

Then, for the last CHECKPOINT and single pictures: the same for the classes of at least 8, 7 and 3
groups, with and without the catch-all class None_of_the_Above among the labels, and the recall of
each class.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from sklearn.decomposition import PCA
from torch import nn
from torch.nn.functional import cross_entropy

from benchmarks.discovery.vector_value import (
    MIN_GROUPS,
    answered,
    cells,
    marks,
    pixels_of,
    probe_columns,
    probed,
    scattered,
)
from benchmarks.machine import heading
from glitch.model import Trunk, ViewsModel
from training.data.pack import Pack
from training.data.real_images import read_real_images
from training.data.sampling import StratifiedSampler, vary
from training.evaluation.encoding import encode_pack, single_views
from training.evaluation.examination import load_judged
from training.evaluation.probe import classes_with_groups, grouped_folds
from training.views.trunk import LEARNING_RATE, NOISE, VARIED, WARMUP, WEIGHT_DECAY

FOLDS, STEPS, BATCH, FEATURES = 3, 1500, 128, 64
N_VIEWS, SIDE = 4, 64
CATCH_ALL = "None_of_the_Above"
Both = tuple[list[float], list[float]]  # scores of single pictures, and of glitches with all views


@dataclass(frozen=True, eq=False)
class Side:
    """Glitches of one side of a fold, with all views and as single pictures."""

    pack: Pack
    lone: Pack
    shown: np.ndarray  # the view of each single picture
    origin: np.ndarray  # position of its glitch in the pack


@dataclass(frozen=True, eq=False)
class Fold:
    """Training and held-out glitches."""

    train: Side
    held_out: Side
    sets: list[list[str]]

    def of_lone(self, known: np.ndarray, queries: np.ndarray) -> list[float]:
        """Return scores of vectors of single pictures."""
        labels, truth = np.array(self.train.lone.labels), np.array(self.held_out.lone.labels)
        return probed(known, labels, queries, truth, self.sets)

    def of_whole(self, known: np.ndarray, queries: np.ndarray) -> list[float]:
        """Return scores of vectors of glitches."""
        labels, truth = np.array(self.train.pack.labels), np.array(self.held_out.pack.labels)
        return probed(known, labels, queries, truth, self.sets)


def side_of(pack: Pack) -> Side:
    return Side(pack, *single_views(pack))


def supervised(fold: Fold) -> Both:
    """Return scores of a network trained on the labels."""
    names = fold.sets[1]
    chosen = np.flatnonzero(np.isin(fold.train.lone.labels, names))
    known, view = fold.train.lone.subset(chosen), fold.train.shown[chosen].argmax(axis=1)
    trunk, head = taught(known, view, names)
    queries = fold.held_out
    with torch.inference_mode():
        windows = torch.from_numpy(queries.shown.argmax(axis=1))
        features = trunk(torch.from_numpy(pixels_of(queries.lone, queries.shown)), windows)
        logs = head(features).log_softmax(dim=1).numpy()
    summed = np.zeros((len(queries.pack), len(names)))
    np.add.at(summed, queries.origin, logs)
    both: list[list[float]] = []
    for scores, truth in ((logs, queries.lone.labels), (summed, queries.pack.labels)):
        row: list[float] = []
        for classes in fold.sets:
            named, judged = np.isin(names, classes), np.isin(truth, classes)
            predicted = np.array(names)[named][scores[judged][:, named].argmax(axis=1)]
            row += [*marks(np.array(truth)[judged], predicted), math.nan, math.nan]
        both.append(row)
    return both[0], both[1]


def taught(known: Pack, view: np.ndarray, names: list[str]) -> tuple[Trunk, nn.Linear]:
    """Train the network, and return it in evaluation mode."""
    targets = torch.tensor([names.index(label) for label in known.labels])
    sampler, rng = StratifiedSampler(known.labels), np.random.default_rng(0)
    torch.manual_seed(0)
    trunk = Trunk(N_VIEWS, SIDE, FEATURES)
    head = nn.Linear(FEATURES, len(names))
    weights = [*trunk.parameters(), *head.parameters()]
    optimiser = torch.optim.AdamW(weights, 2 * LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    for step in range(STEPS):
        share = min(1, (step + 1) / WARMUP) * 0.5 * (1 + math.cos(math.pi * step / STEPS))
        optimiser.param_groups[0]["lr"] = 2 * LEARNING_RATE * share
        drawn = sampler.draw(BATCH, rng)
        varied = vary(np.asarray(known.values)[drawn, view[drawn]][:, None], VARIED, rng)
        pictures = varied[:, 0].reshape(BATCH, SIDE, 2, SIDE, 2).mean(dim=(2, 4))
        level = NOISE * torch.rand(BATCH, 1, 1)
        pictures = (pictures + level * torch.rand_like(pictures)).clamp(0, 1)
        logits = head(trunk(pictures, torch.from_numpy(view[drawn])))
        loss = cross_entropy(logits, targets[torch.from_numpy(drawn)])
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return trunk.eval(), head


def components(fold: Fold, features_of: Callable[[np.ndarray], np.ndarray]) -> Both:
    """Return scores of 32 principal components of features of pictures."""
    sides = fold.train, fold.held_out
    one, other = (features_of(pixels_of(side.lone, side.shown)) for side in sides)
    means = np.stack([one[fold.train.shown[:, view]].mean(axis=0) for view in range(N_VIEWS)])
    inputs = windows_of(fold.train, one, means), windows_of(fold.held_out, other, means)
    return fold.of_lone(*reduced(one, other)), fold.of_whole(*reduced(*inputs))


def reduced(known: np.ndarray, queries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    pca = PCA(32, random_state=0).fit(known)
    return pca.transform(known), pca.transform(queries)


def windows_of(side: Side, features: np.ndarray, means: np.ndarray) -> np.ndarray:
    """Concatenate features of single pictures by glitch: all windows, absent ones the mean."""
    windows = np.tile(means[None], (len(side.pack), 1, 1)).astype(np.float32)
    windows[side.origin, side.shown.argmax(axis=1)] = features
    return np.asarray(windows.reshape(len(side.pack), -1))


def flat(pixels: np.ndarray) -> np.ndarray:
    return pixels.reshape(len(pixels), -1)


def encoded(fold: Fold, model: ViewsModel) -> Both:
    """Return scores of an encoder's vectors."""
    sides = fold.train, fold.held_out
    lone = [encode_pack(model, side.lone, side.shown).mean for side in sides]
    whole = [encode_pack(model, side.pack).mean for side in sides]
    return fold.of_lone(*lone), fold.of_whole(*whole)


def by_class(folds: Sequence[Fold], model: ViewsModel) -> None:
    """Print scores of single pictures with and without the catch-all class, and recalls."""
    lone = [
        [encode_pack(model, side.lone, side.shown).mean for side in (fold.train, fold.held_out)]
        for fold in folds
    ]
    print("\n| groups at least | classes | linear | kNN | without the catch-all: linear | kNN |")
    print("| --- | --- | --- | --- | --- | --- |")
    everything = folds[0].sets[1]
    labels = np.concatenate([np.array(fold.held_out.lone.labels) for fold in folds])
    groups = np.concatenate([np.array(fold.held_out.lone.groups) for fold in folds])
    for least in (8, 7, 3):
        classes = classes_with_groups(labels.tolist(), groups.tolist(), least)
        row = []
        for chosen in (classes, tuple(name for name in classes if name != CATCH_ALL)):
            found = [
                probed(one, np.array(fold.train.lone.labels), other, truth_of(fold), [chosen])
                for fold, (one, other) in zip(folds, lone, strict=True)
            ]
            row.append(cells(np.mean(found, axis=0)))
        print(f"| {least} | {len(classes)} | {row[0]} | {row[1]} |")
    print(f"\n| class ({len(everything)}) | pictures | groups | recall, linear | kNN |")
    print("| --- | --- | --- | --- | --- |")
    predicted = []
    for fold, (one, other) in zip(folds, lone, strict=True):
        known = np.array(fold.train.lone.labels)
        learnt = np.isin(known, everything)
        predicted.append(answered(one[learnt], known[learnt], other))
    for name in everything:
        of_class = labels == name
        recalls = [
            (np.concatenate(answers)[of_class] == name).mean()
            for answers in zip(*predicted, strict=True)
        ]
        n_groups = len(set(groups[of_class]))
        cells_of = " | ".join(f"{recall:.2f}" for recall in recalls)
        print(f"| {name} | {of_class.sum()} | {n_groups} | {cells_of} |")


def truth_of(fold: Fold) -> np.ndarray:
    return np.array(fold.held_out.lone.labels)


def main() -> None:
    folder, places = Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]]
    print(heading())
    real = read_real_images(folder)
    sets = [list(classes_with_groups(real.labels, real.groups, least)) for least in MIN_GROUPS]
    vectors: dict[str, Callable[[Fold], Both]] = {
        "supervised CNN": supervised,
        "pixel PCA-32": partial(components, features_of=flat),
        "scattering PCA-32": partial(components, features_of=scattered),
    }
    for place in places:
        vectors[place.name] = partial(encoded, model=load_judged(place).model)
    found: dict[str, list[Both]] = {name: [] for name in vectors}
    all_folds = [
        Fold(side_of(real.subset(train)), side_of(real.subset(held_out)), sets)
        for train, held_out in grouped_folds(real.labels, real.groups, FOLDS, 0)
    ]
    for fold in all_folds:
        for name, scores_of in vectors.items():
            found[name].append(scores_of(fold))
    for side, title in enumerate(("each picture alone", "all views of a glitch")):
        print(f"\n| {title} | {probe_columns(sets)} |")
        print("| --- | --- | --- | --- | --- |")
        for name, folds in found.items():
            row = cells(np.mean([both[side] for both in folds], axis=0))
            print(f"| {name} | {row} |".replace("nan / nan", ""))
    if places:
        by_class(all_folds, load_judged(places[-1]).model)


if __name__ == "__main__":
    main()
