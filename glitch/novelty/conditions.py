"""The condition under which a glitch was observed: its windows, and the band of each.

The encoder knows which parts are missing, but the latent vector still depends on it: when real
glitches with one window were compared with references with four, 1.5 times the nominal number were
flagged as novel. Glitches therefore calibrate each other only under the same condition.
"""

from __future__ import annotations

import numpy as np

from glitch.views import Views


def condition_of(views: Views) -> str:
    """Describe windows and bands as text; equal for glitches observed under the same condition.

    Bands extend to the outer edges, in Hz, of the observed rows.
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
        n_missing = seen[-1] + 1 - seen[0] - len(seen)
        if n_missing:
            band += f" without {n_missing} rows between"
        bands.setdefault(band, []).append(f"{duration:g}")
    return "; ".join(f"{' + '.join(windows)} s, {band}" for band, windows in bands.items())
