"""Views from strain against gwpy's q_transform, and what is refused."""

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
import torch
from gwpy_oracle import gwpy_views, share_within
from scipy.signal import firwin, resample_poly

from glitch.errors import GlitchError, StrainError
from glitch.strain import Strain, StrainViews, views_from_strain
from glitch.strain.missing import is_missing
from glitch.strain.plan import view_plan
from glitch.strain.qtransform import loudest_planes
from glitch.strain.whitening import whiten
from glitch.views import Preprocessing

START = Decimal(1000)


def _noise(rate: int, duration: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    n = rate * duration
    frequencies = np.fft.rfftfreq(n, 1 / rate)
    shape = 1 + (30 / np.maximum(frequencies, 8)) ** 4
    return 1e-22 * np.fft.irfft(np.fft.rfft(rng.normal(size=n)) * shape, n)


def _strain(values: np.ndarray, rate: int) -> Strain:
    return Strain(values, float(rate), START)


def _blip(rate: int, duration: int, seed: int = 0, width_s: float = 0.001) -> Strain:
    """A Gaussian pulse of about a millisecond in the middle of noise."""
    times = np.arange(rate * duration) / rate - duration / 2 - 0.0003
    pulse = np.exp(-((times / width_s) ** 2)) * np.cos(2 * np.pi * 300 * times)
    return _strain(_noise(rate, duration, seed) + 2e-21 * pulse, rate)


def _one(strain: Strain, offset: float, *, centre: bool = True) -> StrainViews:
    return views_from_strain([strain], [START + Decimal(str(offset))], centre=centre)[0]


@pytest.mark.parametrize(
    ("rate", "duration", "offset", "centre", "n_rows"),
    [
        (4096, 16, 8.0, False, 116),
        (4096, 16, 8.11, True, 116),
        (1024, 8, 4.0, True, 83),
        (2048, 11, 5.1234, False, 100),
        (2048, 11, 5.4321, True, 100),
        (16384, 8, 4.0, False, 128),
    ],
)
def test_a_millisecond_blip_is_gwpys(
    rate: int, duration: int, offset: float, centre: bool, n_rows: int
) -> None:
    strain = _blip(rate, duration)
    made = _one(strain, offset, centre=centre)
    gps_time = START + Decimal(str(offset))
    assert (made.centre_gps_time == gps_time) is not centre
    oracle = gwpy_views(strain, gps_time, made.centre_gps_time)
    assert made.q == pytest.approx(oracle.q)
    assert made.views.observed.sum(axis=1).tolist() == [n_rows] * 4
    assert share_within(made.views.values[:, :n_rows], oracle.values[:, :n_rows]) >= 0.99


def test_a_blip_survives_in_the_longest_view() -> None:
    made = _one(_blip(4096, 16), 8.0)
    for view in made.views.values:
        assert view[60:116, 62:66].max() > 0.25
        assert np.median(view[:116]) < 0.1


@pytest.mark.parametrize("q_like", [6, 50])
def test_a_batch_gives_each_member_what_it_gets_alone(q_like: int) -> None:
    times = np.arange(4096 * 8) / 4096 - 4
    tone = np.exp(-((times / (q_like / 900)) ** 2)) * np.sin(2 * np.pi * 150 * times)
    strains = [
        _blip(4096, 8, seed=1),
        _strain(_noise(4096, 8, 2) + 3e-22 * tone, 4096),
        _blip(1024, 9, seed=3),
        _strain(_noise(4096, 8, 4), 4096),
    ]
    gps = [START + Decimal(text) for text in ("4", "4.01", "4.5", "3.9")]
    together = views_from_strain(strains, gps)
    for strain, time, member in zip(strains, gps, together, strict=True):
        alone = views_from_strain([strain], [time])[0]
        assert (member.q, member.peak_gps_time) == (alone.q, alone.peak_gps_time)
        np.testing.assert_allclose(member.views.values, alone.views.values, atol=2e-5)
        assert (member.views.observed == alone.views.observed).all()
    if q_like == 50:
        assert together[1].q > together[0].q


@pytest.mark.parametrize("seed", range(3))
def test_screening_rows_changes_nothing(seed: int) -> None:
    """Skipping rows by a screen must not skip the loudest row, nor change a value."""
    rng = np.random.default_rng(seed)
    times = np.arange(4096 * 8) / 4096 - 4
    rows = []
    for amplitude in (0.0, 0.3, 1.0, 30.0):
        frequency, width_s = rng.uniform(20, 900), rng.uniform(0.002, 0.5)
        burst = np.exp(-((times / width_s) ** 2)) * np.sin(2 * np.pi * frequency * times)
        rows.append(_noise(4096, 8, seed) + 1e-21 * amplitude * burst)
    plan = view_plan(Preprocessing(), 4096, 8 * 4096, torch.device("cpu"))
    assert plan.screen is not None
    whitened = whiten(torch.from_numpy(np.stack(rows)), plan.whitening)
    screened = loudest_planes(whitened, [4.0] * 4, plan)
    everything = loudest_planes(whitened, [4.0] * 4, replace(plan, screen=None))
    for (tile, energies), (same_tile, whole) in zip(screened, everything, strict=True):
        assert (tile.plane, tile.frequency_hz) == (same_tile.plane, same_tile.frequency_hz)
        assert tile.time_s == pytest.approx(same_tile.time_s, abs=1e-6)
        for some, every in zip(energies.groups, whole.groups, strict=True):
            torch.testing.assert_close(some, every)


def test_the_loudest_tile_is_described() -> None:
    rate, duration, frequency, q, snr = 4096, 16, 200.0, 11.3, 20.0
    times = np.arange(rate * duration) / rate - 8.05
    # The Gaussian whose spectrum has the curvature of the plane's bisquare window.
    tau = q * np.sqrt(4 / 11) / (np.sqrt(2) * np.pi * frequency)
    burst = np.exp(-((times / tau) ** 2)) * np.sin(2 * np.pi * frequency * times)
    noise = np.random.default_rng(5).normal(size=rate * duration)
    burst *= snr / np.sqrt((burst**2).sum())  # matched-filter SNR in white noise of unit variance
    made = _one(_strain(1e-22 * (noise + burst), rate), 8.0)
    assert made.snr == pytest.approx(snr, rel=0.15)
    assert made.peak_frequency_hz == pytest.approx(frequency, rel=0.1)
    assert made.q == pytest.approx(q, rel=0.01)
    assert float(made.peak_gps_time - START) == pytest.approx(8.05, abs=0.01)
    assert made.duration_s * made.bandwidth_hz == pytest.approx(1)
    assert made.bandwidth_hz == pytest.approx(2 * np.sqrt(np.pi) * made.peak_frequency_hz / made.q)


@pytest.mark.parametrize("error_s", [-0.2, -0.05, -0.011, 0.01, 0.1, 0.24])
def test_a_time_error_moves_nothing_that_is_drawn(error_s: float) -> None:
    """The views of a loud glitch do not depend on the given time, within 0.25 s of the true one."""
    # longer than 64 s: another time means another stretch and grid of tiles
    strain = _blip(4096, 70)
    true, wrong = _one(strain, 35.0), _one(strain, 35.0 + error_s)
    assert abs(wrong.centre_gps_time - true.centre_gps_time) < Decimal("0.0003")
    assert wrong.peak_gps_time == wrong.centre_gps_time
    assert np.abs(wrong.views.values[:, :116] - true.views.values[:, :116]).mean() < 0.004
    at_given = [_one(strain, 35.0 + shift, centre=False).views.values for shift in (0, error_s)]
    assert np.abs(at_given[1] - at_given[0]).mean() > 0.012


def test_the_centre_stays_within_the_search_window() -> None:
    """The centre stays in the window, though the loudest tile at 10 Hz may begin before it."""
    times = np.arange(1024 * 16) / 1024 - 7.3
    tone = np.exp(-((times / 0.5) ** 2)) * np.sin(2 * np.pi * 12 * times)
    made = _one(_strain(_noise(1024, 16, 3) + 4e-20 * tone, 1024), 8.0)
    assert made.peak_frequency_hz == pytest.approx(12, abs=1.5)
    assert made.centre_gps_time == made.peak_gps_time == START + Decimal("7.75")


def test_an_off_centre_glitch_near_the_edge_keeps_the_windows_that_fit() -> None:
    rate, duration = 1024, 10
    times = np.arange(rate * duration) / rate - 3.0
    pulse = np.exp(-((times / 0.003) ** 2)) * np.cos(2 * np.pi * 150 * times)
    strain = _strain(_noise(rate, duration) + 8e-21 * pulse, rate)
    assert _one(strain, 3.1, centre=False).views.durations_s == (0.5, 1.0, 2.0, 4.0)
    made = _one(strain, 3.1)
    assert float(made.centre_gps_time - START) == pytest.approx(3.0, abs=0.003)
    at_edge = _strain(np.roll(strain.values, round(-1.9 * rate)), rate)  # now 1.1 s after the start
    made = _one(at_edge, 1.3)
    assert made.views.durations_s == (0.5,)
    assert made.peak_gps_time < made.centre_gps_time == START + Decimal("1.25")


def test_the_scale_of_the_strain_does_not_matter() -> None:
    strain = _blip(1024, 8)
    scaled = _strain(strain.values * 1e21, 1024)
    first, second = _one(strain, 4.0), _one(scaled, 4.0)
    np.testing.assert_allclose(first.views.values, second.views.values, atol=1e-5)


def test_early_ending_data_give_the_shorter_windows() -> None:
    strain = _blip(1024, 10)
    assert _one(strain, 7.5).views.durations_s == (0.5, 1.0, 2.0)
    assert _one(strain, 1.25).views.durations_s == (0.5,)
    made = _one(strain, 7.5).views
    assert not made.values[3].any()


def test_edges_name_the_usable_interval() -> None:
    for offset in (0.2, 9.9, -3.0, 44.0):
        with pytest.raises(StrainError, match=r"give one from 1001.25 to 1008.75"):
            _one(_blip(1024, 10), offset)
    with pytest.raises(StrainError, match="holds 5 s of strain: at least 8 s"):
        _one(_blip(1024, 5), 2.0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 0.0, 3e-21])
