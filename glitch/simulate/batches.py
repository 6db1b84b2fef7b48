"""Views of many simulated glitches, computed in batches whose size does not affect the result."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from glitch.simulate.glitches import SimulatedGlitch, SimulatedRecord, simulate_glitch
from glitch.views import Preprocessing

if TYPE_CHECKING:
    from glitch.strain import StrainViews


def simulate_numbered(
    label: str,
    rng_seed: int,
    index: int,
    *,
    ifos: Sequence[str] = ("H1", "L1"),
    sample_rate_hz: float = 8192.0,
    duration_s: float = 16.0,
    snr: float | None = None,
) -> SimulatedGlitch:
    """Simulate the glitch at one position in the series of a seed, independent of other positions.

    Args:
        label: one of ``SIMULATED_CLASSES``.
        rng_seed: seed of the whole series, not negative.
        index: position in the series.
        ifos: the detector is drawn from these.
        sample_rate_hz: see :func:`simulate_glitch`.
        duration_s: see :func:`simulate_glitch`.
        snr: see :func:`simulate_glitch`; ignored for No_Glitch.
    """
    rng = np.random.default_rng(np.random.SeedSequence(rng_seed, spawn_key=(index,)))
    return simulate_glitch(
        label,
        rng,
        ifo=ifos[int(rng.integers(len(ifos)))],
        sample_rate_hz=sample_rate_hz,
        duration_s=duration_s,
        snr=None if label == "No_Glitch" else snr,
    )


def simulate_views(
    labels: Sequence[str],
    rng_seed: int,
    *,
    ifos: Sequence[str] = ("H1", "L1"),
    sample_rate_hz: float = 8192.0,
    duration_s: float = 16.0,
    snr: float | None = None,
    batch_size: int = 32,
    preprocessing: Preprocessing | None = None,
    device: str = "cpu",
) -> Iterator[tuple[SimulatedRecord, StrainViews]]:
    """Simulate one glitch for each label, in order, and compute its views.

    A glitch depends only on the seed and its position, neither on the batch size nor on the other
    labels. Memory is bounded by the batch.

    Args:
        labels: classes to draw, one glitch each.
        rng_seed: seed of the series, not negative.
        ifos: each glitch's detector is drawn from these.
        sample_rate_hz: see :func:`simulate_glitch`.
        duration_s: length of strain each glitch is drawn in, seconds.
        snr: optimal SNR of all glitches; None draws it from the distribution of the class.
        batch_size: number of glitches transformed at once.
        preprocessing: recipe of the views; None for the default.
        device: torch device of the transform.

    Yields:
        The record of the glitch (no strain) and the result of ``views_from_strain`` for it.

    Raises:
        GlitchError: for an unknown class or detector, or values out of range.
    """
    from glitch.strain import views_from_strain

    recipe = preprocessing or Preprocessing()
    for batch in _batches(list(enumerate(labels)), batch_size):
        glitches = [
            simulate_numbered(
                label,
                rng_seed,
                index,
                ifos=ifos,
                sample_rate_hz=sample_rate_hz,
                duration_s=duration_s,
                snr=snr,
            )
            for index, label in batch
        ]
        views = views_from_strain(
            [glitch.strain for glitch in glitches],
            [glitch.gps_time for glitch in glitches],
            recipe,
            device,
        )
        for glitch, seen in zip(glitches, views, strict=True):
            yield glitch.record(), seen


def _batches(numbered: list[tuple[int, str]], batch_size: int) -> Iterator[list[tuple[int, str]]]:
    for first in range(0, len(numbered), batch_size):
        yield numbered[first : first + batch_size]
