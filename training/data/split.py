"""The data of a configuration, split by group."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from glitch.views import Preprocessing
from training.data.config import DataConfig
from training.data.datasets import RealGlitches, read_real
from training.data.datasets.collected import TRAIN, VALIDATION
from training.data.pack import Pack, PackError, read_packs
from training.evaluation.probe import grouped_folds


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Training and validation data of a run; either may be absent."""

    real_train: Pack | None
    validation: Pack | None
    simulated: Pack | None


def split_real(pack: Pack, config: DataConfig) -> tuple[Pack, Pack]:
    """Split into (train, validation) of the configured fold; no group is on both sides."""
    folds = list(grouped_folds(pack.labels, pack.groups, config.n_folds, config.split_seed))
    train, validation = folds[config.validation_fold]
    return pack.subset(train), pack.subset(validation)


def split_glitches(glitches: RealGlitches, config: DataConfig) -> tuple[Pack, Pack | None]:
    """Split into (train, validation): by fold, or in the published parts of the data set.

    Raises:
        PackError: if the published split is requested, but is missing or has an empty part.
    """
    if config.split == "folds":
        return split_real(glitches.pack, config)
    if config.split == "none":
        return glitches.pack, None
    if glitches.parts is None:
        raise PackError(
            f"{config.real_images} has no published split: set data.split to folds, or put its "
            "metadata CSV with the column sample_type next to it."
        )
    parts = np.asarray(glitches.parts)
    sides: list[Pack] = []
    for part in (TRAIN, VALIDATION):
        chosen = np.nonzero(parts == part)[0]
        if len(chosen) == 0:
            raise PackError(
                f"{config.real_images} has no glitch in its part {part}: set data.split to folds."
            )
        sides.append(glitches.pack.subset(chosen))
    return sides[0], sides[1]


def read_glitches(
    config: DataConfig,
    preprocessing: Preprocessing | None = None,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> RealGlitches:
    """Read all real glitches of a configuration.

    Raises:
        PackError: if it has none, or they are missing or of another layout.
    """
    if config.real_images is None:
        raise PackError(
            "data.real_images is null, but real glitches are needed: give their folder or file."
        )
    strain = None if config.strain_folder is None else Path(config.strain_folder)
    return read_real(
        config.real_layout,
        Path(config.real_images),
        preprocessing,
        on_progress,
        strain_folder=strain,
    )


def load_data(
    config: DataConfig,
    preprocessing: Preprocessing | None = None,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
    *,
    glitches: RealGlitches | None = None,
) -> TrainingData:
    """Read the data of a configuration.

    Args:
        config: names the data.
        preprocessing: recipe of the views; by default the current one.
        on_progress: called with the number of pictures read and the total.
        glitches: the real glitches, if they were read before.

    Raises:
        PackError: if the pictures or the pack are missing or unusable.
    """
    recipe = preprocessing or Preprocessing()
    real_train = validation = simulated = None
    if config.simulated is not None:
        folders = (config.simulated, *config.more_simulated)
        simulated = read_packs(map(Path, folders), recipe)
    if config.real_images is not None:
        real = glitches or read_glitches(config, recipe, on_progress)
        real_train, validation = split_glitches(real, config)
    return TrainingData(real_train, validation, simulated)