def test_the_good_stretch_around_the_time_is_taken(bad: float) -> None:
    whole = _blip(1024, 20)
    broken = Strain(whole.values.copy(), 1024.0, whole.gps_start)
    broken.values[1024:2048] = bad
    ends_early = Strain(whole.values[2048:], 1024.0, whole.gps_start + 2)
    alone, amid_gaps = _one(ends_early, 10.0), _one(broken, 10.0)
    np.testing.assert_allclose(amid_gaps.views.values, alone.views.values, atol=1e-6)
    assert amid_gaps.snr == pytest.approx(alone.snr, rel=1e-9)
    assert amid_gaps.peak_gps_time == alone.peak_gps_time


@pytest.mark.parametrize("stray", [1e-10, -1e-16, 1.0])
def test_a_single_damaged_number_is_no_data(stray: float) -> None:
    """One number of 1e-10 changed an SNR of 13 to 16, without a word."""
    whole = _blip(1024, 20)
    broken = Strain(whole.values.copy(), 1024.0, whole.gps_start)
    broken.values[[500, 2047]] = stray
    found = _one(broken, 10.0)
    ends_early = Strain(whole.values[2048:], 1024.0, whole.gps_start + 2)
    assert found.snr == pytest.approx(_one(ends_early, 10.0).snr, rel=1e-9)
    with pytest.raises(StrainError, match="or a single value far off its neighbours"):
        _one(broken, 2.0)


