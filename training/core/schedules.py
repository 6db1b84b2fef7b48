"""Schedules: pure functions of the step, so that a resumed run continues the same curve."""

from __future__ import annotations

import math


def annealed_beta(step: int, *, beta_start: float, annealing_steps: int) -> float:
    """Return beta_t = max(1, beta_0 - (beta_0 - 1) t / T) of the beta-Annealed VAE.

    Counted in optimiser steps, never epochs or samples. After T the VAE trains as a standard one:
    reconstruction improves during that phase, so T should be well short of the whole run.
    """
    return max(1.0, beta_start - (beta_start - 1.0) * step / annealing_steps)


def growing_capacity(step: int, *, capacity: float, growth_steps: int) -> float:
    """Return C_t = min(C, C t / T) in nats, of the Bottleneck-VAE."""
    return min(capacity, capacity * step / growth_steps)


def learning_rate_factor(step: int, *, warmup_steps: int, steps: int, final_factor: float) -> float:
    """Return a linear rise over the warm-up, then half a cosine down to ``final_factor``."""
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    progress = min(1.0, (step - warmup_steps) / max(1, steps - warmup_steps))
    return final_factor + (1.0 - final_factor) * 0.5 * (1.0 + math.cos(math.pi * progress))
