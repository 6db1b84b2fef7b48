"""Quality of vectors of single pictures, split by group, for runs, checkpoints and baselines.

    python -m benchmarks.discovery.vector_value ../shared/data/gravityspy_images CHECKPOINT...

Each model is evaluated on the fold of groups held out of its own training. Probes learn from the
labels of the other groups: logistic regression (C = 10) and five nearest neighbours on standardised
vectors, for the classes of at least 8 groups (10 of this FOLDER) and of at least 3 (23); cells are
accuracy / balanced accuracy. The second table is the same with probes that learn from all groups
except those they predict (`protocol_h`). Novelty: AUROC of the eight largest classes without
references (cosine distance to the fifth nearest, which gives the same order as Euclidean distance
if vectors have equal length). "Linear": the fraction of the vector's variance explained by ridge
regression on pixels. Shifts: neighbours' accuracy (classes of 8 groups) after shifting the held-out
pictures by a number of the 128 columns. Painted: squared residuals of held-out pictures divided by
those of the mean picture of their window. The last table has neighbours' accuracy (both sets) by
distance, of vectors with and without standardisation. Then, for the scattering model, the fraction
of real pictures predicted correctly by its head, which was trained only on simulated labels; and,
if `gravityspy_shifted` is next to FOLDER, the accuracy of probes on its tiles (O3b, colours
stretched per tile).
"""

from __future__ import annotations

import csv
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors
from sklearn.preprocessing import StandardScaler

from benchmarks.machine import heading
from glitch.errors import GlitchError
from glitch.images import read_spectrogram
from glitch.model import ScatteringFeatures, ScatteringVAE, ViewsModel
from glitch.views import views_from_images
from training.data.pack import Pack, pack_views
from training.data.real_images import read_real_images
from training.data.split import split_real
from training.evaluation.encoding import encode_pack, lone_view_agreement, single_views
from training.evaluation.examination import load_judged
from training.evaluation.probe import classes_with_groups, grouped_folds

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
SHIFTS = (1, 2, 4, 8)
MIN_GROUPS = (8, 3)  # of the classes of both sets


@dataclass(frozen=True, eq=False)
class Sides:
    """Single pictures that probes learn from, and held-out ones."""

    known: Pack
    queries: Pack
    known_views: np.ndarray
    query_views: np.ndarray
    labels: np.ndarray
    query_labels: np.ndarray
    sets: tuple[list[str], list[str]]


def sides_of(real: Pack, train: Pack, held_out: Pack) -> Sides:
    train_lone, known_views, _ = single_views(train)
    test_lone, query_views, _ = single_views(held_out)
    sets = tuple(list(classes_with_groups(real.labels, real.groups, least)) for least in MIN_GROUPS)
    labels = np.array(train_lone.labels), np.array(test_lone.labels)
    return Sides(train_lone, test_lone, known_views, query_views, *labels, (sets[0], sets[1]))


def scores(known: np.ndarray, queries: np.ndarray, sides: Sides) -> list[float]:
    """Return accuracy and balanced accuracy of both probes, for both sets of classes."""
    return probed(known, sides.labels, queries, sides.query_labels, sides.sets)


def probed(
    known: np.ndarray,
    labels: np.ndarray,
    queries: np.ndarray,
    query_labels: np.ndarray,
    sets: Sequence[Sequence[str]],
) -> list[float]:
    """Return accuracy and balanced accuracy of both probes, for each set of classes."""
    row: list[float] = []
    for classes in sets:
        chosen, judged = np.isin(labels, classes), np.isin(query_labels, classes)
        truth = query_labels[judged]
        for predicted in answered(known[chosen], labels[chosen], queries[judged]):
            row += marks(truth, predicted)
    return row


def answered(known: np.ndarray, labels: np.ndarray, queries: np.ndarray) -> list[np.ndarray]:
    """Return the predictions of the linear probe and of five nearest neighbours."""
    scale = StandardScaler().fit(known)
    learnt, questions = scale.transform(known), scale.transform(queries)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [
            model.fit(learnt, labels).predict(questions)
            for model in (LogisticRegression(C=10, max_iter=500), KNeighborsClassifier(5))
        ]


def marks(truth: np.ndarray, answers: np.ndarray) -> list[float]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [float((answers == truth).mean()), float(balanced_accuracy_score(truth, answers))]


