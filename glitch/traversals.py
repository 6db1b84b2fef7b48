"""The informative latents of a glitch or a cluster, and the range over which to vary each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32

from glitch.clustering.distinction import mean_differences, spread_of
from glitch.decoder import active_units

MAX_UNITS = 4  # strips per glitch or cluster
STEPS = 7  # views in a strip
_RANGE = (0.05, 0.95)  # quantiles, so that one outlier does not stretch a strip
_PRIOR_REACH = 3.0  # standard deviations of the prior that a glitch's strips span

Latent = Float32[np.ndarray, " latent"]
Vectors = Float32[np.ndarray, "_ latent"]


@dataclass(frozen=True)
class UnitRange:
    """One latent: its value for the glitch or cluster, the range of others, ends of its strip."""

    unit: int
    value: float  # of the glitch, or of the cluster's medoid
    low: float  # ends of the strip
    high: float
    others: tuple[float, float]  # 5 % to 95 % quantiles of the other glitches
    group: tuple[float, float] | None = None  # of the cluster's members; None for a glitch
    difference: float | None = None  # standardised; above 0: higher in the cluster
    nats: float | None = None  # KL from the prior: its information about the glitch


@dataclass(frozen=True)
class UnitRanges:
    """The ranges of the most informative latents, and the inactive latents."""

    ranges: tuple[UnitRange, ...]  # the most informative first
    n_active: int
    dead: tuple[int, ...]  # latents that hardly vary between glitches

    @classmethod
    def of(cls, ranges: list[UnitRange], is_active: Bool[np.ndarray, " latent"]) -> UnitRanges:
        """Combine ranges with the number of active latents and the indices of the inactive ones."""
        dead = tuple(int(unit) for unit in np.flatnonzero(~is_active))
        return cls(tuple(ranges), int(is_active.sum()), dead)


def glitch_ranges(mean: Latent, log_variance: Latent, others: Vectors) -> UnitRanges:
    """Select the latents of a glitch with the largest KL from the prior, in nats.

    Args:
        mean: of its posterior.
        log_variance: of its posterior.
        others: posterior means of the glitches to compare with.
    """
    is_active = active_units(others.var(axis=0))
    means, log_variances = mean.astype(np.float64), log_variance.astype(np.float64)
    nats = 0.5 * (means**2 + np.exp(log_variances) - 1 - log_variances)
    low, high = np.quantile(others, _RANGE, axis=0)
    ranges = [
        UnitRange(
            unit=unit,
            value=float(means[unit]),
            low=float(min(-_PRIOR_REACH, np.floor(means[unit]), low[unit])),
            high=float(max(_PRIOR_REACH, np.ceil(means[unit]), high[unit])),
            others=(float(low[unit]), float(high[unit])),
            nats=float(nats[unit]),
        )
        for unit in _leading(nats, is_active)
    ]
    return UnitRanges.of(ranges, is_active)


def cluster_ranges(medoid: Latent, members: Vectors, others: Vectors) -> UnitRanges:
    """Select the latents that distinguish a cluster, by the standardised difference from others.

    Args:
        medoid: posterior mean of the glitch that the strips start from.
        members: posterior means of the cluster.
        others: posterior means of the glitches to compare with, none of them in the cluster.
    """
    is_active = active_units(np.concatenate([members, others]).var(axis=0))
    differences = mean_differences(spread_of(members), spread_of(others))
    inside, outside = np.quantile(members, _RANGE, axis=0), np.quantile(others, _RANGE, axis=0)
    ranges = [
        UnitRange(
            unit=unit,
            value=float(medoid[unit]),
            low=float(min(inside[0, unit], outside[0, unit])),
            high=float(max(inside[1, unit], outside[1, unit])),
            others=(float(outside[0, unit]), float(outside[1, unit])),
            group=(float(inside[0, unit]), float(inside[1, unit])),
            difference=float(differences[unit]),
        )
        for unit in _leading(np.abs(differences), is_active)
    ]
    return UnitRanges.of(ranges, is_active)


def steps_between(low: float, high: float) -> tuple[float, ...]:
    """Return the values along a strip, evenly spaced from one end to the other."""
    return tuple(np.linspace(low, high, STEPS).tolist())


def _leading(
    weights: Float[np.ndarray, " latent"], is_active: Bool[np.ndarray, " latent"]
) -> list[int]:
    """Return the active latents of the largest weights."""
    order = np.argsort(-np.where(is_active, weights, -np.inf), kind="stable")
    return [int(unit) for unit in order[:MAX_UNITS] if is_active[unit] and weights[unit] > 0]
