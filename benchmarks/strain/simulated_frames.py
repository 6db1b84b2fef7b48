"""Weeks of simulated strain in GWOSC's layout with glitches in it, and the table of triggers.

Every glitch is in different noise; the waveforms repeat from a pool, so that 20,000 of them take
minutes to make. Spectra drift from file to file as measured ones do.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from itertools import cycle, islice
from pathlib import Path

import h5py
import numpy as np

from glitch.simulate import SIMULATED_CLASSES, simulate_glitch
from glitch.simulate.noise import noise_spectrum, noise_strain

RATE_HZ = 4096
FILE_S = 4096  # as in GWOSC's files
SPACING_S = 16  # between glitches: windows of 4 s never contain two
POOL_S = 16.0
FIRST_GPS = 1_238_167_552
TRIGGERS = "triggers.csv"
STRAIN = "strain"
_PER_FILE = FILE_S // SPACING_S
_IFOS = ("H1", "L1")


@dataclass(frozen=True, eq=False)
class _Waveform:
    label: str
    ifo: str
    snr: float
    values: np.ndarray  # POOL_S seconds, with the glitch in the middle


def make_frames(folder: Path, glitches: int, *, waveforms: int = 220) -> None:
    """Write strain files and ``triggers.csv``; existing files are kept.

    The order of the pool and the noise depend only on the number of the file, so a shorter
    catalogue is the beginning of a longer one.

    Args:
        folder: of the files; 67 MB for every 256 glitches.
        glitches: number of triggers.
        waveforms: number of distinct waveforms in the pool.
    """
    pool = list(_pool(waveforms))
    (folder / STRAIN).mkdir(parents=True, exist_ok=True)
    rows: list[tuple[str, str, str, str]] = []
    for number in range(-(-glitches // _PER_FILE)):
        ifo = _IFOS[number % len(_IFOS)]
        mine = [one for one in pool if one.ifo == ifo]
        start = FIRST_GPS + number // len(_IFOS) * FILE_S
        path = folder / STRAIN / f"{ifo[0]}-{ifo}_SIM_4KHZ-{start}-{FILE_S}.hdf5"
        drawn = list(islice(cycle(mine), number // 2 * _PER_FILE, (number // 2 + 1) * _PER_FILE))
        if not path.exists():
            _write(path, ifo, start, drawn, np.random.default_rng([20_190_401, number]))
        for place, one in enumerate(drawn):
            gps_time = Decimal(start) + SPACING_S * place + SPACING_S // 2
            rows.append((f"{gps_time:f}", ifo, f"{one.snr:.3f}", one.label))
    with (folder / TRIGGERS).open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["event_time", "ifo", "snr", "ml_label"])
        writer.writerows(rows[:glitches])


def _pool(waveforms: int) -> Iterator[_Waveform]:
    rng = np.random.default_rng(1)
    for number in range(waveforms):
        glitch = simulate_glitch(
            SIMULATED_CLASSES[number // len(_IFOS) % len(SIMULATED_CLASSES)],
            rng,
            ifo=_IFOS[number % len(_IFOS)],
            sample_rate_hz=float(RATE_HZ),
            duration_s=POOL_S,
        )
        yield _Waveform(glitch.label, glitch.ifo, glitch.snr, glitch.glitch_only)


def _write(
    path: Path, ifo: str, start: int, drawn: list[_Waveform], rng: np.random.Generator
) -> None:
    n_samples = FILE_S * RATE_HZ
    spectrum = noise_spectrum(ifo, n_samples, float(RATE_HZ), rng)
    values = np.fft.irfft(noise_strain(spectrum, rng), n=n_samples) * RATE_HZ
    step = SPACING_S * RATE_HZ
    for place, one in enumerate(drawn):
        values[place * step : (place + 1) * step] += one.values
    part = path.with_suffix(".part")
    with h5py.File(part, "w") as file:
        # Single precision can represent 1e-21 and halves the disk space; GWOSC itself uses double.
        data = file.create_dataset("strain/Strain", data=values.astype(np.float32))
        data.attrs["Xstart"], data.attrs["Xspacing"] = start, 1 / RATE_HZ
        file["meta/GPSstart"], file["meta/Detector"] = start, ifo
        file["meta/Duration"] = FILE_S
    part.replace(path)
