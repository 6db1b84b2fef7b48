"""The data a configuration asks for, split by group."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from glitch.views import Preprocessing
from training.config import DataConfig
from training.pack import Pack, read_pack
from training.probe import grouped_folds
from training.real_images import read_real_images


@dataclass(frozen=True, eq=False)
class TrainingData:
    """What a run learns from and what it is judged on; either may be absent."""

    real_train: Pack | None
    validation: Pack | None
    simulated: Pack | None


def split_real(pack: Pack, config: DataConfig) -> tuple[Pack, Pack]:
    """(train, validation) of the configured fold; no group is on both sides."""
    folds = list(grouped_folds(pack.labels, pack.groups, config.n_folds, config.split_seed))
    train, validation = folds[config.validation_fold]
    return pack.subset(train), pack.subset(validation)


def load_data(
    config: DataConfig,
    preprocessing: Preprocessing | None = None,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> TrainingData:
    """Reads what the configuration names.

    Raises:
        PackError: if the pictures or the pack are missing or unusable.
    """
    recipe = preprocessing or Preprocessing()
    real_train = validation = simulated = None
    if config.simulated is not None:
        simulated = read_pack(Path(config.simulated), recipe)
    if config.real_images is not None:
        pack = read_real_images(Path(config.real_images), recipe, on_progress)
        real_train, validation = split_real(pack, config)
    return TrainingData(real_train, validation, simulated)
