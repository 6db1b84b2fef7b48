"""SAP: separated attribute predictability (Kumar et al. 2018)."""

from __future__ import annotations

import numpy as np
from sklearn.svm import LinearSVC

from training.evaluation.disentanglement.grid import EncodedGrid


def separated_attribute_predictability(
    grid: EncodedGrid, rng: np.random.Generator, *, n_train: int = 10_000, n_test: int = 5_000
) -> float:
    """Mean over factors of the accuracy gap between the two latents that predict it best.

    One balanced linear SVM (C = 0.01) a latent and factor, as the reference trains them for
    discrete factors. In [0, 1].
    """
    train_factors, train_codes = grid.draw(n_train, rng)
    test_factors, test_codes = grid.draw(n_test, rng)
    accuracy = np.empty((grid.n_latent, len(grid.factor_sizes)))
    for latent, factor in np.ndindex(accuracy.shape):
        classifier = LinearSVC(C=0.01, class_weight="balanced", random_state=0)
        classifier.fit(train_codes[:, [latent]], train_factors[:, factor])
        accuracy[latent, factor] = classifier.score(
            test_codes[:, [latent]], test_factors[:, factor]
        )
    best = np.sort(accuracy, axis=0)[::-1]
    return float(np.mean(best[0] - best[1]))
