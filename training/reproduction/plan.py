"""The runs of each tier: the paper's grid of objectives, hyperparameters and seeds."""

from __future__ import annotations

from dataclasses import dataclass

from training.core.config import LogConfig, ObjectiveConfig, OptimiserConfig
from training.dsprites import PictureArchitecture, PictureConfig
from training.reproduction.tiers import Tier


@dataclass(frozen=True)
class Family:
    """One objective of the paper's Table 2."""

    kind: str  # key of training.core.objectives.OBJECTIVES
    label: str
    symbol: str  # of the hyperparameter, as in the paper
    parameter: str  # its name in our objective
    values: tuple[float, ...]  # the paper's grid
    main: float  # used where the grid is not run completely

    def settings(self, value: float, gamma: float | None, tier: Tier) -> ObjectiveConfig:
        """Build the objective with a hyperparameter, and the schedule of the tier."""
        parameters: dict[str, float] = {self.parameter: value}
        if self.kind == "bottleneck":
            parameters["growth_steps"] = tier.annealing_steps
            parameters["gamma"] = tier.bottleneck_gamma if gamma is None else gamma
        if self.kind == "beta_annealed":
            parameters["annealing_steps"] = tier.annealing_steps
        return ObjectiveConfig(self.kind, parameters)


FAMILIES = (
    Family("beta_vae", "β-VAE", "β", "beta", (1, 4, 16), 4),
    Family("bottleneck", "Bottleneck", "C", "capacity", (5, 25, 100), 25),
    Family("factor_vae", "FactorVAE", "γ", "gamma", (10, 30, 100), 30),  # noqa: RUF001 - Greek
    Family("beta_tcvae", "β-TCVAE", "β", "beta", (1, 4, 10), 4),
    Family("dip_vae_1", "DIP-VAE-I", "λ_od", "off_diagonal", (1, 5, 50), 5),
    Family("dip_vae_2", "DIP-VAE-II", "λ_od", "off_diagonal", (1, 5, 50), 5),
    Family("beta_annealed", "β-Annealed", "β₀", "beta_start", (5, 25, 50), 50),
)
FAMILY_OF = {family.kind: family for family in FAMILIES}
MAIN_KINDS = ("beta_vae", "bottleneck", "beta_annealed")  # compared in the paper's claim


@dataclass(frozen=True, order=True)
class Run:
    """One trained model: an objective, its hyperparameter, and a seed."""

    kind: str
    value: float
    seed: int
    gamma: float | None = None  # of a Bottleneck, if it differs from the tier's

    @property
    def name(self) -> str:
        """Name of its folder."""
        gamma = "" if self.gamma is None else f"-gamma{self.gamma:g}"
        return f"{self.kind}-{self.value:g}{gamma}-seed{self.seed}"

    @property
    def label(self) -> str:
        """Objective and hyperparameter as printed in figures and tables."""
        family = FAMILY_OF[self.kind]
        gamma = "" if self.gamma is None else f" (γ = {self.gamma:g})"  # noqa: RUF001 - Greek
        return f"{family.label} {family.symbol} = {self.value:g}{gamma}"

    @property
    def is_main(self) -> bool:
        """Whether it is part of the paper's main comparison."""
        is_represented = self.value == FAMILY_OF[self.kind].main and self.gamma is None
        return self.kind in MAIN_KINDS and is_represented

    def config(self, tier: Tier, data: str) -> PictureConfig:
        """Build the full configuration of this run. Runs of one seed get the same batches."""
        return PictureConfig(
            name=f"{self.kind}-{self.value:g}".replace(".", "_"),
            data=data,
            seed=self.seed,
            architecture=PictureArchitecture("burgess", tier.side),
            objective=FAMILY_OF[self.kind].settings(self.value, self.gamma, tier),
            optimiser=OptimiserConfig(
                learning_rate=tier.learning_rate,
                batch_size=tier.batch_size,
                steps=tier.steps,
                warmup_steps=0,
                final_factor=1.0,
                gradient_clip=float("inf"),
            ),
            log=LogConfig(tier.log_every, tier.steps * 10, min(1_000, tier.steps)),
        )


def main_runs(tier: Tier) -> list[Run]:
    """List the paper's three objectives at their main hyperparameter, seed by seed, for pairs."""
    return [
        Run(kind, FAMILY_OF[kind].main, seed)
        for seed in range(tier.main_seeds)
        for kind in MAIN_KINDS
    ]


def figure1_runs(tier: Tier) -> list[Run]:
    """List every hyperparameter of the three objectives, most important first."""
    rest = [
        Run(kind, value, seed)
        for seed in range(tier.other_seeds)
        for kind in MAIN_KINDS
        for value in FAMILY_OF[kind].values
    ]
    return _unique(main_runs(tier) + rest + gamma_runs(tier))


def gamma_runs(tier: Tier) -> list[Run]:
    """List the Bottleneck at its main C with the other gamma."""
    value = FAMILY_OF["bottleneck"].main
    return [Run("bottleneck", value, seed, tier.other_gamma) for seed in range(tier.other_seeds)]


def figure2_runs(tier: Tier) -> list[Run]:
    """List one annealed run and one Bottleneck."""
    return [
        Run("beta_annealed", tier.figure2_beta, 0),
        Run("bottleneck", FAMILY_OF["bottleneck"].main, 0),
    ]


def figure3_runs(tier: Tier) -> list[Run]:  # noqa: ARG001 - all plans have the same signature
    """List the annealed run that is traversed."""
    return [Run("beta_annealed", FAMILY_OF["beta_annealed"].main, 0)]


def table2_runs(tier: Tier) -> list[Run]:
    """List all seven objectives, in some tiers on their whole grid, and figure 1's runs last."""
    other_runs = [
        Run(family.kind, value, seed)
        for seed in range(tier.other_seeds)
        for family in FAMILIES
        for value in (family.values if tier.is_full_grid else (family.main,))
    ]
    return _unique(main_runs(tier) + other_runs + figure1_runs(tier))


def grid_runs(tier: Tier) -> list[Run]:
    """List the whole grid of the objectives that are not in the main comparison, seed by seed."""
    return [
        Run(family.kind, value, seed)
        for seed in range(tier.main_seeds)
        for family in FAMILIES
        if family.kind not in MAIN_KINDS
        for value in family.values
    ]


PLANS = {
    "table2": table2_runs,
    "grids": grid_runs,
    "fig1": figure1_runs,
    "fig2": figure2_runs,
    "fig3": figure3_runs,
}


def _unique(runs: list[Run]) -> list[Run]:
    return list(dict.fromkeys(runs))
