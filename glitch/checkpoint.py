"""Checkpoints: a folder of ``model.safetensors`` and ``manifest.json``. No pickle, ever."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from glitch.errors import CheckpointError, GlitchError
from glitch.model import AnyArchitecture, ViewsModel, architecture_kind, build_model
from glitch.views import Preprocessing

WEIGHTS_FILE, MANIFEST_FILE = "model.safetensors", "manifest.json"
FORMAT_VERSION = 1
Built = TypeVar("Built")
SHIPPED_NAME = "gravityspy-views-v3"
SHIPPED_BEFORE = ("gravityspy-views-v1", "gravityspy-views-v2")
MANIFEST_KEYS = (
    "format_version",
    "name",
    "architecture",
    "preprocessing",
    "preprocessing_digest",
    "weights_sha256",
    "training",
    "schedule",
    "metrics",
    "licence",
    "git_revision",
)


@dataclass(frozen=True)
class Manifest:
    """Metadata stored beside the weights of a checkpoint."""

    name: str
    architecture: AnyArchitecture
    preprocessing: Preprocessing
    weights_sha256: str
    training: Mapping[str, Any]  # training data and configuration of the run
    schedule: Mapping[str, Any]  # the objective and its parameters
    metrics: Mapping[str, Any]  # results of the evaluation before publication
    licence: str
    git_revision: str | None


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A loaded model in evaluation mode. Embeddings are keyed by ``digest``."""

    model: ViewsModel
    manifest: Manifest
    digest: str  # hex SHA-256 over weights, architecture and preprocessing


def shipped_checkpoint() -> Path:
    """Return the folder of the checkpoint that comes with this package."""
    return Path(__file__).parent / "data" / "checkpoints" / SHIPPED_NAME


def save_checkpoint(
    folder: Path,
    model: ViewsModel,
    *,
    name: str,
    preprocessing: Preprocessing,
    training: Mapping[str, Any],
    schedule: Mapping[str, Any],
    metrics: Mapping[str, Any],
    licence: str,
    git_revision: str | None = None,
    is_half_precision: bool = False,
) -> Manifest:
    """Write a checkpoint, with the manifest last, so that an incomplete checkpoint is never loaded.

    Args:
        folder: created if missing; an earlier checkpoint in it is replaced.
        model: the model whose weights are stored.
        name: the checkpoint's name.
        preprocessing: the preprocessing of the views that the model was trained on.
        training: summary of data and configuration, as plain JSON values.
        schedule: objective and its parameters, as plain JSON values.
        metrics: evaluation of exactly these weights, as plain JSON values.
        licence: SPDX expression for the weights.
        git_revision: revision of the code that trained it.
        is_half_precision: store float16, half the size; loading always gives float32.
    """
    folder.mkdir(parents=True, exist_ok=True)
    dtype = torch.float16 if is_half_precision else torch.float32
    weights = save({key: value.to(dtype).contiguous() for key, value in model.state_dict().items()})
    manifest = Manifest(
        name=name,
        architecture=cast(AnyArchitecture, model.architecture),
        preprocessing=preprocessing,
        weights_sha256=hashlib.sha256(weights).hexdigest(),
        training=training,
        schedule=schedule,
        metrics=metrics,
        licence=licence,
        git_revision=git_revision,
    )
    content = {
        "format_version": FORMAT_VERSION,
        "preprocessing_digest": preprocessing.digest(),
        **asdict(manifest),
    }
    text = json.dumps({key: content[key] for key in MANIFEST_KEYS}, indent=2, allow_nan=False)
    (folder / MANIFEST_FILE).unlink(missing_ok=True)
    _replace(folder / WEIGHTS_FILE, weights)
    _replace(folder / MANIFEST_FILE, (text + "\n").encode())
    return manifest


