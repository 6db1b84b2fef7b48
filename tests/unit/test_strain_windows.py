"""Windows and splines equal SciPy's, and transforming strain at 4096 Hz does not import SciPy."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy.fft import next_fast_len
from scipy.interpolate import make_interp_spline
from scipy.signal import get_window
from scipy.signal.windows import tukey as scipy_tukey

from glitch.strain.fourier import fast_length, irfft, rfft
from glitch.strain.grid import spline_across_rows
from glitch.strain.windows import hann, tukey

TRANSFORM = """
import sys
import numpy as np
from decimal import Decimal
from glitch.strain import Strain, views_from_strain

values = np.random.default_rng(1).normal(size=32 * 4096)
strain = Strain(values, 4096.0, Decimal(1000000000))
views_from_strain([strain], [Decimal(1000000016)])
print([name for name in sys.modules if name.startswith("scipy")])
"""


@pytest.mark.parametrize("n", [2, 4096, 8191, 16384])
def test_hann(n: int) -> None:
    np.testing.assert_array_equal(hann(n), get_window("hann", n))


@pytest.mark.parametrize(("n", "share"), [(8192, 0.25), (16384, 0.125), (4097, 0.3)])
def test_tukey(n: int, share: float) -> None:
    np.testing.assert_allclose(tukey(n, share), scipy_tukey(n, share), rtol=0, atol=1e-14)


@pytest.mark.parametrize("n_rows", [1, 2, 3, 4, 5, 6, 90])
def test_the_spline_across_rows(n_rows: int) -> None:
    rows_hz = 10 * 1.04 ** np.arange(n_rows)
    samples_hz = np.linspace(0.9 * rows_hz[0], 1.1 * rows_hz[-1], 500)
    spline = make_interp_spline(rows_hz, np.eye(n_rows), k=min(3, n_rows - 1))
    expected = spline(np.clip(samples_hz, rows_hz[0], rows_hz[-1]))
    found = spline_across_rows(rows_hz, samples_hz)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("n", [1, 7, 135_168, 138_240, 138_241, 532_480, 1_000_003])
def test_the_fast_length(n: int) -> None:
    assert fast_length(n) == next_fast_len(n, real=True)


@pytest.mark.parametrize("n", [8192, 131_072])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_each_row_is_transformed_in_its_own_precision(n: int, dtype: type) -> None:
    rows = np.random.default_rng(n).normal(size=(3, n)).astype(dtype)
    spectra = rfft(torch.from_numpy(rows))
    alone = rfft(torch.from_numpy(rows[1:2]))
    np.testing.assert_array_equal(spectra[1:2].numpy(), alone.numpy())
    expected = np.fft.rfft(rows.astype(np.float64))
    np.testing.assert_allclose(spectra.numpy(), expected, atol=1e3 * np.finfo(dtype).eps * n**0.5)
    series = irfft(spectra, n)
    assert series.numpy().dtype == dtype
    np.testing.assert_array_equal(series[1:2].numpy(), irfft(alone, n).numpy())
    np.testing.assert_allclose(series.numpy(), rows, atol=100 * np.finfo(dtype).eps)


def test_a_transform_loads_nothing_of_scipy() -> None:
    """SciPy would take memory in each process that reads strain, and delay the first transform."""
    done = subprocess.run(
        [sys.executable, "-c", TRANSFORM], check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == "[]"
