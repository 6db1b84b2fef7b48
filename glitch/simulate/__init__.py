"""Simulated glitches of the Gravity Spy classes, in noise with the detectors' measured spectra."""

from glitch.simulate.batches import simulate_numbered, simulate_views
from glitch.simulate.glitches import (
    SimulatedGlitch,
    SimulatedRecord,
    in_other_noise,
    simulate_glitch,
)
from glitch.simulate.recipes import SIMULATED_CLASSES
from glitch.simulate.unnamed import UNNAMED

__all__ = [
    "SIMULATED_CLASSES",
    "UNNAMED",
    "SimulatedGlitch",
    "SimulatedRecord",
    "in_other_noise",
    "simulate_glitch",
    "simulate_numbered",
    "simulate_views",
]
