"""Results for each class and each window separately."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from training.evaluation.probe import PREDICTORS

Vectors = Float[np.ndarray, "glitch latent"]


@dataclass(frozen=True)
class ClassRow:
    """Held-out glitches of one class in one sample, under one probe."""

    sample: str  # "all views", or one window such as "4 s alone"
    probe: str  # key of training.evaluation.probe.PREDICTORS
    label: str
    recall: float  # fraction of the class's glitches predicted correctly
    precision: (
        float  # fraction of predictions of this class that were correct; NaN if there were none
    )
    n_glitches: int
    most_frequent_mistake: str  # the most frequent wrong prediction; empty if none


def by_class(
    sample: str, vectors: Vectors, labels: Sequence[str], is_known: Bool[np.ndarray, " glitch"]
) -> list[ClassRow]:
    """Compute recall and precision of each class on glitches that the probe was not trained on.

    Args:
        sample: name of the sample in the rows.
        vectors: posterior means.
        labels: class of each glitch.
        is_known: glitches whose labels train the probe; it predicts those of the others.
    """
    names = np.asarray(labels)
    truth = names[~is_known]
    rows: list[ClassRow] = []
    if len(set(names[is_known])) < 2 or len(truth) == 0:
        return rows
    for probe, predict in PREDICTORS.items():
        predicted = predict(vectors[is_known], names[is_known].tolist(), vectors[~is_known])
        for label in sorted(set(truth) & set(names[is_known])):
            is_true, is_predicted = truth == label, predicted == label
            errors = predicted[is_true & ~is_predicted]
            confused, counts = np.unique(errors, return_counts=True)
            hits = int((is_true & is_predicted).sum())
            rows.append(
                ClassRow(
                    sample,
                    probe,
                    label,
                    hits / int(is_true.sum()),
                    hits / int(is_predicted.sum()) if is_predicted.any() else float("nan"),
                    int(is_true.sum()),
                    str(confused[counts.argmax()]) if len(confused) else "",
                )
            )
    return rows
