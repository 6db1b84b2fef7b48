"""Simulated glitches as training samples, an equal number of every class."""

from __future__ import annotations

from collections.abc import Iterator

from glitch.simulate import SIMULATED_CLASSES, simulate_views
from glitch.views import Views


def simulated_samples(per_class: int, seed: int) -> tuple[int, Iterator[tuple[str, Views]]]:
    """How many samples there are, and a stream of (label, views) that is the same for each seed.

    Classes take turns, so that a pack cut short would still be even.
    """
    labels = [label for _ in range(per_class) for label in SIMULATED_CLASSES]
    pairs = zip(labels, simulate_views(labels, seed), strict=True)
    return len(labels), ((label, found.views) for label, (_, found) in pairs)
