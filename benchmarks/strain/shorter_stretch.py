"""Effect of a shorter stretch of strain on a glitch's vector, compared with that of gaps.

A sine-Gaussian in coloured noise, embedded from 64 s, from a part of them in a file that ends
there, and from 64 s with a gap on either side of that part. The unit is the distance between
vectors of the same burst in other noise (median of all pairs).

    python -m benchmarks.strain.shorter_stretch
"""

from __future__ import annotations

import tempfile
from itertools import combinations
from pathlib import Path

import numpy as np

from benchmarks.machine import heading
from glitch.checkpoint import load_checkpoint, shipped_checkpoint
from glitch.encoder import Encoder
from glitch.strain import StrainViews
from tests.damaged_strain import SECONDS, START, clean_strain, views_of

RATE_HZ = 4096
NOISES = 6
HEIGHTS = (1.5, 3.0, 12.0)  # of the burst, in standard deviations of the noise
PARTS_S = ((0, 48), (16, 48), (20, 44), (24, 40), (28, 37))
HOLE_S = 1


def main() -> None:
    print(heading())
    encoder = Encoder(load_checkpoint(shipped_checkpoint()))
    print(
        "\n  SNR  kept, s   moved by the part, of other noise   SNR off   moved by the hole itself"
    )
    for height in HEIGHTS:
        strains = [clean_strain(RATE_HZ, seed=seed, height=height) for seed in range(NOISES)]
        full = [_views(strain) for strain in strains]
        vectors = _vectors(encoder, full)
        scale = np.median([np.linalg.norm(a - b) for a, b in combinations(vectors, 2)])
        snr = np.median([one.snr for one in full])
        for start, end in PARTS_S:
            part = slice(start * RATE_HZ, end * RATE_HZ)
            shortened = [_views(strain[part], START + start) for strain in strains]
            holed = [_views(_with_holes(strain, start, end)) for strain in strains]
            of_cut = _vectors(encoder, shortened)
            shift = np.median(np.linalg.norm(of_cut - vectors, axis=1)) / scale
            by_hole = np.linalg.norm(_vectors(encoder, holed) - of_cut, axis=1).max() / scale
            error = np.median([b.snr / a.snr - 1 for a, b in zip(full, shortened, strict=True)])
            print(
                f"{snr:5.0f}  {end - start:7d}   {shift:33.0%}   {error:7.1%}   {by_hole:24.1%}",
                flush=True,
            )


def _views(strain: np.ndarray, start: int = START) -> StrainViews:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.npz"
        np.savez(path, strain=strain, sample_rate_hz=RATE_HZ, gps_start=str(start), ifo="H1")
        result = views_of(path)
    if isinstance(result, str):
        raise SystemExit(f"The stretch was refused: {result}")
    return result


def _vectors(encoder: Encoder, views: list[StrainViews]) -> np.ndarray:
    return np.stack([one.mean for one in encoder.encode([each.views for each in views])])


def _with_holes(strain: np.ndarray, start: int, end: int) -> np.ndarray:
    holed = strain.copy()
    holed[max(0, start - HOLE_S) * RATE_HZ : start * RATE_HZ] = np.nan
    holed[end * RATE_HZ : min(SECONDS, end + HOLE_S) * RATE_HZ] = np.nan
    return holed


if __name__ == "__main__":
    main()
