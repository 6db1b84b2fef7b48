"""Strain to four views against four gwpy q_transform calls, on the same strain in the same run.

    python -m benchmarks.strain.strain_to_views [--batch 32] [--rounds 3] [--threads 1]

Prints the time per glitch of both, wall and CPU, and their ratio. The rounds alternate between the
two, so that a busy machine slows both equally; the best round of each counts.
"""

import argparse
import os
import platform
import sys
import time
from decimal import Decimal
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("--batch", type=int, default=32)
parser.add_argument("--rounds", type=int, default=3)
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--device", default="cpu")
arguments = parser.parse_args()
os.environ["OMP_NUM_THREADS"] = str(arguments.threads)

import numpy as np  # noqa: E402
import torch  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from gwpy_oracle import gwpy_spectrograms  # noqa: E402

from glitch.strain import Strain, read_strain, views_from_strain  # noqa: E402
from glitch.views import Preprocessing  # noqa: E402

RATE, DURATION_S, GPS = 4096, 32, Decimal("1126259462.4")
REAL = ROOT.parent / "shared" / "data" / "strain" / "H-H1_LOSC_4_V2-1126259446-32.hdf5"


def strains(batch: int) -> tuple[list[Strain], str]:
    """Return variants of 32 s of real strain if available, or else of coloured noise."""
    rng = np.random.default_rng(0)
    if REAL.is_file():
        base = read_strain(REAL, file_name=REAL.name, gps_time=GPS)
        source = REAL.name
    else:
        frequencies = np.fft.rfftfreq(RATE * DURATION_S, 1 / RATE)
        shape = 1 + (30 / np.maximum(frequencies, 8)) ** 4
        noise = np.fft.irfft(np.fft.rfft(rng.normal(size=RATE * DURATION_S)) * shape)
        base = Strain(1e-22 * noise, float(RATE), GPS - DURATION_S // 2)
        source = "coloured noise"
    times = np.arange(base.values.size) / RATE - float(GPS - base.gps_start)
    segments = []
    for index in range(batch):
        frequency, width_s = rng.uniform(40, 800), rng.uniform(0.002, 0.1)
        burst = np.exp(-((times / width_s) ** 2)) * np.sin(2 * np.pi * frequency * times)
        values = base.values + 1e-21 * (index % 4) * burst
        segments.append(Strain(values, base.sample_rate_hz, base.gps_start, base.ifo))
    return segments, source


def timed(work) -> tuple[float, float]:
    """Return wall and CPU seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def main() -> None:
    torch.set_num_threads(arguments.threads)
    batch, source = strains(arguments.batch)
    gps = [GPS] * len(batch)
    recipe = Preprocessing()
    views_from_strain(batch, gps, device=arguments.device)  # plans, pages, clocks
    batched, single, gwpy = [], [], []
    for number in range(arguments.rounds):
        gwpy.append(timed(lambda n=number: gwpy_spectrograms(batch[n], GPS, recipe)))
        batched.append(timed(lambda: views_from_strain(batch, gps, device=arguments.device)))
        single.append(timed(lambda: views_from_strain(batch[:1], gps[:1], device=arguments.device)))
    print(
        f"machine   {platform.processor() or platform.machine()}, {os.cpu_count()} CPUs, "
        f"load {os.getloadavg()[0]:.1f}, torch {torch.__version__}, {arguments.threads} threads, "
        f"{arguments.device}"
    )
    print(f"strain    {source}: {RATE} Hz, {DURATION_S} s; four windows; batches of {len(batch)}")
    for name, index in (("wall", 0), ("CPU", 1)):
        own_ms = min(each[index] for each in batched) / len(batch) * 1e3
        alone = min(each[index] for each in single) * 1e3
        gwpy_ms = min(each[index] for each in gwpy) * 1e3
        print(
            f"{name:9s} ours {own_ms:7.1f} ms a glitch ({alone:.1f} ms alone)   "
            f"gwpy {gwpy_ms:8.1f} ms   ratio {gwpy_ms / own_ms:6.1f} ({gwpy_ms / alone:.1f} alone)"
        )


if __name__ == "__main__":
    main()
