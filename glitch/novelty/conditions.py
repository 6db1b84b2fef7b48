"""The condition under which a glitch was seen: its windows, and the band of each.

The encoder knows what was not observed, but the position of a glitch still depends on it: when real
glitches with one window were judged by references with four, one and a half times the nominal
number were called novel. Glitches therefore calibrate each other only under the same condition.
"""

from __future__ import annotations

import numpy as np

from glitch.views import Views


def condition_of(views: Views) -> str:
    """Windows and bands in words; equal where glitches were seen alike.

    Bands are of the rows observed, to their edges in Hz.
    """
    recipe = views.preprocessing
    ratio = recipe.highest_frequency_hz / recipe.lowest_frequency_hz
    bands: dict[str, list[str]] = {}
    for duration, rows in zip(recipe.durations_s, views.observed, strict=True):
        seen = np.nonzero(rows)[0]
        if not len(seen):
            continue
        edges = recipe.lowest_frequency_hz * ratio ** (
            np.array([seen[0], seen[-1] + 1]) / recipe.n_frequency
        )
        band = f"{edges[0]:.0f} to {edges[1]:.0f} Hz"
        lacking = seen[-1] + 1 - seen[0] - len(seen)
        if lacking:
            band += f" without {lacking} rows between"
        bands.setdefault(band, []).append(f"{duration:g}")
    return "; ".join(f"{' + '.join(windows)} s, {band}" for band, windows in bands.items())
