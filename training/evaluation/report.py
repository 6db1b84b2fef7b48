"""The full evaluation of a checkpoint compared with pixel PCA: same run, same split, same probe.

Two protocols. *Held-out*: the probe is trained on the labels of the training groups and predicts
those of the validation groups, which the encoder was not trained on. *Cross-validated*: three
grouped folds over all real glitches, repeated with several split seeds, so that all members of rare
classes count; the encoder was then trained, without labels, on two thirds of the glitches. PCA is
fitted on the training side of every split.

The set of windows with a picture distinguishes classes by itself (most Koi_Fish were published only
at 4 s, most Whistles at 0.5 s), and PCA of zero-filled views uses that. There are therefore fairer
rows too: absent views filled with the mean, and lone views, where only the picture counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32
from sklearn.decomposition import PCA

from glitch.model import ViewsModel
from glitch.views import Preprocessing
from training.data.pack import GREY_LEVELS, Pack
from training.evaluation.encoding import encode_pack, lone_view_agreement, single_views
from training.evaluation.probe import PREDICTORS, Score, classes_with_groups, grouped_folds, score

Vectors = Float32[np.ndarray, "glitch feature"]
Presence = Bool[np.ndarray, "glitch view"]
# Converts training and test pixels to training and test features.
Reduction = Callable[[Vectors, Vectors], tuple[Vectors, Vectors]]

# The 9 and 23 classes of our published comparisons, by their least number of groups.
CLASSES_BY_GROUPS = {"9 classes": 9, "23 classes": 3}


@dataclass(frozen=True)
class Row:
    """One row of the table; means over split seeds, with their standard deviation."""

    protocol: str  # "held-out" or "cross-validated"
    sample: str  # "all views", "any lone view", or one window such as "4 s alone"
    classes: str  # key of CLASSES_BY_GROUPS
    probe: str  # key of PREDICTORS
    representation: str
    accuracy: float
    accuracy_spread: float
    balanced_accuracy: float
    balanced_accuracy_spread: float
    n_glitches: int
    n_classes: int


def pooled_pixels(model: ViewsModel, pack: Pack, *, is_amplitude: bool, is_filled: bool) -> Vectors:
    """Return the model's input as flat vectors: pooled views, absent ones zero or filled with the
    mean.

    The result is rotated onto as many axes as there are glitches, which changes no distance and no
    principal component but reduces PCA of every fold to milliseconds.
    """
    size = model.architecture.pooling
    values = np.asarray(pack.values, dtype=np.float32) / GREY_LEVELS
    if is_amplitude:
        values = np.sqrt(values)
    n, v, f, t = values.shape
    pooled = values.reshape(n, v, f // size, size, t // size, size).mean(axis=(3, 5))
    if is_filled:
        present: Presence = np.asarray(np.asarray(pack.observed).any(axis=2))
        for view in np.nonzero(present.any(axis=0))[0]:
            pooled[~present[:, view], view] = pooled[present[:, view], view].mean(axis=0)
    flat = pooled.reshape(n, -1).astype(np.float64)
    squares, axes = np.linalg.eigh(flat @ flat.T)
    return np.asarray(axes * np.sqrt(squares.clip(0)), dtype=np.float32)


def single_panels(pack: Pack) -> Pack:
    """Return every view present as a glitch with one window, without the window's length."""
    origin, view = np.nonzero(np.asarray(pack.observed).any(axis=2))
    chosen = pack.subset(origin)
    at = np.arange(len(origin)), view
    return Pack(
        chosen.values[at][:, None], chosen.observed[at][:, None], chosen.labels, chosen.groups
    )


def reduce_by_pca(n_components: int) -> Reduction:
    """Return PCA fitted on the training side only."""

    def reduce(train: Vectors, test: Vectors) -> tuple[Vectors, Vectors]:
        # n centred rows have rank n - 1 at most: one more component would be rounding errors, which
        # standardisation would scale up to the size of the others.
        max_axes = min(max(len(train) - 1, 1), train.shape[1])
        fitted = PCA(min(n_components, max_axes), svd_solver="randomized", random_state=0)
        return fitted.fit_transform(train), fitted.transform(test)

    return reduce


def keep(train: Vectors, test: Vectors) -> tuple[Vectors, Vectors]:
    """Return both unchanged: latent vectors are already features."""
    return train, test


