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
        given = predict(vectors[is_known], names[is_known].tolist(), vectors[~is_known])
        for label in sorted(set(truth) & set(names[is_known])):
            asked, answered = truth == label, given == label
            wrong = given[asked & ~answered]
            found, counts = np.unique(wrong, return_counts=True)
            hits = int((asked & answered).sum())
            rows.append(
                ClassRow(
                    sample,
                    probe,
                    label,
                    hits / int(asked.sum()),
                    hits / int(answered.sum()) if answered.any() else float("nan"),
                    int(asked.sum()),
                    str(found[counts.argmax()]) if len(found) else "",
                )
            )
    return rows
