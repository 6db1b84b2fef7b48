"""Simulated glitches: a recipe's waveform of a given SNR in coloured Gaussian noise."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal

import numpy as np

from glitch.errors import GlitchError
from glitch.simulate.grid import Grid
from glitch.simulate.noise import (
    NoiseSpectrum,
    SpectrumArray,
    noise_spectrum,
    noise_strain,
    optimal_snr,
)
from glitch.simulate.recipes import RECIPES, SIMULATED_CLASSES, Recipe
from glitch.simulate.scene import Scene
from glitch.simulate.unnamed import UNNAMED, unnamed
from glitch.strain import Strain
from glitch.types import StrainArray

SAMPLE_RATES_HZ = (1024.0, 2048.0, 4096.0, 8192.0, 16384.0)
SHORTEST_S = 8.0
LONGEST_S = 128.0
# O3a began at GPS 1238166018; simulated GPS times fall in the 360 days after it.
_FIRST_GPS = 1238166018
_GPS_SPAN_S = 360 * 86400
_UNREST_SHARE = 0.3


@dataclass(frozen=True)
class SimulatedRecord:
    """A simulated glitch without its strain.

    Attributes:
        label: its class.
        ifo: the detector whose noise it is in.
        gps_time: GPS time of the glitch.
        snr: optimal (matched-filter) SNR against the exact spectrum of its noise.
        parameters: the parameters drawn by the recipe.
    """

    label: str
    ifo: str
    gps_time: Decimal
    snr: float
    parameters: dict[str, float]


@dataclass(frozen=True, eq=False)
class SimulatedGlitch(SimulatedRecord):
    """A simulated glitch with its strain, the glitch alone, and the noise spectrum."""

    strain: Strain
    glitch_only: StrainArray
    noise: NoiseSpectrum

    def record(self) -> SimulatedRecord:
        return SimulatedRecord(self.label, self.ifo, self.gps_time, self.snr, self.parameters)


def _recipe(label: str) -> Recipe:
    if label == UNNAMED:
        return Recipe(unnamed, 0.0, lowest_rate_hz=4096.0)
    if label not in RECIPES:
        raise GlitchError(
            f"There is no simulation of '{label}'. Simulated classes: "
            f"{', '.join(SIMULATED_CLASSES)}; {UNNAMED} draws a shape that none of them has."
        )
    return RECIPES[label]


def _check(label: str, sample_rate_hz: float, duration_s: float, snr: float | None) -> None:
    if sample_rate_hz not in SAMPLE_RATES_HZ:
        rates = ", ".join(f"{rate:g}" for rate in SAMPLE_RATES_HZ)
        raise GlitchError(f"Simulate at a sample rate of {rates} Hz, not {sample_rate_hz:g} Hz.")
    lowest = _recipe(label).lowest_rate_hz
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


def _unrest(scene: Scene) -> SpectrumArray:
    """Draw occasional weak low-frequency bumps, which real noise has and Gaussian noise lacks."""
    if not scene.chance(_UNREST_SHARE):
        return np.zeros(len(scene.grid.frequencies_hz), dtype=np.complex128)
    drawing = scene.drawing()
    duration_s = scene.grid.n_samples / scene.grid.sample_rate_hz
    for _ in range(round(duration_s * scene.log_uniform(0.2, 1.5))):
        frequency = scene.log_uniform(10.0, 50.0)
        drawing.sine_gaussian(
            scene.uniform(-0.5, 0.5) * duration_s,
            frequency,
            scene.uniform(0.5, 2.0) / frequency,
            scene.uniform(0.4, 1.0) * frequency**0.5,
            scene.phase(),
        )
    snr = scene.uniform(1.0, 2.2) * np.sqrt(duration_s)
    return np.asarray(scene.whitened(drawing, snr) * scene.noise.floor_asd)


def _background(scene: Scene) -> StrainArray:
    quiet = noise_strain(scene.noise, scene.rng) + _unrest(scene)
    values = np.fft.irfft(quiet, n=scene.grid.n_samples) * scene.grid.sample_rate_hz
    return np.asarray(values, dtype=np.float64)


def in_other_noise(glitch: SimulatedGlitch, rng: np.random.Generator) -> Strain:
    """Put the same glitch into another stretch of noise with the same spectrum.

    The two stretches have only the glitch in common: the image of one is an unbiased target for the
    output of a model on the other.

    Args:
        glitch: a simulated glitch.
        rng: source of the new noise.
    """
    grid = Grid(len(glitch.glitch_only), glitch.strain.sample_rate_hz)
    scene = Scene(grid, glitch.noise, glitch.ifo, rng)
    return replace(glitch.strain, values=_background(scene) + glitch.glitch_only)


def simulate_glitch(
    label: str,
    rng: np.random.Generator,
    *,
    ifo: str = "H1",
    sample_rate_hz: float = 8192.0,
    duration_s: float = 16.0,
    snr: float | None = None,
) -> SimulatedGlitch:
    """Simulate strain with one glitch in its middle.

    Args:
        label: one of ``SIMULATED_CLASSES``, or ``UNNAMED`` for a random shape.
        rng: source of all random numbers: equal generators give equal glitches.
        ifo: H1, L1 (measured O3a noise) or V1 (Advanced Virgo design).
        sample_rate_hz: one of ``SAMPLE_RATES_HZ``; classes above 500 Hz need 2048 or 4096.
        duration_s: length of the strain, 8 to 128 s.
        snr: optimal SNR, sqrt(4 sum |h|^2 / S df) from 10 Hz; None draws it from the distribution
            of the class.

    Returns:
        The strain (dimensionless), the glitch in it and its true parameters.

    Raises:
        GlitchError: for an unknown class or detector, or values out of range.
    """
    _check(label, sample_rate_hz, duration_s, snr)
    n_samples = 2 * round(duration_s * sample_rate_hz / 2)
    noise = noise_spectrum(ifo, n_samples, sample_rate_hz, rng)
    scene = Scene(Grid(n_samples, sample_rate_hz), noise, ifo, rng)
    recipe = _recipe(label)
    waveform = recipe.draw(scene)
    if snr is None:
        snr = recipe.draw_snr(waveform.tiles, rng) if waveform.snr is None else waveform.snr
    gps_start = Decimal(_FIRST_GPS + int(rng.integers(_GPS_SPAN_S)))
    gps_start += int(rng.integers(10**9)) * Decimal("1e-9")
    # A trigger has the time of a tile, some milliseconds off the glitch.
    shift = n_samples // 2 + round(float(rng.normal(0.0, 0.004)) * sample_rate_hz)
    spectrum = waveform.spectrum * noise.floor_asd
    spectrum[0] = spectrum[-1] = 0.0
    if snr > 0:
        spectrum *= snr / optimal_snr(spectrum, noise)
    alone = np.roll(np.fft.irfft(spectrum, n=n_samples), shift) * sample_rate_hz
    strain = Strain(
        values=_background(scene) + alone,
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
