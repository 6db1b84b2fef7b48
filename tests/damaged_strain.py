"""Strain files in each container format with gaps or damage at random times.

Imported by ``tests/unit/test_fuzz_strain.py`` and by ``benchmarks/strain/fuzz_strain.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import gwframe
import h5py
import numpy as np

from glitch.errors import GlitchError
from glitch.strain import StrainViews, read_strain, views_from_strain

START = 1187008860
SECONDS = 64
EVENT_S = 32.3
RATES_HZ = (2048, 4096, 16384)
DAMAGES = ("none", "zeros", "NaN", "held", "infinite", "flagged")
CONTAINERS = ("gwf", "gwosc", "gwpy", "pycbc", "npz", "text")


@dataclass(frozen=True)
class Case:
    """The random parameters of one strain file."""

    rate_hz: int
    dtype: str
    container: str
    frame_s: int
    damage: str
    holes: tuple[tuple[float, float], ...]  # start and end, in s after START

    @property
    def named(self) -> str:
        holes = ", ".join(f"{start:.2f}-{end:.2f}" for start, end in self.holes)
        return f"{self.container} {self.dtype} {self.rate_hz} Hz {self.damage} [{holes}]"


def draw(rng: np.random.Generator) -> Case:
    """Draw a random case."""
    container = str(rng.choice(CONTAINERS))
    damage = str(rng.choice(DAMAGES))
    if damage == "flagged" and container not in ("gwf", "gwosc"):
        damage = "zeros"
    n_holes = 0 if damage == "none" else int(rng.integers(1, 4))
    starts = rng.uniform(0, SECONDS - 1, n_holes)
    lengths = np.minimum(10 ** rng.uniform(-2, 1, n_holes), SECONDS - starts)
    return Case(
        rate_hz=int(rng.choice(RATES_HZ if container != "text" else RATES_HZ[:2])),
        dtype=str(rng.choice(["f4", "f8"])),
        container=container,
        frame_s=int(rng.choice([1, 4, 16, 64])),
        damage=damage,
        holes=tuple((float(a), float(a + n)) for a, n in zip(starts, lengths, strict=True)),
    )


def clean_strain(rate_hz: int, seed: int = 0, height: float = 12.0) -> np.ndarray:
    """Return coloured noise, float64, with one sine-Gaussian at ``EVENT_S``.

    ``height`` is the amplitude of the sine-Gaussian in units of 1e-21.
    """
    rng = np.random.default_rng(seed)
    n = SECONDS * rate_hz
    frequency = np.fft.rfftfreq(n, 1 / rate_hz)
    shape = 1 / (1 + (50 / np.maximum(frequency, 5)) ** 2)
    noise = np.fft.irfft(np.fft.rfft(rng.normal(size=n)) * shape, n) * np.sqrt(rate_hz / 4096)
    times = np.arange(n) / rate_hz - EVENT_S
    burst = height * np.exp(-((times / 0.02) ** 2)) * np.sin(2 * np.pi * 120 * times)
    return np.asarray(1e-21 * (noise + burst))


def write(case: Case, clean: np.ndarray, folder: Path) -> Path:
    """Write the file of a case and return its path."""
    values = clean.astype(case.dtype)
    missing = np.zeros(values.size, dtype=bool)
    for start, end in case.holes:
        missing[round(start * case.rate_hz) : round(end * case.rate_hz)] = True
    if case.damage == "zeros":
        values[missing] = 0
    elif case.damage == "NaN":
        values[missing] = np.nan
    elif case.damage == "infinite":
        values[missing] = np.inf
    elif case.damage == "held":
        for start, end in case.holes:
            first = round(start * case.rate_hz)
            values[first : round(end * case.rate_hz)] = values[max(first - 1, 0)]
    return {
        "gwf": _gwf,
        "gwosc": _gwosc,
        "gwpy": _gwpy,
        "pycbc": _pycbc,
        "npz": _npz,
        "text": _text,
    }[case.container](case, values, missing, folder)


def _gwf(case: Case, values: np.ndarray, missing: np.ndarray, folder: Path) -> Path:
    path = folder / f"H-H1_TEST-{START}-{SECONDS}.gwf"
    n = case.frame_s * case.rate_hz
    with gwframe.FrameWriter(path) as writer:
        for index in range(SECONDS // case.frame_s):
            part = slice(index * n, (index + 1) * n)
            if case.damage == "flagged" and missing[part].any() and index:
                continue  # leave this frame out of the file
            frame = gwframe.Frame(
                start=START + index * case.frame_s, duration=case.frame_s, name="H1"
            )
            frame.add_channel("H1:GDS-CALIB_STRAIN", values[part], sample_rate=case.rate_hz)
            writer.write_frame(frame)
    return path


def _gwosc(case: Case, values: np.ndarray, missing: np.ndarray, folder: Path) -> Path:
    path = folder / f"H-H1_TEST-{START}-{SECONDS}.hdf5"
    with h5py.File(path, "w") as file:
        strain = file.create_dataset("strain/Strain", data=values, chunks=True, compression=1)
        strain.attrs.update({"Xstart": START, "Xspacing": 1 / case.rate_hz})
        file["meta/Detector"], file["meta/GPSstart"] = "H1", START
        if case.damage == "flagged":
            good = ~missing.reshape(SECONDS, case.rate_hz).any(axis=1)
            file["quality/simple/DQmask"] = np.where(good, 127, 0)
    return path


def _gwpy(case: Case, values: np.ndarray, _: np.ndarray, folder: Path) -> Path:
    path = folder / "H1.h5"
    with h5py.File(path, "w") as file:
        file["H1:STRAIN"] = values
        attrs = {"x0": float(START), "dx": 1 / case.rate_hz, "channel": "H1:STRAIN", "xunit": "s"}
        file["H1:STRAIN"].attrs.update(attrs)
    return path


def _pycbc(case: Case, values: np.ndarray, _: np.ndarray, folder: Path) -> Path:
    path = folder / "x.hdf"
    with h5py.File(path, "w") as file:
        for ifo in ("H1", "L1"):
            file[f"{ifo}/{START}"] = values
            attrs = {"delta_t": 1 / case.rate_hz, "start_time": float(START)}
            file[f"{ifo}/{START}"].attrs.update(attrs)
    return path


def _npz(case: Case, values: np.ndarray, _: np.ndarray, folder: Path) -> Path:
    path = folder / "x.npz"
    np.savez(path, strain=values, sample_rate_hz=case.rate_hz, gps_start=str(START), ifo="H1")
    return path


def _text(case: Case, values: np.ndarray, missing: np.ndarray, folder: Path) -> Path:
    path = folder / "H1.csv"
    times = START + np.arange(values.size) / case.rate_hz
    kept = ~missing if case.damage == "NaN" else np.ones_like(missing)  # rows with NaN are left out
    np.savetxt(path, np.stack([times, values], axis=1)[kept], delimiter=",", fmt=["%.6f", "%.9e"])
    return path


def views_of(path: Path) -> StrainViews | str:
    """Return the views of a file around the event, or the message of the ``GlitchError``.

    Raises:
        Exception: any error that is not a ``GlitchError``, which is a fault of the reader.
    """
    when = Decimal(START) + Decimal(str(EVENT_S))
    try:
        strain = read_strain(path, file_name=path.name, gps_time=when, ifo="H1")
        return views_from_strain([strain], [when])[0]
    except GlitchError as error:
        return str(error)


def room_s(case: Case) -> float:
    """Return the seconds of unbroken data certain to exist on both sides of the event.

    Zero if the event is inside a hole or the unbroken data around it last less than 9 s.
    """
    if not case.holes:
        return min(EVENT_S, SECONDS - EVENT_S)
    edges = [_whole_units(case, hole) for hole in case.holes]
    if any(start <= EVENT_S <= end for start, end in edges):
        return 0
    before = max((end for _, end in edges if end <= EVENT_S), default=0)
    after = min((start for start, _ in edges if start >= EVENT_S), default=SECONDS)
    return 0 if after - before < 9 else min(EVENT_S - before, after - EVENT_S)


def _whole_units(case: Case, hole: tuple[float, float]) -> tuple[float, float]:
    """Extend a hole to whole frames or seconds where the damage removes or flags those."""
    if case.damage != "flagged":
        return hole
    unit = case.frame_s if case.container == "gwf" else 1
    return hole[0] // unit * unit, -(-hole[1] // unit) * unit
