"""Labels needed for a class to be known: flags of a class with few labels.

    python -m benchmarks.discovery.labels_needed ../shared/data/gravityspy_images [--cache FILE]
        [--draws 3]

Real pictures are encoded with the shipped encoder. A quarter of the groups of each class with 12
groups is unlabelled, and one class at a time keeps only a few labels, while the others keep all. A
line gives the number of its unlabelled glitches in all draws, their P(p <= 0.05), and the fraction
flagged at 10 %, over all classes and for each.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from benchmarks.discovery.hard_situations import MIN_GROUPS
from benchmarks.discovery.pictured_bed import PicturedBed
from benchmarks.discovery.situations import alone, as_a_crowd, judge, labels_of_class, plain
from benchmarks.machine import heading
from glitch.checkpoint import load_checkpoint, shipped_checkpoint
from glitch.encoder import Encoder
from glitch.taxonomy import CATCH_ALLS
from training.data.real_images import read_real_images
from training.evaluation.probe import classes_with_groups

LABELS = (1, 2, 3, 5, 8, 10, 12, 14, 16, 20, 30)


def report(bed: PicturedBed, known: list[str], n: int, draws: int) -> None:
    for name, way in (("as a crowd", as_a_crowd), ("alone", alone)):
        tested, low, flagged = (dict.fromkeys(known, 0) for _ in range(3))
        for one in known:
            for seed in range(draws):
                rng = np.random.default_rng([seed, 7])
                case = labels_of_class(one, n)(plain(bed, rng, known, None), bed, rng)
                is_one = np.array(bed.labels)[case.places] == one
                if (is_one & ~case.is_open).sum() < n:
                    continue
                result = judge(case, bed, way)
                is_tested = is_one & case.is_open & np.isfinite(result.p_values)
                tested[one] += int(is_tested.sum())
                low[one] += int((result.p_values[is_tested] <= 0.05).sum())
                flagged[one] += int(result.flagged(0.1)[is_tested].sum())
        total = max(1, sum(tested.values()))
        each = ", ".join(f"{one} {flagged[one]}/{tested[one]}" for one in known if tested[one])
        print(
            f"{n:>3} labels, {name:<11}{total:>5}{sum(low.values()) / total:>7.3f}"
            f"{sum(flagged.values()) / total:>7.3f}  {each}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--draws", type=int, default=3)
    args = parser.parse_args()
    print(heading())
    checkpoint = load_checkpoint(shipped_checkpoint())
    pack = read_real_images(args.folder, checkpoint.manifest.preprocessing)
    bed = PicturedBed(pack, Encoder(checkpoint), args.cache)
    classes = classes_with_groups(pack.labels, pack.groups, MIN_GROUPS)
    known = [one for one in classes if one not in CATCH_ALLS]
    print(f"checkpoint {checkpoint.manifest.name} {checkpoint.digest[:12]}, {len(pack)} glitches")
    print(f"{'':<22}{'n':>5}{'p<.05':>7}{'at .1':>7}  flagged of each")
    for n in LABELS:
        report(bed, known, n, args.draws)
    bed.keep()


if __name__ == "__main__":
    main()
