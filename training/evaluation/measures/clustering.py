"""Clustering: agreement between k-means clusters and classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from glitch.errors import GlitchError

Vectors = Float[np.ndarray, "glitch latent"]


@dataclass(frozen=True)
class Agreement:
    """Agreement of a clustering with the classes; 1 is perfect, chance gives about 0 (ARI)."""

    adjusted_rand_index: float  # mean over seeds
    adjusted_rand_spread: float  # standard deviation over seeds
    normalised_mutual_information: float  # arithmetic normalisation; mean over seeds
    normalised_mutual_spread: float
    n_clusters: int
    n_glitches: int


def cluster_agreement(
    vectors: Vectors,
    labels: Sequence[str],
    *,
    n_clusters: int | None = None,
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
) -> Agreement:
    """Compare k-means clusters (k-means++, ten starts) with the labels.

    Args:
        vectors: posterior means.
        labels: class of each glitch.
        n_clusters: k; by default the number of classes, which a search for new classes would not
            know.
        seeds: of k-means.

    Raises:
        GlitchError: if there are fewer glitches than clusters.
    """
    k = n_clusters or len(set(labels))
    if len(vectors) < k:
        raise GlitchError(f"{len(vectors)} glitches cannot make {k} clusters.")
    assignments = [
        KMeans(k, n_init=10, random_state=seed).fit_predict(vectors.astype(np.float64))
        for seed in seeds
    ]
    rand = [adjusted_rand_score(labels, one) for one in assignments]
    mutual = [normalized_mutual_info_score(labels, one) for one in assignments]
    return Agreement(
        float(np.mean(rand)),
        float(np.std(rand)),
        float(np.mean(mutual)),
        float(np.std(mutual)),
        k,
        len(vectors),
    )
