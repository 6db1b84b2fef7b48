"""The windows are SciPy's, and a strain that is turned into views loads none of its large parts."""

import subprocess
import sys

import numpy as np
import pytest
from scipy.signal import get_window
from scipy.signal.windows import tukey as scipy_tukey

from glitch.strain.windows import hann, tukey

TRANSFORM = """
import sys
import numpy as np
from decimal import Decimal
from glitch.strain import Strain, views_from_strain

values = np.random.default_rng(1).normal(size=32 * 4096)
strain = Strain(values, 4096.0, Decimal(1000000000))
views_from_strain([strain], [Decimal(1000000016)])
print("scipy.signal" in sys.modules)
"""


@pytest.mark.parametrize("n", [2, 4096, 8191, 16384])
def test_hann(n: int) -> None:
    np.testing.assert_array_equal(hann(n), get_window("hann", n))


@pytest.mark.parametrize(("n", "share"), [(8192, 0.25), (16384, 0.125), (4097, 0.3)])
def test_tukey(n: int, share: float) -> None:
    np.testing.assert_allclose(tukey(n, share), scipy_tukey(n, share), rtol=0, atol=1e-14)


def test_a_transform_loads_no_signal_processing_of_scipy() -> None:
    """24 MB in every process that takes strain, and half a second of its first one."""
    done = subprocess.run(
        [sys.executable, "-c", TRANSFORM], check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == "False"
