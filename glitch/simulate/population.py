"""Parameters of blip-like glitches, drawn from the measured O3 population.

The model is antiglitch's: the Fourier transform of the strain is a log-normal bump,
``exp(-gbw/2 * ln(f/f0)^2)``, times one complex phase. Mixtures of (f0, gbw, SNR) per class and
detector are in ``glitch/data/simulation/population.json``, fitted by
``benchmarks/strain/fit_simulation_population.py`` to 3,874 O3 glitches.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
from jaxtyping import Float64

POPULATION_CLASSES = ("Blip", "Koi_Fish", "Tomte", "Blip_Low_Frequency")
SNR_RANGE = (7.5, 500.0)


@dataclass(frozen=True)
class BlipParameters:
    """One blip-like glitch.

    Attributes:
        f0_hz: centre of the bump in the strain's amplitude spectrum, Hz (10 to 600).
        gbw: inverse square width of the bump in ln f (0.25 to 8): larger is narrower.
        phase: phase of all frequencies, radians.
        snr: optimal SNR (7.5 to 500).
    """

    f0_hz: float
    gbw: float
    phase: float
    snr: float


@cache
def _parameters() -> dict[str, Any]:
    text = files("glitch").joinpath("data/simulation/population.json").read_text()
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def _within(logit: float, low: float, high: float) -> float:
    share = 1 / (1 + np.exp(-logit))
    return float(low * (high / low) ** share)


def draw_blip(label: str, ifo: str, rng: np.random.Generator) -> BlipParameters:
    """Draw one member of the measured population of a class in a detector.

    Args:
        label: one of :data:`POPULATION_CLASSES`.
        ifo: detector; H1's population is used if the class was not measured in it.
        rng: source of random numbers.
    """
    described = _parameters()
    members = described["classes"][label]
    fitted = members.get(ifo, members["H1"])
    lowest, highest = np.log(SNR_RANGE)
    while True:  # a few per cent are outside the SNR range, so this ends soon
        component = rng.choice(len(fitted["weights"]), p=_normalised(fitted["weights"]))
        mean = fitted["means"][component]
        factor = np.linalg.cholesky(np.asarray(fitted["covariances"][component]))
        f0, gbw, log_snr = mean + factor @ rng.standard_normal(3)
        if lowest <= log_snr <= highest:
            break
    weights = _normalised(fitted["phase_weights"])
    cell = rng.choice(len(weights), p=weights) + rng.uniform()
    return BlipParameters(
        f0_hz=_within(f0, *described["f0_range_hz"]),
        gbw=_within(gbw, *described["gbw_range"]),
        phase=float(-np.pi + 2 * np.pi * cell / len(weights)),
        snr=float(np.exp(log_snr)),
    )


def _normalised(weights: list[float]) -> Float64[np.ndarray, " weight"]:
    values = np.asarray(weights, dtype=np.float64)
    return np.asarray(values / values.sum())
