"""A simulated glitch: a recipe's waveform of a set SNR in coloured Gaussian noise."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from glitch.errors import GlitchError
from glitch.simulate.grid import Grid
from glitch.simulate.noise import NoiseSpectrum, noise_spectrum, noise_strain, optimal_snr
from glitch.simulate.recipes import RECIPES, SIMULATED_CLASSES
from glitch.simulate.scene import Scene
from glitch.strain import Strain
from glitch.types import StrainArray

SAMPLE_RATES_HZ = (1024.0, 2048.0, 4096.0, 8192.0, 16384.0)
SHORTEST_S = 8.0
LONGEST_S = 128.0
# O3a began at GPS 1238166018; simulated GPS times fall in the 360 days after it.
_FIRST_GPS = 1238166018
_GPS_SPAN_S = 360 * 86400


@dataclass(frozen=True)
class SimulatedRecord:
    """What is known of a simulated glitch without its strain.

    Attributes:
        label: its class.
        ifo: whose noise it lies in.
        gps_time: GPS time of the glitch.
        snr: optimal (matched-filter) SNR against the very spectrum of its noise.
        parameters: what the recipe drew.
    """

    label: str
    ifo: str
    gps_time: Decimal
    snr: float
    parameters: dict[str, float]


@dataclass(frozen=True, eq=False)
class SimulatedGlitch(SimulatedRecord):
    """A simulated glitch with its strain, and apart from it the glitch alone and the spectrum."""

    strain: Strain
    glitch_only: StrainArray
    noise: NoiseSpectrum

    def record(self) -> SimulatedRecord:
        return SimulatedRecord(self.label, self.ifo, self.gps_time, self.snr, self.parameters)


def _check(label: str, sample_rate_hz: float, duration_s: float, snr: float | None) -> None:
    if label not in RECIPES:
        raise GlitchError(
            f"There is no simulation of '{label}'. Simulated classes: "
            f"{', '.join(SIMULATED_CLASSES)}."
        )
    if sample_rate_hz not in SAMPLE_RATES_HZ:
        rates = ", ".join(f"{rate:g}" for rate in SAMPLE_RATES_HZ)
        raise GlitchError(f"Simulate at a sample rate of {rates} Hz, not {sample_rate_hz:g} Hz.")
    lowest = RECIPES[label].lowest_rate_hz
    if sample_rate_hz < lowest:
        raise GlitchError(
            f"{label} reaches frequencies that {sample_rate_hz:g} Hz cannot hold: simulate it at "
            f"{lowest:g} Hz or more."
        )
    if not SHORTEST_S <= duration_s <= LONGEST_S:
        raise GlitchError(
            f"Simulate {SHORTEST_S:g} to {LONGEST_S:g} s of strain, not {duration_s:g} s."
        )
    if snr is not None and not (np.isfinite(snr) and snr > 0):
        raise GlitchError(f"An SNR must be a number above 0, not {snr}.")
    if snr is not None and label == "No_Glitch":
        raise GlitchError("No_Glitch holds noise alone: leave the SNR out.")


def simulate_glitch(
    label: str,
    rng: np.random.Generator,
    *,
    ifo: str = "H1",
    sample_rate_hz: float = 8192.0,
    duration_s: float = 16.0,
    snr: float | None = None,
) -> SimulatedGlitch:
    """Strain with one simulated glitch in its middle.

    Args:
        label: one of ``SIMULATED_CLASSES``.
        rng: source of every draw: equal generators give equal glitches.
        ifo: H1, L1 (measured O3a noise) or V1 (Advanced Virgo design).
        sample_rate_hz: one of ``SAMPLE_RATES_HZ``; classes above 500 Hz need 2048 or 4096.
        duration_s: length of the strain, 8 to 128 s.
        snr: optimal SNR, sqrt(4 sum |h|^2 / S df) from 10 Hz; None draws one as the class has.

    Returns:
        The strain (dimensionless), the glitch in it and its true parameters.

    Raises:
        GlitchError: for an unknown class or detector, or values out of range.
    """
    _check(label, sample_rate_hz, duration_s, snr)
    n_samples = 2 * round(duration_s * sample_rate_hz / 2)
    noise = noise_spectrum(ifo, n_samples, sample_rate_hz, rng)
    scene = Scene(Grid(n_samples, sample_rate_hz), noise, ifo, rng)
    recipe = RECIPES[label]
    waveform = recipe.draw(scene)
    if snr is None:
        snr = recipe.draw_snr(waveform.tiles, rng) if waveform.snr is None else waveform.snr
    # Triggers are not centred to the sample: the peak of a tile is some milliseconds off.
    gps_start = Decimal(_FIRST_GPS + int(rng.integers(_GPS_SPAN_S)))
    offset_s = round(float(rng.uniform(0.0, 1.0)) * 1e9) * Decimal("1e-9")
    shift_s = float(rng.normal(0.0, 0.004))
    glitch = waveform.spectrum * noise.floor_asd
    glitch[0] = glitch[-1] = 0.0
    if snr > 0:
        glitch = glitch * (snr / optimal_snr(glitch, noise))
        middle_s = n_samples / 2 / sample_rate_hz
        glitch = glitch * np.exp(-2j * np.pi * noise.frequencies_hz * (middle_s + shift_s))
    alone = np.fft.irfft(glitch, n=n_samples) * sample_rate_hz
    background = np.fft.irfft(noise_strain(noise, rng), n=n_samples) * sample_rate_hz
    gps_start += offset_s
    strain = Strain(
        values=background + alone,
        sample_rate_hz=sample_rate_hz,
        gps_start=gps_start,
        ifo=ifo,
        channel="SIMULATED",
    )
    return SimulatedGlitch(
        label=label,
        ifo=ifo,
        gps_time=gps_start + Decimal(n_samples) / Decimal(2) / Decimal(int(sample_rate_hz)),
        snr=snr,
        parameters=waveform.parameters,
        strain=strain,
        glitch_only=alone,
        noise=noise,
    )
