"""Time and memory of clustering n flagged glitches, stability included: a tenth of them alike.

python benchmarks/cluster_scale.py [dimensions] [n ...]
"""

from __future__ import annotations

import resource
import sys
import time

import numpy as np
from machine import heading

from glitch.clustering import find_clusters


def main() -> None:
    dimensions, *counts = [int(value) for value in sys.argv[1:]] or [32, 1000, 3000, 6000]
    print(heading())
    for n in counts:
        rng = np.random.default_rng(1)
        vectors = rng.normal(size=(n, dimensions))
        alike = n // 10
        vectors[:alike] = 3 * np.eye(dimensions)[0] + rng.normal(
            scale=0.3, size=(alike, dimensions)
        )
        before_wall, before_cpu = time.perf_counter(), time.process_time()
        found = find_clusters(vectors.astype(np.float32), 10, rng)
        wall, cpu = time.perf_counter() - before_wall, time.process_time() - before_cpu
        largest_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        sizes = [len(cluster.members) for cluster in found[:3]]
        print(
            f"{n:>7} x {dimensions}: {wall:6.1f} s wall, {cpu:6.1f} s processor, "
            f"{largest_mib:5.0f} MiB at most, largest clusters {sizes}",
            flush=True,
        )


if __name__ == "__main__":
    main()
