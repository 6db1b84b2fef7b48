"""Quality of the map, and cost of the ways to place new glitches.

    python -m benchmarks.catalogue.projection_quality [PACK] [--most N] [--large N]

PACK is a folder written by `glitch-discovery simulate-pack`; without it, a mixture of Gaussians is
used. A fifth is held out, the rest laid out; the fifth is then placed by UMAP's own transform and
by the weighted mean of its nearest neighbours. Trustworthiness (Venna & Kaski 2001; 1 is best, 0.5
is chance) measures whether neighbours on the map are neighbours in the latent space.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from pathlib import Path

import numpy as np
from sklearn.manifold import trustworthiness
from sklearn.neighbors import KNeighborsClassifier

from benchmarks.machine import heading
from glitch import projection
from glitch.clustering import unit_vectors
from glitch.projection import lay_out, place

SEED = 20_160_601
MAX_GLITCHES = 6000
NEIGHBOURS = 12


def mixture(n: int, latent: int = 32, kinds: int = 40) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    middles = rng.standard_normal((kinds, latent)) * 2
    kind = rng.integers(0, kinds, n)
    return (middles[kind] + rng.standard_normal((n, latent))).astype(np.float32), kind


def from_pack(folder: Path, most: int) -> tuple[np.ndarray, np.ndarray]:
    from glitch.checkpoint import load_checkpoint, shipped_checkpoint
    from glitch.encoder import Encoder
    from glitch.views import Views
    from training.data.pack import GREY_LEVELS, read_pack

    encoder = Encoder(load_checkpoint(shipped_checkpoint()))
    pack = read_pack(folder, encoder.preprocessing)
    chosen = np.sort(np.random.default_rng(0).permutation(len(pack))[:most])
    means = []
    for start in range(0, len(chosen), 64):
        rows = chosen[start : start + 64]
        views = [
            Views(
                pack.values[row].astype(np.float32) / GREY_LEVELS,
                pack.observed[row],
                encoder.preprocessing,
            )
            for row in rows
        ]
        means.extend(encoding.mean for encoding in encoder.encode(views))
    labels = np.array(pack.labels)[chosen]
    return np.array(means, dtype=np.float32), labels


def report(
    name: str, seconds: float, vectors: np.ndarray, places: np.ndarray, score: float
) -> None:
    trust = trustworthiness(unit_vectors(vectors), places, n_neighbors=NEIGHBOURS)
    print(
        f"{name:44} {seconds:8.2f} s   trustworthiness {trust:.4f}   label by nearest {score:.3f}"
    )


def compare(vectors: np.ndarray, labels: np.ndarray) -> None:
    order = np.random.default_rng(2).permutation(len(vectors))
    fitted, new = order[len(order) // 5 :], order[: len(order) // 5]
    started = time.perf_counter()
    lay_out(vectors[fitted[:200]], seed=SEED)
    print(f"{'the first call compiles':44} {time.perf_counter() - started:8.2f} s")
    started = time.perf_counter()
    places = lay_out(vectors[fitted], seed=SEED)
    seconds = time.perf_counter() - started
    by_kin = KNeighborsClassifier(NEIGHBOURS).fit(places, labels[fitted])
    in_latent = KNeighborsClassifier(NEIGHBOURS).fit(unit_vectors(vectors[fitted]), labels[fitted])
    print(f"label by neighbours in the latent space itself, held out: "
          f"{in_latent.score(unit_vectors(vectors[new]), labels[new]):.3f}")  # fmt: skip
    score = by_kin.score(places, labels[fitted])
    report(f"laid out, {len(fitted):,} glitches", seconds, vectors[fitted], places, score)
    for count, min_dist in ((1, 0.05), (3, 9), (5, 9), (10, 9), (5, 0.02), (5, 0.05), (10, 0.05)):
        projection.PLACED_BY, projection.NEAR = count, min_dist
        started = time.perf_counter()
        placed = place(vectors[new], vectors[fitted], places)
        seconds = time.perf_counter() - started
        score = by_kin.score(placed, labels[new])
        which = f"mean of {count}" + (f" within {min_dist}" if min_dist < 1 and count > 1 else "")
        report(f"{len(new):,} newcomers, {which}", seconds, vectors[new], placed, score)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from umap import UMAP

        model = UMAP(n_neighbors=15, min_dist=0.1, random_state=SEED, n_jobs=1)
        model.fit(unit_vectors(vectors[fitted]).astype(np.float32))
        model.transform(unit_vectors(vectors[new[:50]]).astype(np.float32))  # compiles
        started = time.perf_counter()
        projected = model.transform(unit_vectors(vectors[new]).astype(np.float32))
        seconds = time.perf_counter() - started
    score = KNeighborsClassifier(NEIGHBOURS).fit(model.embedding_, labels[fitted])
    report(
        f"{len(new):,} newcomers, umap transform",
        seconds,
        vectors[new],
        projected,
        score.score(projected, labels[new]),
    )


def large(count: int) -> None:
    vectors, _ = mixture(count + 20_000)
    started = time.perf_counter()
    places = lay_out(vectors[:count], seed=SEED)
    print(f"{f'laid out, {count:,} of a mixture':44} {time.perf_counter() - started:8.2f} s")
    projection.PLACED_BY, projection.NEAR = 5, 0.05
    started = time.perf_counter()
    place(vectors[count:], vectors[:count], places)
    seconds = time.perf_counter() - started
    print(f"{'20,000 newcomers among them':44} {seconds:8.2f} s, "
          f"so {50 * seconds / 60:.1f} min for a million")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("pack", nargs="?")
    parser.add_argument("--most", type=int, default=MAX_GLITCHES, help="glitches of the pack")
    parser.add_argument("--large", type=int, default=0)
    args = parser.parse_args()
    print(heading())
    vectors, labels = from_pack(Path(args.pack), args.most) if args.pack else mixture(args.most)
    print(f"{len(vectors):,} glitches, latent {vectors.shape[1]}, {len(set(labels))} classes")
    compare(vectors, labels)
    if args.large:
        large(args.large)


if __name__ == "__main__":
    sys.exit(main())