def protocol_h(known: np.ndarray, queries: np.ndarray, sides: Sides) -> list[float]:
    """Score as `scores` does, with probes that learn from all groups except those predicted.

    The encoder was not trained on the held-out third. That third is split into ten by group, and
    the probes that predict a tenth learn from the training groups and the other nine tenths: as
    many labels as a user has who classifies own pictures with all of FOLDER as reference.
    """
    vectors, labels = (
        np.concatenate([known, queries]),
        np.concatenate([sides.labels, sides.query_labels]),
    )
    groups = np.array(sides.queries.groups)
    parts = list(grouped_folds(sides.queries.labels, sides.queries.groups, 10, 0))
    row: list[float] = []
    for classes in sides.sets:
        truth, by_probe = [], ([], [])
        for _, part in parts:
            test = np.isin(groups, groups[part])
            learnt = np.concatenate([np.ones(len(known), bool), ~test]) & np.isin(labels, classes)
            judged = test & np.isin(sides.query_labels, classes)
            if not judged.any():
                continue
            truth.append(sides.query_labels[judged])
            for batches, predicted in zip(
                by_probe, answered(vectors[learnt], labels[learnt], queries[judged]), strict=True
            ):
                batches.append(predicted)
        for batches in by_probe:
            row += marks(np.concatenate(truth), np.concatenate(batches))
    return row


def probe_columns(sets: Sequence[Sequence[str]]) -> str:
    """Return the headings of the cells of `probed`."""
    return " | ".join(f"{probe}, {len(one)}" for one in sets for probe in ("linear", "kNN"))


def cells(found: list[float] | np.ndarray) -> str:
    pairs = zip(found[::2], found[1::2], strict=True)
    return " | ".join(f"{accuracy:.3f} / {balanced:.3f}" for accuracy, balanced in pairs)


def by_distance(known: np.ndarray, queries: np.ndarray, sides: Sides) -> str:
    """Return accuracy of five nearest neighbours by distance and angle, plain and standardised."""
    scale = StandardScaler().fit(known)
    cells = []
    for one, other in ((known, queries), (scale.transform(known), scale.transform(queries))):
        for metric in ("euclidean", "cosine"):
            row = []
            for classes in sides.sets:
                chosen = np.isin(sides.labels, classes)
                judged = np.isin(sides.query_labels, classes)
                model = KNeighborsClassifier(5, metric=metric).fit(
                    one[chosen], sides.labels[chosen]
                )
                right = model.predict(other[judged]) == sides.query_labels[judged]
                row.append(f"{right.mean():.3f}")
            cells.append(" / ".join(row))
    return " | ".join(cells)


def neighbours_after(known: np.ndarray, queries: np.ndarray, sides: Sides) -> float:
    chosen = np.isin(sides.labels, sides.sets[0])
    judged = np.isin(sides.query_labels, sides.sets[0])
    scale = StandardScaler().fit(known[chosen])
    model = KNeighborsClassifier(5).fit(scale.transform(known[chosen]), sides.labels[chosen])
    predicted = model.predict(scale.transform(queries[judged]))
    return float((predicted == sides.query_labels[judged]).mean())


def novelty(known: np.ndarray, queries: np.ndarray, sides: Sides) -> tuple[float, str]:
    areas = {}
    for name in EIGHT:
        references = known[sides.labels != name]
        search = NearestNeighbors(n_neighbors=5, metric="cosine").fit(references)
        fifth = search.kneighbors(queries)[0][:, -1]
        areas[name] = float(roc_auc_score(sides.query_labels == name, fifth))
    worst = min(areas, key=lambda name: areas[name])
    return float(np.mean(list(areas.values()))), f"{worst} {areas[worst]:.3f}"


def pixels_of(pack: Pack, views: np.ndarray) -> np.ndarray:
    """Return the energy of single pictures, pooled by 2."""
    pictures = np.asarray(pack.values)[np.arange(len(pack)), views.argmax(axis=1)]
    pooled = pictures.astype(np.float32).reshape(len(pack), 64, 2, 64, 2).mean(axis=(2, 4)) / 255
    return np.asarray(pooled)


