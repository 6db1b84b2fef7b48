"""Collapsed runs: the encoder says nothing, so that whatever is judged is not the objective."""

from __future__ import annotations

LOWEST_RATE = 0.05  # nats a glitch: a fourteenth of a bit


def is_collapsed(rate: float, active_units: float) -> bool:
    """Whether a run's posterior is the prior for every glitch (posterior collapse).

    Args:
        rate: KL of the posterior from the prior, nats, mean over glitches; NaN where there is none.
        active_units: latents whose posterior mean varies over glitches.
    """
    return rate < LOWEST_RATE or active_units == 0
