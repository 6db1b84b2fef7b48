"""The configuration of one training run: frozen, validated, read from YAML.

A key that does not exist, or a value that cannot be, is refused by its dotted name before any
time is spent. The configuration is saved beside the weights. A run is continued by later versions
too: a new key's default must be what was done before there was the key.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from glitch.errors import GlitchError
from glitch.model import Architecture
from training.core.objectives import OBJECTIVES, Objective
from training.data.datasets import READERS


class ConfigError(GlitchError):
    """A configuration names something unknown or impossible."""


def require(holds: bool, sentence: str) -> None:
    """Refuses a configuration with the sentence, unless ``holds``."""
    if not holds:
        raise ConfigError(sentence)


@dataclass(frozen=True)
class ObjectiveConfig:
    """Which objective, and its own parameters."""

    kind: str = "beta_annealed"
    parameters: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require(
            self.kind in OBJECTIVES,
            f"objective.kind is {self.kind!r}, which is none of {', '.join(sorted(OBJECTIVES))}.",
        )
        known = {entry.name for entry in dataclasses.fields(OBJECTIVES[self.kind])}
        for name in self.parameters:
            require(
                name in known,
                f"objective.parameters.{name} is unknown: "
                f"{self.kind} has {', '.join(sorted(known))}.",
            )
        self.build()

    def build(self) -> Objective:
        """The objective itself."""
        return OBJECTIVES[self.kind](**self.parameters)  # type: ignore[arg-type]


@dataclass(frozen=True)
class OptimiserConfig:
    """Adam with warm-up, half a cosine, and a clipped gradient."""

    learning_rate: float = 1e-3
    batch_size: int = 64
    steps: int = 10_000
    warmup_steps: int = 200
    final_factor: float = 0.02  # the last learning rate over the first
    gradient_clip: float = 2_000.0  # Euclidean norm; the loss is a sum over thousands of pixels
    is_half_precision: bool = True  # bfloat16 convolutions, channels last; weights stay float32

    def __post_init__(self) -> None:
        for name in ("learning_rate", "batch_size", "steps", "gradient_clip"):
            value = getattr(self, name)
            require(value > 0, f"optimiser.{name} must be positive, but is {value}.")
        require(
            math.isfinite(self.learning_rate),
            f"optimiser.learning_rate must be finite, but is {self.learning_rate}.",
        )
        require(
            0 <= self.warmup_steps <= self.steps,
            f"optimiser.warmup_steps must lie in 0..{self.steps}, but is {self.warmup_steps}.",
        )
        require(
            0 <= self.final_factor <= 1,
            f"optimiser.final_factor must lie in [0, 1], but is {self.final_factor}.",
        )


SPLITS = ("folds", "published")


@dataclass(frozen=True)
class DataConfig:
    """Where samples come from and in what proportion. Paths are relative to the working folder."""

    real_images: str | None = "../shared/data/gravityspy_images"  # folder or file
    real_layout: str = "manifest"  # of real_images: key of training.data.datasets.READERS
    strain_folder: str | None = None  # for trigger_rows: strain that is there, or is kept there
    split: str = "folds"  # "folds", or "published": the data set's own train and validation parts
    simulated: str | None = None  # folder of a cache made by ``simulate-cache``
    real_share: float = 0.5  # of each batch, where both are given
    anchor_glitches: int = 4_000  # fit the linear part first; 0 leaves it out
    n_folds: int = 3  # one fold of the real groups is held out for validation
    validation_fold: int = 0
    split_seed: int = 0

    def __post_init__(self) -> None:
        require(
            self.real_images is not None or self.simulated is not None,
            "data.real_images and data.simulated are both null: give at least one.",
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
            f"data.strain_folder is given, but data.real_layout {self.real_layout} takes none: "
            "it needs no strain.",
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
    """What varies between two looks at the same glitch."""

    single_view_share: float = 0.4  # the encoder sees one view, the decoder owes all of them
    some_views_share: float = 0.2  # the encoder sees a random subset
    owed_views: int = 2  # painted in a step, at random; weighted so that the sum is unbiased
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


@dataclass(frozen=True)
class LogConfig:
    """How often a run looks at itself and saves itself, in steps."""

    log_every: int = 50
    evaluate_every: int = 1_000
    save_every: int = 500

    def __post_init__(self) -> None:
        for name in ("log_every", "evaluate_every", "save_every"):
            value = getattr(self, name)
            require(value > 0, f"log.{name} must be positive, but is {value}.")


@dataclass(frozen=True)
class TrainingConfig:
    """One run."""

    name: str
    seed: int = 0
    initialise_from: str | None = None  # run folder whose weights this run starts with
    architecture: Architecture = field(default_factory=Architecture)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    data: DataConfig = field(default_factory=DataConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    log: LogConfig = field(default_factory=LogConfig)

    def __post_init__(self) -> None:
        require(
            bool(self.name) and self.name.replace("-", "").replace("_", "").isalnum(),
            f"name must be letters, digits, - and _, but is {self.name!r}.",
        )
        require(self.seed >= 0, f"seed must not be negative, but is {self.seed}.")


def load_config(path: Path) -> TrainingConfig:
    """The configuration in a YAML file.

    Raises:
        ConfigError: if the file is missing, is no YAML mapping, or holds an unknown or impossible
            entry; the message names it.
    """
    return config_from_mapping(read_yaml(path))


def read_yaml(path: Path) -> object:
    """A parsed YAML document.

    Raises:
        ConfigError: if the file is missing or no YAML.
    """
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"There is no configuration file {path}.") from None
    except IsADirectoryError:
        raise ConfigError(f"{path} is a folder: give the YAML file itself.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not YAML: {error}") from error


def config_from_mapping(content: object) -> TrainingConfig:
    """The configuration in a parsed YAML document, for example a saved one."""
    return build_from_mapping(TrainingConfig, content, "")


def config_to_mapping(config: object) -> dict[str, object]:
    """A configuration (any dataclass) in plain types that YAML and JSON can hold."""
    return typing.cast(
        dict[str, object], _plain(dataclasses.asdict(typing.cast(typing.Any, config)))
    )


def differing_keys(saved: object, wanted: object) -> list[str]:
    """What differs between two configurations of one kind, in words, by dotted name.

    An objective's parameters count with their defaults, like all other keys: a configuration that
    leaves one out is that of a run which spelt the default.
    """
    there, here = (dict(_leaves(_completed(one), "")) for one in (saved, wanted))
    return [
        f"{name} is {there.get(name)} there and {here.get(name)} here"
        for name in {**there, **here}
        if there.get(name) != here.get(name)
    ]


def _completed(config: object) -> dict[str, object]:
    """The mapping of a configuration with its objective's parameters all spelt out."""
    mapping = config_to_mapping(config)
    for entry in dataclasses.fields(typing.cast(typing.Any, config)):
        value = getattr(config, entry.name)
        if isinstance(value, ObjectiveConfig):
            mapping[entry.name] = {"kind": value.kind} | config_to_mapping(value.build())
    return mapping