def examine(
    model: ViewsModel, real: Pack, train_groups: frozenset[str], seeds: Sequence[int] = (0, 1, 2)
) -> tuple[list[Row], dict[str, float]]:
    """Compute all rows for a model that was trained exactly on ``train_groups`` of ``real``.

    Returns:
        The rows, and the lone-view agreement on the validation groups.
    """
    model.eval()
    n_latent = model.architecture.latent
    singles, input_views, _ = single_views(real)
    lone_means, panels = encode_pack(model, singles, input_views).mean, single_panels(real)
    # (name of the sample, input of PCA, whether absent views can be filled, vectors)
    samples = [
        ("all views", real, True, encode_pack(model, real).mean),
        ("any lone view", panels, False, lone_means),
    ]
    for view, duration_s in enumerate(Preprocessing().durations_s):
        chosen = np.nonzero(input_views[:, view])[0]
        if len(chosen) == 0:
            continue
        samples.append(
            (f"{duration_s:g} s alone", panels.subset(chosen), False, lone_means[chosen])
        )
    rows: list[Row] = []
    for sample, pack, has_absent, means in samples:
        representations: dict[str, tuple[Vectors, Reduction]] = {"VAE": (means, keep)}
        for word, is_amplitude in (("energy", False), ("amplitude", True)):
            for filled in (False, True) if has_absent else (False,):
                pixels = pooled_pixels(model, pack, is_amplitude=is_amplitude, is_filled=filled)
                name = f"PCA-{n_latent} of {word}" + (", mean-filled" if filled else "")
                representations[name] = pixels, reduce_by_pca(n_latent)
        for name, (features, reduction) in representations.items():
            rows += _held_out(sample, name, pack, features, reduction, train_groups=train_groups)
            rows += _cross_validated(sample, name, pack, features, reduction, seeds=seeds)
    validation = [i for i, group in enumerate(real.groups) if group not in train_groups]
    return rows, lone_view_agreement(model, real.subset(validation))


def _held_out(
    sample: str,
    name: str,
    pack: Pack,
    features: Vectors,
    reduction: Reduction,
    *,
    train_groups: frozenset[str],
) -> list[Row]:
    is_train = np.asarray([group in train_groups for group in pack.groups])
    labels = np.asarray(pack.labels)
    rows: list[Row] = []
    for classes_name, at_least in CLASSES_BY_GROUPS.items():
        classes = classes_with_groups(pack.labels, pack.groups, at_least)
        chosen = np.isin(labels, classes)
        train, test = chosen & is_train, chosen & ~is_train
        if len(set(labels[train])) < 2 or not test.any():
            continue
        train_x, test_x = reduction(features[train], features[test])
        for probe, predict in PREDICTORS.items():
            predicted = predict(train_x, labels[train].tolist(), test_x).tolist()
            result = score(labels[test].tolist(), predicted)
            rows.append(
                _row(
                    protocol="held-out",
                    sample=sample,
                    classes=classes_name,
                    probe=probe,
                    name=name,
                    scores=[result],
                )
            )
    return rows


def _cross_validated(
    sample: str,
    name: str,
    pack: Pack,
    features: Vectors,
    reduction: Reduction,
    *,
    seeds: Sequence[int],
) -> list[Row]:
    labels, groups = np.asarray(pack.labels), np.asarray(pack.groups)
    rows: list[Row] = []
    for classes_name, at_least in CLASSES_BY_GROUPS.items():
        classes = classes_with_groups(pack.labels, pack.groups, at_least)
        chosen = np.isin(labels, classes)
        truth, chosen_groups, vectors = labels[chosen], groups[chosen], features[chosen]
        if len(classes) < 2:
            continue
        by_probe: dict[str, list[Score]] = {probe: [] for probe in PREDICTORS}
        for seed in seeds:
            predictions = {probe: np.empty(len(truth), dtype=truth.dtype) for probe in PREDICTORS}
            for train, test in grouped_folds(truth.tolist(), chosen_groups.tolist(), 3, seed):
                train_x, test_x = reduction(vectors[train], vectors[test])
                for probe, predict in PREDICTORS.items():
                    predictions[probe][test] = predict(train_x, truth[train].tolist(), test_x)
            for probe, predicted in predictions.items():
                by_probe[probe].append(score(truth.tolist(), predicted.tolist()))
        for probe, scores in by_probe.items():
            rows.append(
                _row(
                    protocol="cross-validated",
                    sample=sample,
                    classes=classes_name,
                    probe=probe,
                    name=name,
                    scores=scores,
                )
            )
    return rows


def _row(
    *, protocol: str, sample: str, classes: str, probe: str, name: str, scores: list[Score]
) -> Row:
    plain = [one.accuracy for one in scores]
    balanced = [one.balanced_accuracy for one in scores]
    return Row(
        protocol,
        sample,
        classes,
        probe,
        name,
        float(np.mean(plain)),
        float(np.std(plain)),
        float(np.mean(balanced)),
        float(np.std(balanced)),
        scores[0].n_glitches,
        scores[0].n_classes,
    )


def as_markdown(rows: Sequence[Row]) -> str:
    """Format the rows as a Markdown table."""
    lines = [
        "| protocol | views | classes | probe | representation | accuracy | balanced | glitches |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        is_repeated = row.protocol == "cross-validated"
        plain = f"{row.accuracy:.3f}" + (f" ± {row.accuracy_spread:.3f}" * is_repeated)
        balanced = f"{row.balanced_accuracy:.3f}"
        balanced += f" ± {row.balanced_accuracy_spread:.3f}" * is_repeated
        lines.append(
            f"| {row.protocol} | {row.sample} | {row.classes} ({row.n_classes}) | {row.probe} "
            f"| {row.representation} | {plain} | {balanced} | {row.n_glitches} |"
        )
    return "\n".join(lines) + "\n"
