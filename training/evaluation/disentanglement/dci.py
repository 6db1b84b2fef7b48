"""DCI disentanglement (Eastwood and Williams 2018) with two types of boosted trees."""

from __future__ import annotations

from enum import StrEnum

import numpy as np
from jaxtyping import Float64
from lightgbm import LGBMClassifier
from scipy.stats import entropy
from sklearn.ensemble import GradientBoostingClassifier

from training.evaluation.disentanglement.grid import EncodedGrid


class DciTrees(StrEnum):
    """The trees that rank the latents: LightGBM takes seconds, within .03 of scikit-learn."""

    LIGHTGBM = "lightgbm"
    SCIKIT_LEARN = "scikit-learn"


def dci_disentanglement(
    grid: EncodedGrid,
    rng: np.random.Generator,
    *,
    n_train: int = 10_000,
    trees: DciTrees = DciTrees.LIGHTGBM,
) -> float:
    """Return one minus the entropy of each latent's importances over factors, weighted by its
    total.

    In [0, 1]. Importances are by gain; LightGBM's own default counts splits and gives a very
    different number (.16 where gain gives .51).
    """
    factors, codes = grid.draw(n_train, rng)
    importance = np.stack([_importances(codes, factor, trees) for factor in factors.T], axis=1)
    return disentanglement_of(importance)


def disentanglement_of(importance: Float64[np.ndarray, "latent factor"]) -> float:
    """Return the score of an importance matrix: 1 if each latent serves one factor only."""
    total = importance.sum()
    if total == 0:
        return 0.0
    per_latent = 1 - entropy(importance.T + 1e-11, base=importance.shape[1])
    return float(np.sum(per_latent * importance.sum(axis=1) / total))


def _importances(
    codes: np.ndarray, factor: np.ndarray, trees: DciTrees
) -> Float64[np.ndarray, " latent"]:
    """Return the gain of each latent for one factor, with sum one unless all are zero."""
    model = (
        LGBMClassifier(max_depth=3, importance_type="gain", n_jobs=1, verbose=-1, random_state=0)
        if trees is DciTrees.LIGHTGBM
        else GradientBoostingClassifier(random_state=0)
    )
    gain = np.abs(np.asarray(model.fit(codes, factor).feature_importances_, dtype=np.float64))
    return gain / gain.sum() if gain.sum() > 0 else gain
