import numpy as np
import pytest

from glitch.errors import GlitchError
from glitch.simulate import (
    SIMULATED_CLASSES,
    SimulatedGlitch,
    simulate_glitch,
    simulate_numbered,
    simulate_views,
)
from glitch.simulate.noise import optimal_snr
from glitch.simulate.recipes import RECIPES

# Range in Hz for the median over draws of the frequency where whitened power of a class peaks.
PEAKS_HZ = {
    "1080Lines": (1030, 1130),
    "1400Ripples": (1380, 1600),
    "70Hz_Line": (67, 73),
    "Air_Compressor": (43, 57),
    "Blip": (60, 300),
    "Blip_Low_Frequency": (20, 110),
    "Chirp": (30, 300),
    "Extremely_Loud": (10, 800),
    "Fast_Scattering": (20, 60),
    "Helix": (40, 320),
    "High_Frequency_Burst": (850, 1700),
    "Koi_Fish": (25, 250),
    "Light_Modulation": (10, 800),
    "Low_Frequency_Burst": (10, 40),
    "Low_Frequency_Lines": (10, 20),
    "Paired_Doves": (15, 160),
    "Pizzicato": (940, 1080),
    "Power_Line": (58, 64),
    "Repeating_Blips": (60, 400),
    "Scattered_Light": (11, 120),
    "Scratchy": (70, 280),
    "Tomte": (20, 110),
    "Violin_Mode": (480, 2080),
    "Wandering_Line": (200, 1700),
    "Whistle": (20, 2048),
}


def one(label: str, seed: int = 0, **options) -> SimulatedGlitch:
    options = {"duration_s": 8.0, "sample_rate_hz": 4096.0, **options}
    return simulate_glitch(label, np.random.default_rng(seed), **options)


def test_recipes_are_in_the_fixed_order_of_their_names() -> None:
    assert list(SIMULATED_CLASSES) == sorted(SIMULATED_CLASSES)
    assert len(SIMULATED_CLASSES) == 26


@pytest.mark.parametrize("label", SIMULATED_CLASSES)
@pytest.mark.parametrize("rate_hz", [1024.0, 2048.0, 4096.0, 8192.0, 16384.0])
def test_every_class_is_finite_at_every_rate_it_allows(label: str, rate_hz: float) -> None:
    if rate_hz < RECIPES[label].lowest_rate_hz:
        with pytest.raises(GlitchError, match="simulate it at"):
            one(label, sample_rate_hz=rate_hz)
        return
    glitch = one(label, 1, sample_rate_hz=rate_hz, ifo="L1")
    assert glitch.strain.values.dtype == np.float64
    assert glitch.strain.values.size == 8 * rate_hz
    assert np.isfinite(glitch.strain.values).all()
    assert glitch.strain.values.std() > 0
    assert all(np.isfinite(value) for value in glitch.parameters.values())


@pytest.mark.parametrize("label", [name for name in SIMULATED_CLASSES if name != "No_Glitch"])
@pytest.mark.parametrize("snr", [7.5, 60.0])
def test_the_snr_is_the_one_asked_for(label: str, snr: float) -> None:
    glitch = one(label, 2, snr=snr)
    spectrum = np.fft.rfft(glitch.glitch_only) / glitch.strain.sample_rate_hz
    frequencies = glitch.noise.frequencies_hz
    band = frequencies >= 10
    step = frequencies[1]
    closed = 4 * step * np.sum(np.abs(spectrum[band]) ** 2 / glitch.noise.psd[band])
    assert np.sqrt(closed) == pytest.approx(snr, rel=1e-6)
    assert glitch.snr == snr
    assert optimal_snr(spectrum, glitch.noise) == pytest.approx(snr, rel=1e-6)


@pytest.mark.parametrize("label", [name for name in SIMULATED_CLASSES if name != "No_Glitch"])
def test_drawn_snr_is_at_least_that_of_a_trigger(label: str) -> None:
    drawn = [one(label, seed).snr for seed in range(3)]
    assert min(drawn) >= 7.5
    assert len(set(drawn)) == 3
    if label == "Extremely_Loud":
        assert min(drawn) >= 100


@pytest.mark.parametrize("label", sorted(PEAKS_HZ))
def test_the_power_peaks_where_the_class_lies(label: str) -> None:
    peaks = []
    for seed in range(5):
        glitch = one(label, seed)
        spectrum = np.fft.rfft(glitch.glitch_only)
        power = np.abs(spectrum / glitch.noise.floor_asd) ** 2
        smooth = np.convolve(power, np.ones(9), "same")
        smooth[glitch.noise.frequencies_hz < 10] = 0
        peaks.append(glitch.noise.frequencies_hz[smooth.argmax()])
    low, high = PEAKS_HZ[label]
    assert low <= np.median(peaks) <= high