def _leaves(mapping: dict[str, object], prefix: str) -> typing.Iterator[tuple[str, object]]:
    for key, value in mapping.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(entry) for entry in value]
    return value


Built = typing.TypeVar("Built")


def build_from_mapping(kind: type[Built], content: object, where: str) -> Built:
    """A (nested) dataclass from a mapping, refusing by dotted name what does not belong."""
    if not isinstance(content, dict):
        raise ConfigError(f"{where or 'The configuration'} must be a mapping of names to values.")
    hints = typing.get_type_hints(kind)
    known = [entry.name for entry in dataclasses.fields(typing.cast(typing.Any, kind))]
    prefix = f"{where}." if where else ""
    for name in content:
        require(
            name in known,
            f"{prefix}{name} is unknown: {where or 'the configuration'} has {', '.join(known)}.",
        )
    values = {name: _convert(hints[name], entry, prefix + name) for name, entry in content.items()}
    try:
        return kind(**values)
    except TypeError as error:
        missing = str(error).split("argument")[-1].lstrip("s: ")
        raise ConfigError(f"{where or 'The configuration'} lacks {missing}.") from error
    except ConfigError:
        raise
    except GlitchError as error:
        raise ConfigError(f"{where}: {error}") from error


def _convert(hint: typing.Any, value: object, where: str) -> object:  # noqa: PLR0911 - a table
    """The value as the annotated type, refusing what YAML read as something else."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None:
            return None
        return _convert(next(one for one in arguments if one is not type(None)), value, where)
    if dataclasses.is_dataclass(hint):
        return build_from_mapping(typing.cast(type[object], hint), value, where)
    if origin is tuple and isinstance(value, list | tuple):
        return tuple(_convert(arguments[0], entry, where) for entry in value)
    if origin is dict and isinstance(value, dict):
        return {
            key: _convert(arguments[1], entry, f"{where}.{key}") for key, entry in value.items()
        }
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        # Step counts among an objective's parameters stay whole.
        return value
    if hint in (int, bool, str) and type(value) is hint:
        return value
    wanted = getattr(hint, "__name__", str(hint))
    advice = " (YAML reads 1e-3 as text: write 1.0e-3)" if _is_exponent(hint, value) else ""
    raise ConfigError(f"{where} must be of type {wanted}, but is {value!r}{advice}.")


def _is_exponent(hint: object, value: object) -> bool:
    """Whether a number was meant whose mantissa YAML wants with a point."""
    return hint is float and isinstance(value, str) and "e" in value.lower() and _is_number(value)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
