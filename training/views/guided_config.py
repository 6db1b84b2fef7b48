"""The configuration of a run of the scattering model, guided by simulated glitches."""

from __future__ import annotations

from dataclasses import dataclass, field

from glitch.model import ScatteringArchitecture
from training.core.config import STRICT, LogConfig, ObjectiveConfig, OptimiserConfig, require
from training.data.config import DataConfig


@dataclass(frozen=True)
class GuidanceConfig:
    """Additional training targets from simulated glitches. Human labels are not used.

    Weights are nats of the loss, in addition to a distortion and a rate of the order of 100 nats.
    """

    classes: float = 300.0  # cross-entropy of the simulated class, from the posterior mean
    parameters: float = (
        0.0  # mean squared error of standardised parameters, from the posterior mean
    )
    is_twin_the_target: bool = True  # the target features are of the glitch in other noise
    unnamed_share: float = 0.2  # fraction of shapes without a class among simulated samples
    trunk_steps: int = 1_200  # steps in which the trunk, if any, learns the simulated classes
    trunk_real_steps: int = 500  # then also its own confident predictions on real glitches

    def __post_init__(self) -> None:
        for name in ("classes", "parameters"):
            value = getattr(self, name)
            require(value >= 0, f"guidance.{name} must not be negative, but is {value}.")
        for name, least in (("trunk_steps", 1), ("trunk_real_steps", 0)):
            value = getattr(self, name)
            require(value >= least, f"guidance.{name} must be at least {least}, but is {value}.")
        require(
            0 <= self.unnamed_share < 1,
            f"guidance.unnamed_share must lie in [0, 1), but is {self.unnamed_share}.",
        )


@dataclass(frozen=True)
class LooksConfig:
    """Augmentation of a glitch; the features of every augmented copy ("look") are computed once."""

    real_looks: int = 8  # of each real glitch; the first is not augmented
    shift_pixels: int = 8  # largest shift in time, either way
    energy_scale: float = 1.25  # energies are multiplied by up to this, or divided by it
    several_views_share: float = (
        0.3  # fraction of glitches with more than one input view, if they have several
    )
    other_view_share: float = (
        0.3  # fraction of glitches whose target view may differ from the input view
    )
    feature_noise: float = 0.02  # standard deviation; features have mean square 1

    def __post_init__(self) -> None:
        require(self.real_looks >= 1, f"looks.real_looks must be positive, not {self.real_looks}.")
        require(
            0 <= self.shift_pixels <= 16,
            f"looks.shift_pixels must lie in 0..16, but is {self.shift_pixels}.",
        )
        require(
            self.energy_scale >= 1,
            f"looks.energy_scale must be at least 1, but is {self.energy_scale}.",
        )
        for name in ("several_views_share", "other_view_share"):
            value = getattr(self, name)
            require(0 <= value <= 1, f"looks.{name} must lie in [0, 1], but is {value}.")
        require(
            self.feature_noise >= 0,
            f"looks.feature_noise must not be negative, but is {self.feature_noise}.",
        )


@dataclass(frozen=True)
class GuidedConfig:
    """A run of the scattering model."""

    __pydantic_config__ = STRICT

    name: str
    seed: int = 0
    architecture: ScatteringArchitecture = field(default_factory=ScatteringArchitecture)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    guidance: GuidanceConfig = field(default_factory=GuidanceConfig)
    looks: LooksConfig = field(default_factory=LooksConfig)
    data: DataConfig = field(default_factory=DataConfig)
    is_painted: bool = True  # fit the picture decoder; otherwise pictures are empty
    hidden_class: str | None = None  # a label that is left out of training, real and simulated
    log: LogConfig = field(default_factory=LogConfig)

    def __post_init__(self) -> None:
        require(
            bool(self.name) and self.name.replace("-", "").replace("_", "").isalnum(),
            f"name must be letters, digits, - and _, but is {self.name!r}.",
        )
        require(self.seed >= 0, f"seed must not be negative, but is {self.seed}.")
        require(
            not self.architecture.classes and not self.architecture.parameters,
            "architecture.classes and architecture.parameters follow from the simulated pack: "
            "leave them out.",
        )
        require(
            self.data.simulated is not None or not (self.guidance.classes or self.is_parametric),
            "guidance needs data.simulated: give a pack made by simulate-pack, or set "
            "guidance.classes and guidance.parameters to 0.",
        )

        require(
            self.data.simulated is not None or not self.architecture.trunk,
            "architecture.trunk learns from data.simulated: give a pack made by simulate-pack, or "
            "set architecture.trunk to 0.",
        )

    @property
    def is_parametric(self) -> bool:
        """Whether the model predicts parameters of simulated glitches."""
        return self.guidance.parameters > 0
