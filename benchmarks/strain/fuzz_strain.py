"""Effect of gaps, rates, types and formats on one glitch: SNR and vector against the clean file's.

Each case is a file with gaps at random places (zeros, NaN, infinities, a constant value, missing
frames, flagged seconds), read and embedded like an upload. Either SNR and vector are close to those
of the clean strain, or the error message names the interval that would work; anything else is a
fault.

    python -m benchmarks.strain.fuzz_strain --cases 200 --seed 1
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import time
from collections import Counter
from itertools import combinations
from pathlib import Path

import numpy as np

from benchmarks.machine import heading
from glitch.checkpoint import load_checkpoint, shipped_checkpoint
from glitch.encoder import Encoder
from glitch.strain import StrainViews
from tests.damaged_strain import clean_strain, draw, room_s, views_of, write

SNR_WITHIN = 0.12
NOISES = 6  # noise realisations, for the distance between vectors of the same burst
_INTERVAL = re.compile(r"(span|from) 1187008\d+(\.\d+)? to 1187008\d+")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    print(heading())
    encoder = Encoder(load_checkpoint(shipped_checkpoint()))
    rng = np.random.default_rng(arguments.seed)
    clean: dict[int, StrainViews] = {}
    outcomes: Counter[str] = Counter()
    snr_off: list[float] = []
    distances: list[float] = []
    faults: list[str] = []
    started = time.perf_counter()
    for _ in range(arguments.cases):
        case = draw(rng)
        strain = clean_strain(case.rate_hz)
        with tempfile.TemporaryDirectory() as folder:
            result = views_of(write(case, strain, Path(folder)))
            if case.rate_hz not in clean:
                path = Path(folder) / "clean.npz"
                np.savez(path, strain=strain, sample_rate_hz=case.rate_hz, gps_start="1187008860")
                clean[case.rate_hz] = _clean_views(path)
        if isinstance(result, str):
            is_named = _INTERVAL.search(result) is not None
            outcomes["refused, naming the interval" if is_named else "refused without one"] += 1
            if not is_named or room_s(case) >= 1.6:
                faults.append(f"{case.named}: {result}")
            continue
        reference = clean[case.rate_hz]
        snr_off.append(abs(result.snr / reference.snr - 1))
        is_near = snr_off[-1] <= SNR_WITHIN
        outcomes["taken, SNR within 12 %" if is_near else "taken, SNR further off"] += 1
        if not is_near or abs(result.peak_gps_time - reference.peak_gps_time) >= 0.01:
            faults.append(f"{case.named}: SNR {result.snr:.2f} for {reference.snr:.2f}")
        if result.views.durations_s == reference.views.durations_s:
            one, other = encoder.encode([result.views, reference.views])
            distances.append(float(np.linalg.norm(one.mean - other.mean)))
    scale = _scale(encoder, clean)
    print(f"took      {time.perf_counter() - started:.0f} s for {arguments.cases} files\n")
    for name, count in outcomes.most_common():
        print(f"{count:5d}  {name}")
    errors, shift = np.array(snr_off), np.array(distances) / scale
    print(
        f"\nSNR off by: median {np.median(errors):.2%}, 95 % {np.quantile(errors, 0.95):.2%}, "
        f"greatest {errors.max():.2%}"
    )
    print(
        "vector moved, of the distance to the same burst in other noise: "
        f"median {np.median(shift):.1%}, 95 % {np.quantile(shift, 0.95):.1%}, "
        f"greatest {shift.max():.1%} ({shift.size} with the same windows)"
    )
    print(f"faults    {len(faults)}")
    for fault in faults[:20]:
        print(f"  {fault}")
    return 1 if faults else 0


def _clean_views(path: Path) -> StrainViews:
    result = views_of(path)
    if isinstance(result, str):
        sys.exit(f"The clean file was refused: {result}")
    return result


def _scale(encoder: Encoder, clean: dict[int, StrainViews]) -> float:
    """Return the distance of the same burst in other noise, the scale for the effect of a gap."""
    rate = min(clean)
    results = [clean[rate]]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "other.npz"
        for seed in range(1, NOISES):
            strain = clean_strain(rate, seed=seed)
            np.savez(path, strain=strain, sample_rate_hz=rate, gps_start="1187008860")
            results.append(_clean_views(path))
    vectors = [one.mean for one in encoder.encode([each.views for each in results])]
    return float(np.median([np.linalg.norm(a - b) for a, b in combinations(vectors, 2)]))


if __name__ == "__main__":
    sys.exit(main())
