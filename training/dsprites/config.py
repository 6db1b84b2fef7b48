"""The configuration of a run on single pictures."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from training.core.config import (
    STRICT,
    LogConfig,
    ObjectiveConfig,
    OptimiserConfig,
    build_from_mapping,
    read_yaml,
    require,
)
from training.dsprites.architecture import PictureArchitecture


def reference_optimiser() -> OptimiserConfig:
    """Return the reference study's optimiser: Adam at 1e-4, batch 64, 300,000 steps."""
    return OptimiserConfig(
        learning_rate=1e-4,
        batch_size=64,
        steps=300_000,
        warmup_steps=0,
        final_factor=1.0,
        gradient_clip=float("inf"),
    )


@dataclass(frozen=True)
class PictureConfig:
    """A run on single pictures. It can only be continued on the set named by ``data``."""

    __pydantic_config__ = STRICT

    name: str
    data: str
    seed: int = 0
    architecture: PictureArchitecture = field(default_factory=PictureArchitecture)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    optimiser: OptimiserConfig = field(default_factory=reference_optimiser)
    log: LogConfig = field(default_factory=lambda: LogConfig(100, 1_000_000, 2_000))

    def __post_init__(self) -> None:
        require(
            bool(self.name) and self.name.replace("-", "").replace("_", "").isalnum(),
            f"name must be letters, digits, - and _, but is {self.name!r}.",
        )
        require(self.seed >= 0, f"seed must not be negative, but is {self.seed}.")


def load_picture_config(path: Path) -> PictureConfig:
    """Read the configuration saved by a run on pictures.

    Raises:
        ConfigError: if the file is missing, is not YAML, or is not of a run on pictures.
    """
    return build_from_mapping(PictureConfig, read_yaml(path))
