"""Scans drawn by gwpy and gwdetchar: grey frames, ticks at their corners, a bar near the panel."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from gwpy.plot import Plot
from gwpy.spectrogram import Spectrogram
from matplotlib import rc_context
from matplotlib.ticker import ScalarFormatter
from PIL import Image

from glitch.images import read_spectrogram

GPS = 1126259462.5
PEAK_HZ, PEAK_S = 100.0, 0.125
TOP_HZ = 1291.0  # upper limit of a Q-transform at 4096 Hz


def _drawn(path: Path, inches: tuple[float, float], dpi: int, *, base: int = 2) -> None:
    times = np.linspace(-0.5, 0.5, 400, endpoint=False)
    frequencies = np.geomspace(10, TOP_HZ, 300)
    energy = np.random.default_rng(0).exponential(1.0, (400, 300))
    row = np.exp(-8 * np.log(frequencies / PEAK_HZ) ** 2)
    energy += 30 * np.exp(-(((times - PEAK_S) / 0.02) ** 2))[:, None] * row
    scan = Spectrogram(energy, times=GPS + times, frequencies=frequencies)
    with rc_context():
        plot = Plot(figsize=inches)
        axes = plot.add_subplot(xscale="auto-gps")
        axes.pcolormesh(scan, vmin=0, vmax=25.5, cmap="viridis")
        axes.set_xscale("seconds", epoch=GPS)
        axes.set_yscale("log", base=base)
        axes.yaxis.set_major_formatter(ScalarFormatter())
        axes.set_ylim(10, 2048)
        axes.set_ylabel("Frequency [Hz]")
        axes.grid(visible=True)
        axes.colorbar(label="Normalized energy", cmap="viridis", clim=(0, 25.5))
        plot.savefig(path, dpi=dpi)
        plot.close()


@pytest.mark.parametrize(
    ("inches", "dpi", "kind"),
    [((12, 6), 100, "PNG"), ((12, 6), 100, "JPEG"), ((8, 6), 150, "PNG"), ((16, 9), 100, "PNG")],
)
def test_scans_of_gwpy_are_read(
    tmp_path: Path, inches: tuple[float, float], dpi: int, kind: str
) -> None:
    """Scans of gwpy are read at each size and resolution.

    Their correct labels must not be refused, nor the colour bar be read as part of the scan.
    """
    _drawn(tmp_path / "a.png", inches, dpi)
    out = io.BytesIO()
    Image.open(tmp_path / "a.png").convert("RGB").save(out, kind, quality=85)
    image = read_spectrogram(out.getvalue(), "a.png")
    assert image.assumed == ()
    n_rows, n_columns = image.values.shape
    assert image.observed.sum() == pytest.approx(
        n_rows * np.log(TOP_HZ / 10) / np.log(204.8), abs=1.5
    )
    brightest = image.values > 0.9
    rows, columns = (np.flatnonzero(brightest.any(axis=axis)) for axis in (1, 0))
    peak_hz = 10 * 204.8 ** ((rows.mean() + 0.5) / n_rows)
    peak_s = (columns.mean() + 0.5) / n_columns - 0.5
    assert peak_hz == pytest.approx(PEAK_HZ, rel=0.05)
    assert peak_s == pytest.approx(PEAK_S, abs=0.006)


def test_a_picture_made_larger_is_read_as_it_was(tmp_path: Path) -> None:
    """An enlarged picture is read like the original.

    Its ticks are as high as small labels but are not labels, and its whole frame is found.
    """
    _drawn(tmp_path / "a.png", (8, 6), 100)
    small = Image.open(tmp_path / "a.png").convert("RGB")
    views = []
    for picture in (small, small.resize((1600, 1200), Image.Resampling.LANCZOS)):
        out = io.BytesIO()
        picture.save(out, "PNG")
        image = read_spectrogram(out.getvalue(), "a.png")
        assert image.assumed == ()
        views.append(image.values)
    assert np.abs(views[0] - views[1]).mean() < 0.01