def linear_share(sides: Sides, known: np.ndarray, queries: np.ndarray) -> float:
    window = [views.astype(np.float32) for views in (sides.known_views, sides.query_views)]
    flat = [
        np.concatenate([pixels_of(pack, views).reshape(len(pack), -1), 10 * one], axis=1)
        for pack, views, one in (
            (sides.known, sides.known_views, window[0]),
            (sides.queries, sides.query_views, window[1]),
        )
    ]
    best = -np.inf
    for strength in (1.0, 10.0, 100.0):
        fitted = Ridge(strength).fit(flat[0], known).predict(flat[1])
        residual = (
            np.square(queries - fitted).sum() / np.square(queries - queries.mean(axis=0)).sum()
        )
        best = max(best, 1 - float(residual))
    return best


def shifted(pack: Pack, columns: int) -> Pack:
    places = np.clip(np.arange(pack.values.shape[-1]) - columns, 0, pack.values.shape[-1] - 1)
    return Pack(np.asarray(pack.values)[..., places], pack.observed, pack.labels, pack.groups)


@torch.inference_mode()
def painted_share(model: ViewsModel, sides: Sides, vectors: np.ndarray) -> float:
    """Return squared residuals over those of the window's mean picture, over held-out pictures."""
    residual = about_mean = 0.0
    means = {
        view: pixels_of(sides.known, sides.known_views)[sides.known_views[:, view]].mean(axis=0)
        for view in range(4)
        if sides.known_views[:, view].any()
    }
    pixels = pixels_of(sides.queries, sides.query_views)
    for start in range(0, len(pixels), 64):
        rows = slice(start, start + 64)
        is_target = torch.from_numpy(sides.query_views[rows])
        painted = model.decode(torch.from_numpy(vectors[rows]), is_target).numpy()
        for index in range(len(painted)):
            view = int(sides.query_views[start + index].argmax())
            picture = np.clip(painted[index, view], 0, 1)
            residual += float(np.square(pixels[start + index] - picture).sum())
            about_mean += float(np.square(pixels[start + index] - means[view]).sum())
    return residual / about_mean


@torch.inference_mode()
def named_by_simulation(model: ScatteringVAE, sides: Sides, known: np.ndarray) -> str:
    """Return the fraction of single pictures, all and Whistles, predicted correctly by the head."""
    if model.namer is None:
        return "no head"
    classes = np.array(model.architecture.classes)
    predicted = classes[model.namer(torch.from_numpy(known)).argmax(dim=1).numpy()]
    judged = np.isin(sides.labels, classes)
    right = predicted == sides.labels
    whistle = sides.labels == "Whistle"
    balanced = balanced_accuracy_score(sides.labels[judged], predicted[judged])
    return f"all {right[judged].mean():.3f} / {balanced:.3f}, Whistle {right[whistle].mean():.3f}"


