"""A short, seeded version of ``python -m benchmarks.strain.fuzz_strain``."""

from __future__ import annotations

import re
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from damaged_strain import clean_strain, draw, room_s, views_of, write

from glitch.strain import StrainViews

SNR_WITHIN = 0.12  # the spectrum of 9 s is noisier than that of 64 s
NAMES_AN_INTERVAL = re.compile(r"(span|from) 1187008\d+(\.\d+)? to 1187008\d+")


@cache
def undamaged(rate_hz: int) -> tuple[np.ndarray, StrainViews]:
    """Return the strain of every case of a rate, and the views measured on it."""
    clean = clean_strain(rate_hz)
    clean.flags.writeable = False
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clean.npz"
        np.savez(path, strain=clean, sample_rate_hz=rate_hz, gps_start="1187008860")
        reference = views_of(path)
    assert not isinstance(reference, str)
    return clean, reference


@pytest.mark.parametrize("seed", range(16))
def test_a_gap_never_changes_a_measurement_silently(tmp_path: Path, seed: int) -> None:
    case = draw(np.random.default_rng(seed))
    clean, reference = undamaged(case.rate_hz)
    made = views_of(write(case, clean, tmp_path))
    if isinstance(made, str):
        assert room_s(case) < 1.6, (case.named, made)  # otherwise there was enough strain
        assert NAMES_AN_INTERVAL.search(made), (case.named, made)
        return
    assert made.snr == pytest.approx(reference.snr, rel=SNR_WITHIN), case.named
    assert abs(made.peak_gps_time - reference.peak_gps_time) < 0.01, case.named
