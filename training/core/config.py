"""Configuration of all training runs: frozen dataclasses, parsed by pydantic, read from YAML.

An unknown key or an impossible value is reported by its dotted name before training starts. The
configuration is saved with the weights. Later versions continue a run too, so the default of a new
key must mean the behaviour before the key existed.
"""

from __future__ import annotations

import dataclasses
import json
import math
import typing
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from glitch.errors import GlitchError
from training.core.objectives import OBJECTIVES, Objective


class ConfigError(GlitchError):
    """A configuration has an unknown key or an impossible value."""


# For every configuration: unknown keys are refused, and text is not converted to numbers.
STRICT = ConfigDict(extra="forbid", strict=True)


def require(holds: bool, sentence: str) -> None:
    """Raise a configuration error with the sentence unless ``holds``."""
    if not holds:
        raise ConfigError(sentence)


@dataclass(frozen=True)
class ObjectiveConfig:
    """The objective and its parameters."""

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
        """Build the objective."""
        return OBJECTIVES[self.kind](**self.parameters)  # type: ignore[arg-type]


@dataclass(frozen=True)
class OptimiserConfig:
    """Adam with warm-up, half a cosine, and a clipped gradient."""

    learning_rate: float = 1e-3
    batch_size: int = 64
    steps: int = 10_000
    warmup_steps: int = 200
    final_factor: float = 0.02  # last learning rate / first learning rate
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


@dataclass(frozen=True)
class LogConfig:
    """How often a run logs, evaluates and saves, in steps."""

    log_every: int = 50
    evaluate_every: int = 1_000
    save_every: int = 500

    def __post_init__(self) -> None:
        for name in ("log_every", "evaluate_every", "save_every"):
            value = getattr(self, name)
            require(value > 0, f"log.{name} must be positive, but is {value}.")


def read_yaml(path: Path) -> object:
    """Parse a YAML file.

    Raises:
        ConfigError: if the file is missing or is not YAML.
    """
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"There is no configuration file {path}.") from None
    except IsADirectoryError:
        raise ConfigError(f"{path} is a folder: give the YAML file itself.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not YAML: {error}") from error


def config_to_mapping(config: object) -> dict[str, object]:
    """Convert a configuration (any dataclass) to plain types for YAML and JSON."""
    return typing.cast(
        dict[str, object], _plain(dataclasses.asdict(typing.cast(typing.Any, config)))
    )


def differing_keys(saved: object, requested: object) -> list[str]:
    """Describe the differences between two configurations of one type, by dotted name.

    An objective's parameters are compared with their defaults, like all other keys: leaving a
    parameter out is the same as giving its default.
    """
    saved_leaves, new_leaves = (dict(_leaves(_completed(one), "")) for one in (saved, requested))
    return [
        f"{name} is {saved_leaves.get(name)} there and {new_leaves.get(name)} here"
        for name in {**saved_leaves, **new_leaves}
        if saved_leaves.get(name) != new_leaves.get(name)
    ]


def _completed(config: object) -> dict[str, object]:
    """Convert a configuration to a mapping, with the defaults of its objective's parameters."""
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


def build_from_mapping(kind: type[Built], content: object) -> Built:
    """Build a (nested) frozen dataclass from a mapping; text is not converted to numbers.

    ``kind`` has ``__pydantic_config__ = STRICT``, which also applies to the dataclasses inside it.

    Raises:
        ConfigError: with a sentence for each invalid entry, by its dotted name.
    """
    try:
        # As JSON, because its strict mode accepts mappings for dataclasses and lists for tuples.
        return TypeAdapter(kind).validate_json(json.dumps(content, default=str))
    except ValidationError as error:
        problems = [_sentence(kind, one) for one in error.errors(include_url=False)]
        raise ConfigError(" ".join(dict.fromkeys(problems))) from error


_TYPES = {
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "text",
    "tuple_type": "a list",
    "dict_type": "a mapping of names to values",
    "dataclass_type": "a mapping of names to values",
}


def _sentence(kind: type[object], error: ErrorDetails) -> str:
    """Describe what is wrong with one entry of the YAML file."""
    place, value, problem = error["loc"], error["input"], error["type"]
    name = ".".join(str(part) for part in place)
    if problem == "unexpected_keyword_argument":
        owner = ".".join(str(part) for part in place[:-1])
        known_keys = ", ".join(_names_at(kind, place[:-1]))
        return f"{name} is unknown: {owner or 'the configuration'} has {known_keys}."
    if problem == "missing":
        return f"{'.'.join(map(str, place[:-1])) or 'The configuration'} lacks {place[-1]!r}."
    if problem in _TYPES:
        advice = " (YAML reads 1e-3 as text: write 1.0e-3)" if _is_exponent(problem, value) else ""
        return f"{name or 'The configuration'} must be {_TYPES[problem]}, but is {value!r}{advice}."
    reason = error.get("ctx", {}).get("error")
    if isinstance(reason, ConfigError):
        return str(reason)  # it already names the entry
    return f"{name or 'The configuration'}: {reason or error['msg']}"


def _names_at(kind: type[object], place: Sequence[int | str]) -> list[str]:
    """List the fields of the dataclass at a place."""
    for part in place:
        kind = typing.get_type_hints(kind)[str(part)]
    return [entry.name for entry in dataclasses.fields(typing.cast(typing.Any, kind))]


def _is_exponent(problem: str, value: object) -> bool:
    """Whether a value is a number with an exponent that YAML reads as text for lack of a point."""
    if problem != "float_type" or not isinstance(value, str) or "e" not in value.lower():
        return False
    try:
        float(value)
    except ValueError:
        return False
    return True
