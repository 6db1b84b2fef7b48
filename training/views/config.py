"""The configuration of one run on views."""

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
    """Where the pixel variance of each view and frequency row comes from.

    ``closed_form`` is the mean square residual, a running mean over steps: the variance of highest
    likelihood, so that beta = 1 is the evidence bound. ``learnt`` is by the common optimiser, whose
    pace leaves it half as large again for thousands of steps; runs of versions that knew nothing
    else are continued so. ``fixed`` shows what the scale of the likelihood does. ``bernoulli`` has
    no variance: what is decoded are logits of energies in [0, 1], as in the reference study of
    dSprites; such a run is for its vectors, its decoded pictures are no energies.
    """

    kind: str = "learnt"
    fixed: float = 0.01  # of an energy over the clip, where kind is fixed
    memory: float = 0.99  # of the running mean: what remains of it after one more step

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
        """How far the running mean goes towards the batch of a step; 0 where nothing follows."""
        # The first batches are averaged evenly: nothing earlier is worth remembering.
        return max(1 - self.memory, 1 / (step + 1)) if self.kind == "closed_form" else 0.0


@dataclass(frozen=True)
class TrainingConfig:
    """One run."""

    __pydantic_config__ = STRICT

    name: str
    seed: int = 0
    initialise_from: str | None = None  # run folder whose weights this run starts with
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
    """The configuration in a YAML file: of the scattering model where a front end is named.

    Raises:
        ConfigError: if the file is missing, is no YAML mapping, or holds an unknown or impossible
            entry; the message names it.
    """
    return config_from_mapping(read_yaml(path))


def config_from_mapping(content: object) -> AnyConfig:
    """The configuration in a parsed YAML document, for example a saved one."""
    architecture = content.get("architecture") if isinstance(content, dict) else None
    if isinstance(architecture, dict) and "front_end" in architecture:
        return build_from_mapping(GuidedConfig, content)
    return build_from_mapping(TrainingConfig, content)
