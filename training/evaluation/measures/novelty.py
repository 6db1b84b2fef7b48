"""Novelty: is a class without labels distinguished from the known ones?

One class at a time is left out of the references. Its glitches, and the held-out glitches of the
known classes, are scored by the service's novelty score; the area under the ROC curve is the
probability that a glitch of the hidden class looks more novel than a known one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from sklearn.metrics import roc_auc_score

from glitch.errors import GlitchError
from glitch.novelty import NEAREST, novelty_score
from training.evaluation.probe import classes_with_groups

Vectors = Float[np.ndarray, "glitch latent"]
MIN_GROUPS = 9  # least number of groups of a class that is hidden
# A mixture of unrelated glitches: never among the references, but hidden like any other class.
MIXED = "None_of_the_Above"


@dataclass(frozen=True)
class Hidden:
    """The result for one hidden class."""

    label: str
    auroc: float  # 0.5 is chance, 1 perfect
    n_novel: int
    n_known: int


def leave_one_class_out(
    vectors: Vectors,
    labels: Sequence[str],
    groups: Sequence[str],
    is_reference: Bool[np.ndarray, " glitch"],
    *,
    min_groups: int = MIN_GROUPS,
) -> list[Hidden]:
    """Compute the AUROC of each class with enough groups when it is hidden.

    Args:
        vectors: posterior means.
        labels: class of each glitch.
        groups: near-identical copies share a group.
        is_reference: glitches that may be references; the others are scored. No group may be on
            both sides.
        min_groups: least number of groups of a class that is hidden.

    Raises:
        GlitchError: if a group is on both sides, or no class has enough groups.
    """
    names, features = np.asarray(labels), vectors.astype(np.float32)
    sides: dict[bool, set[str]] = {True: set(), False: set()}
    for group, side in zip(groups, is_reference, strict=True):
        sides[bool(side)].add(group)
    if sides[True] & sides[False]:
        raise GlitchError("A group is both among the references and among the glitches to score.")
    results: list[Hidden] = []
    for label in classes_with_groups(labels, groups, min_groups):
        references = features[is_reference & (names != label) & (names != MIXED)]
        is_test = ~is_reference & ((names == label) | (names != MIXED))
        is_novel = names[is_test] == label
        if len(references) < NEAREST or not is_novel.any() or is_novel.all():
            continue
        scores = [novelty_score(vector, references) for vector in features[is_test]]
        auroc = float(roc_auc_score(is_novel, scores))
        results.append(Hidden(label, auroc, int(is_novel.sum()), int((~is_novel).sum())))
    if not results:
        raise GlitchError(f"No class has {min_groups} groups on both sides: none can be hidden.")
    return results