def load_checkpoint(folder: Path) -> Checkpoint:
    """Read and verify a checkpoint.

    Raises:
        CheckpointError: if a file is missing or damaged, or manifest and weights disagree; the
            message says which and what to do.
    """
    manifest, digest = _read_manifest(folder)
    weights = _read_bytes(folder, WEIGHTS_FILE)
    if hashlib.sha256(weights).hexdigest() != manifest.weights_sha256:
        raise CheckpointError(
            f"{folder / WEIGHTS_FILE} is damaged: its SHA-256 is not the manifest's. "
            "Copy the checkpoint again."
        )
    try:
        tensors = load(weights)
    except (SafetensorError, ValueError) as error:
        raise CheckpointError(
            f"{folder / WEIGHTS_FILE} is not a safetensors file. Export the checkpoint again."
        ) from error
    model = build_model(manifest.architecture)
    try:
        model.load_state_dict({key: value.float() for key, value in tensors.items()})
    except RuntimeError as error:
        raise CheckpointError(
            f"{folder / WEIGHTS_FILE} holds weights of another architecture than its manifest "
            "states. Export the checkpoint again with the code that trained it."
        ) from error
    if not all(bool(torch.isfinite(value).all()) for value in tensors.values()):
        raise CheckpointError(f"{folder / WEIGHTS_FILE} holds weights that are not finite.")
    model.eval().requires_grad_(requires_grad=False)
    return Checkpoint(model, manifest, digest)


def _digest(content: Mapping[str, Any]) -> str:
    """Hash the manifest as written in the file.

    The objects built from it may have fields that later releases add, and catalogues identify
    checkpoints by this digest.
    """
    key = {
        "weights": content["weights_sha256"],
        "architecture": content["architecture"],
        "preprocessing": content["preprocessing_digest"],
    }
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()


def _read_manifest(folder: Path) -> tuple[Manifest, str]:
    path = folder / MANIFEST_FILE
    text = _read_bytes(folder, MANIFEST_FILE)
    try:
        content = json.loads(text)
    except ValueError as error:
        raise CheckpointError(f"{path} is damaged: it is not JSON. Copy it again.") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} is damaged: it is not a JSON object. Copy it again.")
    if content.get("format_version") != FORMAT_VERSION:
        raise CheckpointError(
            f"{path} is of format {content.get('format_version')!r}, but this release reads "
            f"format {FORMAT_VERSION}: upgrade, or export the checkpoint again."
        )
    missing = [key for key in MANIFEST_KEYS if key not in content]
    if missing:
        raise CheckpointError(f"{path} lacks {', '.join(missing)}. Export the checkpoint again.")
    try:
        preprocessing = _build(Preprocessing, content["preprocessing"])
        manifest = Manifest(
            architecture=_build_architecture(content["architecture"]),
            preprocessing=preprocessing,
            **{
                field.name: content[field.name]
                for field in fields(Manifest)
                if field.name not in ("architecture", "preprocessing")
            },
        )
    except (TypeError, GlitchError) as error:
        raise CheckpointError(
            f"{path} describes an architecture or preprocessing that this release cannot build "
            f"({error}). Upgrade, or export the checkpoint again."
        ) from error
    if preprocessing.digest() != content["preprocessing_digest"]:
        raise CheckpointError(
            f"{path} is damaged: its preprocessing does not match its digest. Copy it again."
        )
    return manifest, _digest(content)


def _build_architecture(content: Any) -> AnyArchitecture:
    kind = architecture_kind(content if isinstance(content, dict) else {})
    return cast(AnyArchitecture, _build(kind, content))


def _build(kind: Callable[..., Built], content: Any) -> Built:
    if not isinstance(content, dict):
        raise TypeError(f"{kind} is not a JSON object")
    # JSON has no tuples, and equality of recipes (and their digest) must not depend on that.
    return kind(
        **{
            key: tuple(value) if isinstance(value, list) else value
            for key, value in content.items()
        }
    )


def _read_bytes(folder: Path, name: str) -> bytes:
    try:
        return (folder / name).read_bytes()
    except OSError as error:
        raise CheckpointError(
            f"The checkpoint {folder} has no readable {name}: give a folder that holds "
            f"{WEIGHTS_FILE} and {MANIFEST_FILE}."
        ) from error


def _replace(path: Path, content: bytes) -> None:
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
