"""Quality of a representation: grouped linear probe and k nearest neighbours on labels.

Labels are never given to the encoder; they only evaluate it. Near-identical copies of one glitch
share a group, and every split keeps a group on one side.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

Features = Float[np.ndarray, "glitch feature"]
Indices = Int[np.ndarray, " glitch"]

NEIGHBOURS = 5


@dataclass(frozen=True)
class Score:
    """Accuracy over glitches, and its mean over classes; higher is better."""

    accuracy: float
    balanced_accuracy: float
    n_glitches: int
    n_classes: int


def grouped_folds(
    labels: Sequence[str], groups: Sequence[str], n_folds: int, seed: int
) -> Iterator[tuple[Indices, Indices]]:
    """Yield (train, test) indices of each fold: stratified by label, no group on both sides."""
    folds = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        # Classes with fewer members than folds are distributed as evenly as possible.
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        yield from folds.split(np.zeros(len(labels)), np.asarray(labels), np.asarray(groups))


def classes_with_groups(
    labels: Sequence[str], groups: Sequence[str], at_least: int
) -> tuple[str, ...]:
    """Return the labels that occur in at least ``at_least`` groups, in alphabetical order."""
    pairs = set(zip(labels, groups, strict=True))
    counts = {label: sum(1 for known, _ in pairs if known == label) for label in set(labels)}
    return tuple(sorted(label for label, count in counts.items() if count >= at_least))


def predict_linear(
    train: Features, train_labels: Sequence[str], test: Features
) -> np.ndarray[tuple[int], np.dtype[np.str_]]:
    """Predict labels of ``test`` by logistic regression on standardised features (C = 1)."""
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", category=ConvergenceWarning
        )  # its predictions are evaluated in any case
        model.fit(train, list(train_labels))
    return np.asarray(model.predict(test))


def predict_neighbours(
    train: Features, train_labels: Sequence[str], test: Features, k: int = NEIGHBOURS
) -> np.ndarray[tuple[int], np.dtype[np.str_]]:
    """Predict labels of ``test`` by a vote of the k nearest in Euclidean distance."""
    model = KNeighborsClassifier(min(k, len(train)), weights="distance", algorithm="brute")
    return np.asarray(model.fit(train, list(train_labels)).predict(test))


PREDICTORS = {"linear": predict_linear, "neighbours": predict_neighbours}


def score(
    truth: Sequence[str], answers: Sequence[str], classes: Sequence[str] | None = None
) -> Score:
    """Compute accuracy and balanced accuracy over glitches whose true label is in ``classes``."""
    truth_array, answer_array = np.asarray(truth), np.asarray(answers)
    if classes is not None:
        chosen = np.isin(truth_array, list(classes))
        truth_array, answer_array = truth_array[chosen], answer_array[chosen]
    if len(truth_array) == 0:
        return Score(float("nan"), float("nan"), 0, 0)
    with warnings.catch_warnings():
        # A prediction outside these classes is simply wrong.
        warnings.filterwarnings("ignore", message="y_pred contains classes", category=UserWarning)
        balanced = float(balanced_accuracy_score(truth_array, answer_array))
    accuracy = float((truth_array == answer_array).mean())
    return Score(accuracy, balanced, len(truth_array), len(set(truth_array.tolist())))
