"""The informative latents of a glitch or a cluster, and the range over which to vary each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32

from glitch.clustering.distinction import mean_differences, spread_of
from glitch.decoder import active_units

MOST_UNITS = 4  # strips shown for one glitch or cluster
STEPS = 7  # views in a strip
_RANGE = (0.05, 0.95)  # quantiles: one stray glitch must not stretch a strip
_PRIOR_REACH = 3.0  # sigmas of the prior that a glitch's strips span

Latent = Float32[np.ndarray, " latent"]
Vectors = Float32[np.ndarray, "_ latent"]


@dataclass(frozen=True)
class UnitRange:
    """One latent: the value of the subject, the range of others, and the ends of its strip."""

    unit: int
    value: float  # of the glitch, or of the cluster's medoid
    low: float  # ends of the strip
    high: float
    others: tuple[float, float]  # the middle nine tenths of the other glitches
    group: tuple[float, float] | None = None  # of the cluster's members; None for a glitch
    difference: float | None = None  # standardised; above 0: higher in the cluster
    nats: float | None = None  # how much it says about the glitch: KL from the prior


@dataclass(frozen=True)
class UnitRanges:
    """What to move, and what cannot be moved."""

    ranges: tuple[UnitRange, ...]  # the most telling first
    n_active: int
    dead: tuple[int, ...]  # latents that hardly move between any two glitches

    @classmethod
    def of(cls, ranges: list[UnitRange], is_active: Bool[np.ndarray, " latent"]) -> UnitRanges:
        """Of these ranges, where these latents move at all."""
        dead = tuple(int(unit) for unit in np.flatnonzero(~is_active))
        return cls(tuple(ranges), int(is_active.sum()), dead)


def glitch_ranges(mean: Latent, log_variance: Latent, others: Vectors) -> UnitRanges:
    """The most informative latents of a glitch, in nats, among other glitches.

    Args:
        mean: of its posterior.
        log_variance: of its posterior.
        others: posterior means of glitches of its kind.
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
    """The latents that set a cluster apart, by the standardised difference from other glitches.

    Args:
        medoid: posterior mean of the glitch that the strips start from.
        members: posterior means of the cluster.
        others: of glitches of its kind that are not in it.
    """
    is_active = active_units(np.concatenate([members, others]).var(axis=0))
    differences = mean_differences(spread_of(members), spread_of(others))
    own, usual = np.quantile(members, _RANGE, axis=0), np.quantile(others, _RANGE, axis=0)
    ranges = [
        UnitRange(
            unit=unit,
            value=float(medoid[unit]),
            low=float(min(own[0, unit], usual[0, unit])),
            high=float(max(own[1, unit], usual[1, unit])),
            others=(float(usual[0, unit]), float(usual[1, unit])),
            group=(float(own[0, unit]), float(own[1, unit])),
            difference=float(differences[unit]),
        )
        for unit in _leading(np.abs(differences), is_active)
    ]
    return UnitRanges.of(ranges, is_active)


def steps_between(low: float, high: float) -> tuple[float, ...]:
    """The values that a strip shows, evenly from one end to the other."""
    return tuple(np.linspace(low, high, STEPS).tolist())


def _leading(
    weights: Float[np.ndarray, " latent"], is_active: Bool[np.ndarray, " latent"]
) -> list[int]:
    """The latents of the largest weights, the dead ones left out."""
    order = np.argsort(-np.where(is_active, weights, -np.inf), kind="stable")
    return [int(unit) for unit in order[:MOST_UNITS] if is_active[unit] and weights[unit] > 0]
