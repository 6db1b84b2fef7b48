"""The configuration of a run on views."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from glitch.model import Architecture
from training.core.config import (
    STRICT,
    LogConfig,
    ObjectiveConfig,
    OptimiserConfig,
    build_from_mapping,
    read_yaml,
    require,
)
from training.data.config import AugmentationConfig, DataConfig
from training.views.guided_config import GuidedConfig

VARIANCES = ("learnt", "closed_form", "fixed", "bernoulli")


@dataclass(frozen=True)
class VarianceConfig:
    """How the pixel variance of each view and frequency row is determined.

    ``closed_form`` is the mean squared residual, a running mean over steps: the variance of maximum
    likelihood, so that beta = 1 is the evidence bound. ``learnt`` uses the common optimiser, which
    leaves it 50 % too large for thousands of steps; it is kept to continue runs of early versions.
    ``fixed`` shows the effect of the scale of the likelihood. ``bernoulli`` has no variance: the
    decoder's output are logits of energies in [0, 1], as in the reference study of dSprites; such a
    run is useful only for its vectors, because its decoded pictures are not energies.
    """

    kind: str = "learnt"
    fixed: float = 0.01  # variance of energy divided by the clip, if kind is fixed
    memory: float = 0.99  # fraction of the running mean that remains after a step

    def __post_init__(self) -> None:
        require(
            self.kind in VARIANCES,
            f"variance.kind is {self.kind!r}, which is none of {', '.join(VARIANCES)}.",
        )
        require(
            1e-5 <= self.fixed <= 1, f"variance.fixed must lie in [1e-5, 1], but is {self.fixed}."
        )
        require(0 <= self.memory < 1, f"variance.memory must lie in [0, 1), but is {self.memory}.")

    def share(self, step: int) -> float:
        """Return the weight of a step's batch in the running mean; 0 without a running mean."""
        # The first batches are averaged with equal weights, because the initial value is arbitrary.
        return max(1 - self.memory, 1 / (step + 1)) if self.kind == "closed_form" else 0.0


@dataclass(frozen=True)
class TrainingConfig:
    """A run of the convolutional model."""

    __pydantic_config__ = STRICT

    name: str
    seed: int = 0
    initialise_from: str | None = None  # folder of the run that provides the initial weights
    architecture: Architecture = field(default_factory=Architecture)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    variance: VarianceConfig = field(default_factory=VarianceConfig)
    data: DataConfig = field(default_factory=DataConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    log: LogConfig = field(default_factory=LogConfig)

    def __post_init__(self) -> None:
        require(
            bool(self.name) and self.name.replace("-", "").replace("_", "").isalnum(),
            f"name must be letters, digits, - and _, but is {self.name!r}.",
        )
        require(self.seed >= 0, f"seed must not be negative, but is {self.seed}.")


AnyConfig = TrainingConfig | GuidedConfig


def load_config(path: Path) -> AnyConfig:
    """Read a configuration from YAML: of the scattering model if it has a front end.

    Raises:
        ConfigError: if the file is missing, is not a YAML mapping, or has an unknown or impossible
            entry; the message names it.
    """
    return config_from_mapping(read_yaml(path))


def config_from_mapping(content: object) -> AnyConfig:
    """Build the configuration from a parsed YAML document, for example a saved one."""
    architecture = content.get("architecture") if isinstance(content, dict) else None
    if isinstance(architecture, dict) and "front_end" in architecture:
        return build_from_mapping(GuidedConfig, content)
    return build_from_mapping(TrainingConfig, content)
