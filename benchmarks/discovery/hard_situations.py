"""Reliability of flags in hard situations: realised rates and recall of every test.

    python -m benchmarks.discovery.hard_situations ../shared/data/gravityspy_images [--cache FILE]
        [--checkpoint FOLDER] [--draws 4] [--hidden NAME ...] [--situation NAME ...]

Real pictures are encoded. A quarter of the groups of each class with 12 groups is unlabelled. First
none of them is new, and every flag is wrong; then each such class is hidden in turn.
`situations.py` defines how each situation changes this catalogue. A line gives the number of
glitches tested, the number that could not be tested, P(p <= 0.05) of known classes, the fraction of
draws in which a clustering would warn that the labels are not a fair sample ("slant") and that they
do not cover the tested glitches ("aside"), the number flagged at 10 % of classes with fewer than 12
labels (which are neither known nor hidden), and at nominal 5, 10 and 20 %: the recall of the hidden
class, the realised rate (mean fraction of known classes among the flagged), and the number of
flagged known glitches, mean and maximum over draws.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from benchmarks.discovery.label_choices import (
    faintest_unlabelled,
    hidden_among_labels,
    labels_by_detector,
    labels_by_run,
    wrong_labels,
)
from benchmarks.discovery.mixtures import (
    one_large_class,
    several_bursts,
    tests_in_next_run,
    two_bursts_at_once,
)
from benchmarks.discovery.pictured_bed import PicturedBed
from benchmarks.discovery.situations import (
    RATES,
    REGULAR_S,
    Make,
    alone,
    as_a_crowd,
    both,
    burst,
    drawn_otherwise,
    few_labels,
    fewer_labels,
    frequent,
    has_few_labels,
    in_common,
    judge,
    labels_copied_without_times,
    labels_in_episodes,
    labels_of_window,
    observed_otherwise,
    of_four_windows,
    one_event,
    plain,
    tests_of_one_kind,
    two_detectors,
    typical_labels,
    unchanged,
    uneven,
    without_times,
)
from benchmarks.machine import heading
from glitch.checkpoint import load_checkpoint, shipped_checkpoint
from glitch.encoder import Encoder
from glitch.novelty.fair_sample import SIGMAS
from glitch.taxonomy import CATCH_ALLS
from training.data.real_images import read_real_images
from training.evaluation.probe import classes_with_groups

MIN_GROUPS = 12
OF_4_KHZ, OF_2_KHZ = 1291.0, 646.0  # Hz: the highest row that strain of this sample rate fills
SITUATIONS: dict[str, Make] = {
    "as it is": unchanged,
    **{
        f"a burst of {size} {name}": burst(name, size)
        for name in ("Blip", "Fast_Scattering", "Scattered_Light")
        for size in (20, 40)
    },
    "40 pictures of one event": one_event("Blip", 40),
    **{f"40 Blip every {step_s:g} s": burst("Blip", 40, step_s) for step_s in (30.0, REGULAR_S)},
    f"40 Scattered_Light every {REGULAR_S:g} s": burst("Scattered_Light", 40, REGULAR_S),
    **{f"20 bursts of {size}": several_bursts(20, size) for size in (2, 5)},
    "20 bursts of 5, to the minute": several_bursts(20, 5, 20.0, 60.0),
    "two bursts of 20 at once": two_bursts_at_once(20),
    "tests in the next run": tests_in_next_run,
    **{
        f"2000 {name}, 12 of each other": one_large_class(name, 2000, 12)
        for name in ("Blip", "Koi_Fish")
    },
    "labels in episodes of ten": labels_in_episodes(0.25, 10),
    f"labels ten times, {REGULAR_S:g} s": labels_in_episodes(0.25, 10, REGULAR_S),
    **{
        f"{size} copies of labels, no times": labels_copied_without_times(0.5, size)
        for size in (2, 4, 6)
    },
    "labels without times": without_times,
    "tests of one window": observed_otherwise(is_open=True, windows="one"),
    "labels of one window": observed_otherwise(is_open=False, windows="one"),
    "tests of 4 kHz strain": observed_otherwise(is_open=True, highest_hz=OF_4_KHZ),
    "tests of 2 kHz strain": observed_otherwise(is_open=True, highest_hz=OF_2_KHZ),
    "labels of the 1 s window": labels_of_window(1.0),
    "labels of the 4 s window": labels_of_window(4.0),
    "13 labels a class": few_labels(13),
    "uneven frequencies": uneven(1.2),
    "one class 20 times as frequent": frequent("Fast_Scattering", 20),
    "two detectors": two_detectors,
    "only typical labels": typical_labels(0.75),
    "90 % most typical labels": typical_labels(0.9),
    "50 % most typical labels": typical_labels(0.5),
    **{
        f"{name} unlabelled{how}": both(fewer_labels(share), then)
        for name, share in (
            ("half", 1 / 3),
            ("3 of 4", 2 / 3),
        )  # in addition to the quarter that is always unlabelled
        for how, then in (
            ("", unchanged),
            (", 75 % typical", typical_labels(0.75)),
            (", 50 % typical", typical_labels(0.5)),
        )
    },
    "four windows on both sides": of_four_windows,
    **{f"{share:.0%} of the labels wrong": wrong_labels(share) for share in (0.05, 0.1, 0.2)},
    **{
        f"{share:.0%} of the hidden mislabelled": hidden_among_labels(share) for share in (0.1, 0.2)
    },
    "half of the classes in one detector": labels_by_detector,
    "half of the classes in one run": labels_by_run,
    **{f"{n} of one kind tested": tests_of_one_kind(n) for n in (1, 5, 20)},
    "the faintest quarter unlabelled": faintest_unlabelled(0.25),
    **{f"colours to the power of {power:g}": drawn_otherwise(power=power) for power in (0.7, 1.4)},
    **{f"drawn black above {hz:g} Hz": drawn_otherwise(black_hz=hz) for hz in (OF_2_KHZ, OF_4_KHZ)},
}
WAYS = {"alone": alone, "as a crowd": as_a_crowd, "in common": in_common}


def report(
    bed: PicturedBed, known: list[str], hidden: list[str | None], name: str, draws: int
) -> None:
    rows: dict[str, list[list[float]]] = {way: [] for way in WAYS}
    for one in hidden:
        for seed in range(draws):
            rng = np.random.default_rng([seed, 7])
            others = [label for label in known if label not in (one, *CATCH_ALLS)]
            situation = SITUATIONS[name](plain(bed, rng, others, one), bed, rng)
            is_new = situation.is_hidden & situation.is_open
            for way, test in WAYS.items():
                result = judge(situation, bed, test)
                judged = np.isfinite(result.p_values)
                is_few = has_few_labels(situation, bed)
                usual = result.p_values[judged & ~is_new & ~is_few]
                row = [judged.sum(), (situation.is_open & ~judged).sum()]
                row.append(float((usual <= 0.05).mean()) if len(usual) else np.nan)
                row += [
                    result.selection_excess.sigmas >= SIGMAS,
                    result.neighbour_excess.is_significant,
                ]
                row += [(result.flagged(0.1) & is_few).sum()]
                for rate in RATES:
                    flagged = result.flagged(rate)
                    wrong = (flagged & ~is_new & ~is_few).sum()
                    row += [
                        (flagged & is_new).sum() / max(1, is_new.sum()),
                        wrong / max(1, (flagged & ~is_few).sum()),
                        wrong,
                    ]
                rows[way].append(row)
    for way, result in rows.items():
        values = np.array(result, dtype=float)
        sizes = values[:, 2][np.isfinite(values[:, 2])]
        print(
            f"{name:<36}{way:<12}{values[:, 0].mean():>7.0f}{values[:, 1].mean():>7.0f}"
            f"{sizes.mean() if len(sizes) else np.nan:>8.3f}{values[:, 3].mean():>7.2f}"
            f"{values[:, 4].mean():>7.2f}{values[:, 5].mean():>5.1f}  "
            + "  ".join(
                f"{values[:, at].mean():>6.2f} ({values[:, at + 1].mean():.3f})"
                f"{values[:, at + 2].mean():>6.1f}{values[:, at + 2].max():>5.0f}"
                for at in (6, 9, 12)
            ),
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--checkpoint", type=Path, default=None)
    parser.add_argument("--draws", type=int, default=4)
    parser.add_argument("--hidden", nargs="*", default=None)
    parser.add_argument("--situation", nargs="*", default=list(SITUATIONS))
    args = parser.parse_args()
    print(heading())
    checkpoint = load_checkpoint(args.checkpoint or shipped_checkpoint())
    pack = read_real_images(args.folder, checkpoint.manifest.preprocessing)
    bed = PicturedBed(pack, Encoder(checkpoint), args.cache)
    classes = list(classes_with_groups(pack.labels, pack.groups, MIN_GROUPS))
    print(f"checkpoint {checkpoint.manifest.name} {checkpoint.digest[:12]}, {len(pack)} glitches")
    each = classes if args.hidden is None else args.hidden
    for what, hidden in (("nothing", [None]), ("each class in turn", each)):
        if not hidden:
            continue
        print(f"\nhidden: {what}; {args.draws} draws")
        print(
            f"{'situation':<36}{'tested':<12}{'judged':>7}{'not':>7}{'p<.05':>8}{'slant':>7}"
            f"{'aside':>7}{'few':>5}  "
            + "  ".join(f"{f'at {rate:g}: recall (rate) known':<26}" for rate in RATES)
        )
        for name in args.situation:
            report(bed, classes, list(hidden), name, args.draws)
    bed.keep()


if __name__ == "__main__":
    main()