def test_peaks_are_stated_for_every_class_with_a_glitch() -> None:
    assert set(PEAKS_HZ) == set(SIMULATED_CLASSES) - {"No_Glitch"}


@pytest.mark.parametrize("label", ["Blip", "Tomte", "Koi_Fish", "Pizzicato", "Power_Line"])
def test_the_glitch_lies_at_its_gps_time_in_the_middle(label: str) -> None:
    glitch = one(label, 5)
    whitened = np.fft.irfft(np.fft.rfft(glitch.glitch_only) / glitch.noise.floor_asd)
    power = whitened**2
    times = np.arange(len(power)) / glitch.strain.sample_rate_hz
    at = float(glitch.gps_time - glitch.strain.gps_start)
    assert at == pytest.approx(4.0)
    assert (times * power).sum() / power.sum() == pytest.approx(at, abs=0.3)


def test_no_glitch_is_noise_alone() -> None:
    glitch = one("No_Glitch")
    assert glitch.snr == 0
    assert not glitch.glitch_only.any()


def test_equal_generators_give_equal_glitches_and_others_do_not() -> None:
    first, again, other = one("Helix", 4), one("Helix", 4), one("Helix", 5)
    assert np.array_equal(first.strain.values, again.strain.values)
    assert first.record() == again.record()
    assert not np.array_equal(first.strain.values, other.strain.values)


def test_the_global_generator_is_left_alone() -> None:
    state = np.random.get_state()[1].copy()  # noqa: NPY002 - the point is the global one
    one("Koi_Fish")
    assert np.array_equal(state, np.random.get_state()[1])  # noqa: NPY002


def test_a_glitch_depends_on_its_position_and_not_on_what_is_around_it() -> None:
    options = {"duration_s": 8.0, "sample_rate_hz": 4096.0}
    alone = simulate_numbered("Blip", 9, 3, **options)
    again = simulate_numbered("Blip", 9, 3, **options)
    elsewhere = simulate_numbered("Blip", 9, 4, **options)
    assert np.array_equal(alone.strain.values, again.strain.values)
    assert not np.array_equal(alone.strain.values, elsewhere.strain.values)


def test_views_do_not_depend_on_the_batch_size() -> None:
    labels = ["Blip", "Whistle", "No_Glitch", "Scattered_Light", "Tomte"]
    small = list(simulate_views(labels, 1, duration_s=8.0, batch_size=2))
    large = list(simulate_views(labels, 1, duration_s=8.0, batch_size=5))
    assert [record.label for record, _ in small] == labels
    for (record, seen), (same_record, same_seen) in zip(small, large, strict=True):
        assert record == same_record
        assert np.array_equal(seen.views.observed, same_seen.views.observed)
        assert np.allclose(seen.views.values, same_seen.views.values, atol=1e-4)


def test_a_loud_blip_is_seen_in_the_middle_of_its_views() -> None:
    ((record, seen),) = simulate_views(["Blip"], 6, snr=60.0, ifos=("L1",))
    assert (record.ifo, record.snr) == ("L1", 60.0)
    assert seen.views.durations_s == (0.5, 1.0, 2.0, 4.0)
    assert seen.snr > 15
    for duration_s in seen.views.durations_s:
        columns = seen.views.view(duration_s)[40:90].sum(axis=0)
        assert abs(int(columns.argmax()) - 64) <= 6


def test_an_unknown_class_is_answered_with_the_known_ones() -> None:
    with pytest.raises(GlitchError, match=r"no simulation of 'None_of_the_Above'.*Blip, .*Whistle"):
        one("None_of_the_Above")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ifo": "G1"}, "H1, L1, V1"),
        ({"sample_rate_hz": 1000.0}, "1024, 2048"),
        ({"duration_s": 2.0}, "8 to 128 s"),
        ({"snr": -1.0}, "above 0"),
        ({"snr": float("nan")}, "above 0"),
    ],
)
def test_values_out_of_range_are_refused_with_what_would_do(options, message: str) -> None:
    with pytest.raises(GlitchError, match=message):
        one("Blip", **options)


def test_noise_alone_has_no_snr() -> None:
    with pytest.raises(GlitchError, match="leave the SNR out"):
        one("No_Glitch", snr=10.0)
