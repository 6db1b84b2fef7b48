"""The part of a configuration on training data and their augmentation."""

from __future__ import annotations

from dataclasses import dataclass

from training.core.config import require
from training.data.datasets import READERS

SPLITS = ("folds", "published", "none")


@dataclass(frozen=True)
class DataConfig:
    """Sources of the samples and their proportions. Paths are relative to the working folder."""

    real_images: str | None = "../shared/data/gravityspy_images"  # folder or file
    real_layout: str = "manifest"  # layout of real_images: a key of training.data.datasets.READERS
    strain_folder: str | None = None  # for trigger_rows: strain is read from here, or stored here
    # "folds"; "published": the data set's own train and validation parts; "none": train on all, for
    # a checkpoint whose configuration was evaluated on folds before
    split: str = "folds"
    simulated: str | None = None  # folder of a pack made by ``simulate-pack``
    more_simulated: tuple[str, ...] = ()  # further such packs, of other seeds
    real_share: float = 0.5  # fraction of real glitches in each batch, if both are given
    anchor_glitches: int = 4_000  # glitches for the fit of the linear part; 0 leaves it out
    n_folds: int = 3  # one fold of the real groups is held out for validation
    validation_fold: int = 0
    split_seed: int = 0

    def __post_init__(self) -> None:
        require(
            self.real_images is not None or self.simulated is not None,
            "data.real_images and data.simulated are both null: give at least one.",
        )
        require(
            self.simulated is not None or not self.more_simulated,
            "data.more_simulated needs data.simulated: give the first pack there.",
        )
        require(
            self.real_layout in READERS,
            f"data.real_layout is {self.real_layout!r}, which is none of {', '.join(READERS)}.",
        )
        require(
            self.split in SPLITS,
            f"data.split is {self.split!r}, which is none of {', '.join(SPLITS)}.",
        )
        require(
            self.strain_folder is None or READERS[self.real_layout].takes_strain,
            f"data.strain_folder is given, but data.real_layout {self.real_layout} does not "
            "use strain: leave it out.",
        )
        require(
            0 <= self.real_share <= 1,
            f"data.real_share must lie in [0, 1], but is {self.real_share}.",
        )
        require(
            self.anchor_glitches >= 0,
            f"data.anchor_glitches must not be negative, but is {self.anchor_glitches}.",
        )
        require(self.n_folds >= 2, f"data.n_folds must be at least 2, but is {self.n_folds}.")
        require(
            0 <= self.validation_fold < self.n_folds,
            f"data.validation_fold must lie in 0..{self.n_folds - 1}, "
            f"but is {self.validation_fold}.",
        )


@dataclass(frozen=True)
class AugmentationConfig:
    """Random differences between two uses of the same glitch."""

    single_view_share: float = (
        0.4  # fraction of glitches of which the encoder gets one view and the decoder predicts all
    )
    some_views_share: float = 0.2  # fraction of glitches of which the encoder gets a random subset
    owed_views: int = 2  # random targets per step, weighted so that the sum is unbiased
    shift_pixels: int = 2  # largest shift in time, either way, drawn for each view
    energy_scale: float = 1.2  # energies are multiplied by up to this, or divided by it

    def __post_init__(self) -> None:
        for name in ("single_view_share", "some_views_share"):
            value = getattr(self, name)
            require(0 <= value <= 1, f"augmentation.{name} must lie in [0, 1], but is {value}.")
        require(
            self.single_view_share + self.some_views_share <= 1,
            "augmentation.single_view_share and some_views_share must not exceed 1 together.",
        )
        require(
            self.owed_views >= 1,
            f"augmentation.owed_views must be at least 1, but is {self.owed_views}.",
        )
        require(
            0 <= self.shift_pixels <= 16,
            f"augmentation.shift_pixels must lie in 0..16, but is {self.shift_pixels}.",
        )
        require(
            self.energy_scale >= 1,
            f"augmentation.energy_scale must be at least 1, but is {self.energy_scale}.",
        )


PLAIN = AugmentationConfig(shift_pixels=0, energy_scale=1.0)  # without augmentation
