"""Collapsed runs: the encoder says nothing, so that whatever is judged is not the objective."""

from __future__ import annotations

import math

LOWEST_RATE = 0.1  # nats a picture: a seventh of a bit


def is_collapsed(rate: float, active_units: float = math.inf) -> bool:
    """Whether a run's posterior is the prior for every picture (posterior collapse).

    Args:
        rate: KL of the posterior from the prior, nats, mean over pictures; NaN where there is none.
        active_units: latents whose posterior mean varies over pictures, where they were counted.
    """
    return rate < LOWEST_RATE or active_units == 0
