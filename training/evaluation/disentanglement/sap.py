"""SAP: separated attribute predictability (Kumar et al. 2018)."""

from __future__ import annotations

import numpy as np
from sklearn.svm import LinearSVC

from training.evaluation.disentanglement.grid import EncodedGrid


def separated_attribute_predictability(
    grid: EncodedGrid, rng: np.random.Generator, *, n_train: int = 10_000, n_test: int = 5_000
) -> float:
    """Return the mean over factors of the accuracy gap between the two best predicting latents.

    One balanced linear SVM (C = 0.01) for each latent and factor, as the reference trains them for
    discrete factors. In [0, 1]. Factors of one value cannot be predicted and are left out; with a
    single latent, the second best is chance.
    """
    train_factors, train_codes = grid.draw(n_train, rng)
    test_factors, test_codes = grid.draw(n_test, rng)
    varying = grid.varying_factors
    accuracy = np.empty((grid.n_latent, len(varying)))
    for latent, place in np.ndindex(accuracy.shape):
        factor = varying[place]
        classifier = LinearSVC(C=0.01, class_weight="balanced", random_state=0)
        classifier.fit(train_codes[:, [latent]], train_factors[:, factor])
        accuracy[latent, place] = classifier.score(test_codes[:, [latent]], test_factors[:, factor])
    best = np.sort(accuracy, axis=0)[::-1]
    chance = 1 / np.array(grid.factor_sizes, dtype=np.float64)[varying]
    return float(np.mean(best[0] - (best[1] if grid.n_latent > 1 else chance)))