@pytest.mark.parametrize("size", [2, 3, 40])
def test_numbers_near_the_largest_are_looked_at_without_a_warning(size: int) -> None:
    values = 1e307 * np.random.default_rng(1).normal(size=size)
    assert not is_missing(values).any()


@pytest.mark.parametrize("cutoff", [0.7, 0.95, 0.98])
def test_an_impulse_that_a_detector_measures_is_data(cutoff: float) -> None:
    """However loud and short it is, it was filtered below the Nyquist frequency when sampled."""
    fast = np.zeros(8 * 8192)
    fast[[1 * 8192, 4 * 8192 + 3]] = 1e9
    taps = firwin(8 * 256 + 1, cutoff / 8, window=("kaiser", 8.0))
    noise = np.random.default_rng(1).normal(size=8 * 1024)
    assert not is_missing(resample_poly(fast, 1, 8, window=taps) + noise).any()


@pytest.mark.parametrize("bad", [np.nan, np.inf, 0.0, 3e-21])
def test_gaps_name_the_good_interval(bad: float) -> None:
    strain = _blip(1024, 20)
    strain.values[2048:3072] = bad
    strain.values[12 * 1024 : 12 * 1024 + 64] = bad
    with pytest.raises(StrainError, match=r"1088 of 20480 .*give a time from 1004.25 to 1010.75"):
        _one(strain, 11.9)
    strain.values[7 * 1024 : 7 * 1024 + 8] = bad
    with pytest.raises(StrainError, match=r"1007.0078\d* to 1012: at least 8 s without a gap"):
        _one(strain, 10.0)
    with pytest.raises(StrainError, match=r"including the GPS time itself: .* from 1002 to 1003"):
        _one(strain, 2.5)
    strain.values[:] = bad
    with pytest.raises(StrainError, match="throughout"):
        _one(strain, 10.0)


@pytest.mark.parametrize(("value", "words"), [(0.0, "zero"), (3e-21, "one constant value")])
def test_constant_strain_is_refused(value: float, words: str) -> None:
    with pytest.raises(StrainError, match=f"is {words} throughout"):
        _one(_strain(np.full(8192, value), 1024), 4.0)


def test_strain_is_checked_on_construction() -> None:
    with pytest.raises(StrainError, match="100 Hz cannot be used"):
        Strain(np.ones(1000), 100.0, START)
    with pytest.raises(StrainError, match="one row"):
        Strain(np.empty(0), 1024.0, START)
    with pytest.raises(StrainError, match="finite"):
        Strain(np.ones(10), 1024.0, Decimal("NaN"))
    with pytest.raises(GlitchError, match="2 strains were given with 1 GPS"):
        views_from_strain([_blip(1024, 8)] * 2, [START])


def test_a_long_strain_is_cropped_to_64_s() -> None:
    values = _noise(1024, 100)
    whole = _one(_strain(values, 1024), 50.0)
    part = Strain(values[18 * 1024 : 82 * 1024], 1024.0, START + 18)
    made = views_from_strain([part], [START + 50])[0]
    np.testing.assert_allclose(whole.views.values, made.views.values, atol=1e-6)
