"""Time and memory of clustering n glitches, stability included; agreement of the two methods.

    python -m benchmarks.catalogue.cluster_scale [dimensions] [n ...]
    python -m benchmarks.catalogue.cluster_scale agreement [dimensions] [n ...]

Half of the glitches are scattered about 50 directions, from tight to loose; the others are noise.
The second command measures the agreement between clusters from the graph (many glitches) and from
all pairs (few glitches).
"""

from __future__ import annotations

import resource
import sys
import time

import numpy as np
from sklearn.metrics import adjusted_rand_score

from benchmarks.machine import heading
from glitch import clustering

CROWDS = 50
MIN_SIZE = 20


def catalogue(n: int, dimensions: int) -> np.ndarray:
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(n, dimensions)).astype(np.float32)
    centres = rng.normal(size=(CROWDS, dimensions))
    crowd = rng.integers(CROWDS, size=n // 2)
    spread = np.linspace(0.1, 0.4, CROWDS)[crowd, None]
    vectors[: n // 2] = centres[crowd] + spread * rng.normal(size=(n // 2, dimensions))
    return vectors


def labelling(vectors: np.ndarray) -> tuple[np.ndarray, list[float]]:
    result = clustering.find_clusters(vectors, MIN_SIZE, np.random.default_rng(1))
    labels = np.full(len(vectors), -1)
    for place, cluster in enumerate(result):
        labels[cluster.members] = place
    return labels, [cluster.stability for cluster in result]


def agreement(n: int, dimensions: int) -> None:
    vectors = catalogue(n, dimensions)
    ways = []
    for many in (n, 0):
        clustering.MAX_COMPARED = many
        ways.append(labelling(vectors)[0])
    pairs, graph = ways
    both = (pairs >= 0) & (graph >= 0)
    print(
        f"{n:>8} x {dimensions}: {pairs.max() + 1} and {graph.max() + 1} clusters; adjusted Rand "
        f"index {adjusted_rand_score(pairs, graph):.3f}, of those clustered by both "
        f"{adjusted_rand_score(pairs[both], graph[both]):.3f}; noise {(pairs < 0).mean():.3f} and "
        f"{(graph < 0).mean():.3f}",
        flush=True,
    )


def scale(n: int, dimensions: int) -> None:
    vectors = catalogue(n, dimensions)
    before_wall, before_cpu = time.perf_counter(), time.process_time()
    labels, stabilities = labelling(vectors)
    wall, cpu = time.perf_counter() - before_wall, time.process_time() - before_cpu
    largest_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{n:>8} x {dimensions}: {wall:6.0f} s wall, {cpu:6.0f} s processor, {largest_mib:5.0f} "
        f"MiB at most; {labels.max() + 1} clusters, noise {(labels < 0).mean():.3f}, median "
        f"stability {np.median(stabilities):.2f}",
        flush=True,
    )


def main() -> None:
    words = sys.argv[1:]
    is_agreement = bool(words) and words[0] == "agreement"
    dimensions, *counts = [int(word) for word in words[is_agreement:]] or [16, 3000, 20_000]
    print(heading())
    for n in counts:
        (agreement if is_agreement else scale)(n, dimensions)


if __name__ == "__main__":
    main()
