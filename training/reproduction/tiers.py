"""The size of a reproduction tier: data, steps, seeds, and the resolution of the metrics."""

from __future__ import annotations

from dataclasses import dataclass, replace

from glitch.errors import GlitchError
from training.core.budget import Budget


@dataclass(frozen=True)
class Tier:
    """One size of reproduction. Objectives and architectures are the same in all."""

    name: str
    side: int  # pixels of dSprites
    orientation_stride: int  # only every n-th orientation of dSprites is used
    steps: int
    annealing_steps: int  # T of beta and of C
    batch_size: int
    learning_rate: float
    main_seeds: int  # paired seeds of the main comparison
    other_seeds: int  # of the rest of the grid
    is_full_grid: bool  # False: one hyperparameter for each objective outside the main comparison
    log_every: int
    grid_stride: int  # metrics use every n-th value of orientation, x and y
    n_judged: int  # pictures for rate and distortion
    n_points: int  # training points of the metrics; half as many test points
    figure2_beta: float  # beta_0 of the annealed run in figure 2
    bottleneck_gamma: float  # not given in the paper
    other_gamma: float  # a second value, at the main C, because the result depends on it
    device: str = "cpu"  # of all its runs


TIERS = {
    "smoke": Tier(
        name="smoke",
        side=32,
        orientation_stride=8,
        steps=30,
        annealing_steps=10,
        batch_size=16,
        learning_rate=1e-3,
        main_seeds=2,
        other_seeds=1,
        is_full_grid=False,
        log_every=5,
        grid_stride=4,
        n_judged=128,
        n_points=100,
        figure2_beta=50,
        bottleneck_gamma=2,
        other_gamma=1_000,
    ),
    "reduced": Tier(
        name="reduced",
        side=32,
        orientation_stride=1,
        steps=12_000,
        annealing_steps=4_000,
        batch_size=32,
        learning_rate=5e-4,
        main_seeds=3,
        other_seeds=1,
        is_full_grid=False,
        log_every=100,
        grid_stride=2,
        n_judged=10_000,
        n_points=10_000,
        figure2_beta=50,
        bottleneck_gamma=2,
        other_gamma=1_000,
    ),
    "paper": Tier(
        name="paper",
        side=64,
        orientation_stride=1,
        steps=300_000,
        annealing_steps=100_000,
        batch_size=64,
        learning_rate=1e-4,
        main_seeds=5,
        other_seeds=5,
        is_full_grid=True,
        log_every=500,
        grid_stride=1,
        n_judged=100_000,
        n_points=10_000,
        figure2_beta=100,
        bottleneck_gamma=1_000,
        other_gamma=2,
    ),
}


def tier_named(name: str) -> Tier:
    """Return the tier with this name.

    Raises:
        GlitchError: if there is none.
    """
    if name not in TIERS:
        raise GlitchError(f"There is no tier {name!r}: choose one of {', '.join(TIERS)}.")
    return TIERS[name]


def with_budget(tier: Tier, budget: Budget) -> Tier:
    """Replace steps (schedules in proportion), seeds and device of a tier."""
    tier = replace(tier, device=budget.device)
    if budget.steps is not None:
        annealing = max(1, round(budget.steps * tier.annealing_steps / tier.steps))
        tier = replace(tier, steps=budget.steps, annealing_steps=annealing)
    if budget.seeds is not None:
        tier = replace(tier, main_seeds=budget.seeds, other_seeds=budget.seeds)
    return tier
