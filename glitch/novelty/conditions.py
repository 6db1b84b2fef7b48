"""Under which conditions a glitch was seen: which windows, and which band of each.

The encoder is given what was not observed, but where a glitch lies still depends on it: of real
glitches with one window judged by references with four, half as many again were called novel as
may be. So glitches calibrate each other only where they were seen alike.
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