def shifted_tiles(folder: Path) -> Pack:
    """Read tiles with another appearance as single pictures, with the labels of their sources."""
    with (folder / "manifest.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["duration_s"] and row["label"]]
    views, labels = [], []
    for row in rows:
        path = folder / row["path"]
        try:
            image = read_spectrogram(path.read_bytes(), path.name)
        except GlitchError:
            continue  # the tile is too small
        views.append(views_from_images({float(row["duration_s"]): image.values}))
        labels.append(row["label"])
    return pack_views(views, labels, [str(index) for index in range(len(labels))])


def on_tiles(model: ViewsModel, sides: Sides, known: np.ndarray, tiles: Pack) -> str:
    chosen = np.isin(sides.labels, sides.sets[1])
    judged = np.isin(np.array(tiles.labels), sides.sets[1])
    truth = np.array(tiles.labels)[judged]
    scale = StandardScaler().fit(known[chosen])
    vectors = scale.transform(encode_pack(model, tiles).mean[judged])
    row = []
    for probe in (LogisticRegression(C=10, max_iter=500), KNeighborsClassifier(5)):
        predicted = probe.fit(scale.transform(known[chosen]), sides.labels[chosen]).predict(vectors)
        row.append(f"{(predicted == truth).mean():.3f}")
    return f"linear {row[0]}, kNN {row[1]} of {len(truth)} tiles"


def scattered(pixels: np.ndarray) -> np.ndarray:
    """Return scattering features of pooled pictures with all rows observed."""
    front_end = ScatteringFeatures(64, 64)
    rows = torch.ones(1, 64, dtype=torch.bool)
    with torch.inference_mode():
        return np.asarray(front_end(torch.from_numpy(pixels), rows.expand(len(pixels), -1))[0])


def baselines(sides: Sides) -> None:
    train, test = (
        pixels_of(sides.known, sides.known_views),
        pixels_of(sides.queries, sides.query_views),
    )
    for name, one, other in (
        ("pixel PCA-32 of energy", train.reshape(len(train), -1), test.reshape(len(test), -1)),
        (
            "pixel PCA-32 of amplitude",
            np.sqrt(train).reshape(len(train), -1),
            np.sqrt(test).reshape(len(test), -1),
        ),
        ("scattering PCA-32", scattered(train), scattered(test)),
    ):
        reduce = PCA(32, random_state=0).fit(one)
        vectors = reduce.transform(one), reduce.transform(other)
        scale = StandardScaler().fit(vectors[0])
        mean, worst = novelty(*(scale.transform(one) for one in vectors), sides)
        print(f"| {name} | {cells(scores(*vectors, sides))} | {mean:.3f} ({worst}) |", flush=True)


def main() -> None:
    folder, models = Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]]
    print(heading())
    real = read_real_images(folder)
    sets = [classes_with_groups(real.labels, real.groups, least) for least in MIN_GROUPS]
    columns = probe_columns(sets)
    print(f"| vector | {columns} | novelty, mean (worst) |")
    print("| --- | --- | --- | --- | --- | --- |")
    facts, distances, more, probes = [], [], [], []
    shifted_folder = folder.parent / "gravityspy_shifted"
    tiles = shifted_tiles(shifted_folder) if shifted_folder.exists() else None
    seen: set[tuple[str, ...]] = set()
    for place in models:
        judged = load_judged(place)
        train, held_out = split_real(real, judged.config.data)
        sides = sides_of(real, train, held_out)
        if (key := tuple(sorted(set(held_out.groups)))) not in seen:
            seen.add(key)
            baselines(sides)
        train_z = encode_pack(judged.model, sides.known, sides.known_views)
        test_z = encode_pack(judged.model, sides.queries, sides.query_views)
        mean, worst = novelty(train_z.mean, test_z.mean, sides)
        row = cells(scores(train_z.mean, test_z.mean, sides))
        name = place.name
        if judged.config.data.split == "none":
            name += " (has seen these pictures, without labels)"
        print(f"| {name} | {row} | {mean:.3f} ({worst}) |", flush=True)
        probes.append(f"| {name} | {cells(protocol_h(train_z.mean, test_z.mean, sides))} |")
        after_shift = []
        for columns in SHIFTS:
            moved = encode_pack(
                judged.model, shifted(sides.queries, columns), sides.query_views
            ).mean
            after_shift.append(f"{neighbours_after(train_z.mean, moved, sides):.3f}")
        distances.append(f"| {place.name} | {by_distance(train_z.mean, test_z.mean, sides)} |")
        if isinstance(judged.model, ScatteringVAE):
            named = named_by_simulation(judged.model, sides, train_z.mean)
            more.append(f"{place.name}: named by simulated labels alone: {named}")
        if tiles is not None:
            answer = on_tiles(judged.model, sides, train_z.mean, tiles)
            more.append(f"{place.name}: tiles with stretched colours: {answer}")
        agreement = lone_view_agreement(judged.model, held_out)
        facts.append(
            f"| {place.name} | {test_z.rate.mean():.1f} | "
            f"{(test_z.mean.var(axis=0) > 0.01).sum()} of {test_z.mean.shape[1]} | "
            f"{linear_share(sides, train_z.mean, test_z.mean):.3f} | "
            f"{neighbours_after(train_z.mean, test_z.mean, sides):.3f}, {', '.join(after_shift)} | "
            f"{agreement['distance']:.3f}, {agreement['retrieval']:.3f} | "
            f"{painted_share(judged.model, sides, test_z.mean):.3f} |"
        )
    print(f"\n| probes learn from all other groups | {columns} |")
    print("| --- | --- | --- | --- | --- |")
    print("\n".join(probes))
    print(
        "\n| vector | rate (nats) | active | linear in pixels | kNN after shifts 0, 1, 2, 4, 8 "
        "| lone view: distance, retrieval | painted: squares left |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- |")
    print("\n".join(facts))
    print("\n| vector | Euclid | angle | Euclid, standardised | angle, standardised |")
    print("| --- | --- | --- | --- | --- |")
    print("\n".join(distances))
    print("\n" + "\n".join(more))


if __name__ == "__main__":
    main()
