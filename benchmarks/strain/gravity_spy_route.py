"""Time of each step of Gravity Spy's processing of one trigger before its classifier.

gwpy's own calls with the values that Gravity Spy publishes (``utils.py``, ``plot.py`` and
``read_image.py`` of the package GravitySpy): 64 s of strain, a Q-transform for each of four
windows, a figure of 800 by 600 pixels each, cropped, converted to grey and reduced to 140 by 170.
It first resamples to 16384 Hz; this is left out here if the strain has a lower rate, in its favour.
"""

from __future__ import annotations

import csv
import io
import time
import warnings
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from benchmarks.strain.simulated_frames import FILE_S, FIRST_GPS, RATE_HZ, STRAIN, TRIGGERS

WINDOWS_S = (0.5, 1.0, 2.0, 4.0)


@dataclass(frozen=True)
class RouteTime:
    """Seconds per glitch, by step."""

    wall: dict[str, float]
    cpu_s: float

    def lines(self) -> list[str]:
        steps = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in self.wall.items())
        return [
            f"wall {sum(self.wall.values()):.2f} s a glitch: {steps}",
            f"processor {self.cpu_s:.2f} s a glitch",
        ]


def time_gravity_spy_route(frames: Path, glitches: int) -> RouteTime:
    """Time the route on the first triggers of ``simulated_frames``.

    Args:
        frames: the folder written by ``make_frames``.
        glitches: number of triggers.
    """
    import matplotlib as mpl

    mpl.use("agg")
    from gwpy.segments import Segment
    from gwpy.timeseries import TimeSeries

    with (frames / TRIGGERS).open() as file:
        rows = list(csv.DictReader(file))[4 : glitches + 5]  # triggers with 64 s around them
    spent: dict[str, float] = defaultdict(float)
    cpu = 0.0
    for number, row in enumerate(rows):
        gps_time, ifo = float(row["event_time"]), row["ifo"]
        path = frames / STRAIN / f"{ifo[0]}-{ifo}_SIM_4KHZ-{FIRST_GPS}-{FILE_S}.hdf5"
        times: dict[str, float] = defaultdict(float)
        started = time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # gwpy warns that it lowers the upper frequency
            with _timed(times, "read"):
                first = round((gps_time - 32 - FIRST_GPS) * RATE_HZ)
                with h5py.File(path) as strain:
                    values = strain["strain/Strain"][first : first + 64 * RATE_HZ]
                series = TimeSeries(values.astype(float), sample_rate=RATE_HZ, t0=gps_time - 32)
            for window_s in WINDOWS_S:
                with _timed(times, "four Q-transforms"):
                    spectrogram = series.q_transform(
                        qrange=(4, 64),
                        frange=(10, 2048),
                        gps=gps_time,
                        search=0.5,
                        tres=0.002,
                        fres=0.5,
                        outseg=Segment(gps_time - window_s / 2, gps_time + window_s / 2),
                    )
                with _timed(times, "four pictures"):
                    png = _render_png(spectrogram, gps_time)
                with _timed(times, "read as input"):
                    _classifier_input(png)
        if number:  # the first one includes imports and FFT plans
            cpu += time.process_time() - started
            for name, seconds in times.items():
                spent[name] += seconds
    return RouteTime({name: total / glitches for name, total in spent.items()}, cpu / glitches)


@contextmanager
def _timed(times: dict[str, float], name: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    times[name] += time.perf_counter() - started


def _render_png(spectrogram: object, gps_time: float) -> bytes:
    from gwpy.plot import Plot

    plot = Plot(spectrogram, figsize=(8, 6), dpi=100, method="pcolormesh")
    axes = plot.gca()
    axes.set_position([0.125, 0.1, 0.775, 0.8])
    axes.set_yscale("log", base=2)
    axes.set_ylim(10, 2048)
    axes.set_epoch(gps_time)
    axes.colorbar(cmap="viridis", clim=(0, 25.5), label="Normalized energy")
    buffer = io.BytesIO()
    plot.savefig(buffer, format="png")
    plot.close()
    return buffer.getvalue()


def _classifier_input(png: bytes) -> np.ndarray:
    from PIL import Image

    with Image.open(io.BytesIO(png)) as image:
        grey = image.convert("L").crop((105, 66, 671, 532))
        return np.asarray(grey.resize((170, 140), Image.Resampling.BILINEAR)) / 255
