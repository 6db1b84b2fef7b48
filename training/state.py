"""The state of a run on disk: safetensors, written whole or not at all, exact to resume."""

from __future__ import annotations

import json
import os
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from glitch.errors import CheckpointError
from glitch.model import ViewsVAE

STATE_FILE = "state.safetensors"


def save_state(
    path: Path, model: ViewsVAE, optimiser: torch.optim.Optimizer, step: int, best: float
) -> None:
    """Writes weights, Adam's moments, the step and the best selection score, atomically."""
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    for index, moments in optimiser.state_dict()["state"].items():
        for name, value in moments.items():
            tensors[f"optimiser.{index}.{name}"] = torch.as_tensor(value)
    contiguous = {name: value.detach().contiguous() for name, value in tensors.items()}
    # One entry: the library does not keep the order of several, and equal states are equal files.
    metadata = {"progress": json.dumps({"step": step, "best": best})}
    partial = path.with_suffix(".partial")
    save_file(contiguous, str(partial), metadata)
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.replace(path)


def load_state(
    path: Path, model: ViewsVAE, optimiser: torch.optim.Optimizer | None
) -> tuple[int, float]:
    """Restores what :func:`save_state` wrote into ``model`` and ``optimiser``, in place.

    Returns:
        The steps done and the best selection score so far.

    Raises:
        CheckpointError: if the file is missing, damaged, or of another architecture.
    """
    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
            tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
        progress = json.loads(metadata["progress"])
        step, best = int(progress["step"]), float(progress["best"])
    except FileNotFoundError:
        raise CheckpointError(f"There is no training state {path} to continue from.") from None
    except (SafetensorError, KeyError, ValueError) as error:
        raise CheckpointError(
            f"The training state {path} is damaged: start the run anew in another folder."
        ) from error
    weights = {
        name.removeprefix("model."): value
        for name, value in tensors.items()
        if name.startswith("model.")
    }
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise CheckpointError(
            f"The training state {path} is of another architecture than the configuration's."
        ) from error
    if optimiser is not None:
        moments: dict[int, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            if name.startswith("optimiser."):
                _, index, key = name.split(".")
                moments.setdefault(int(index), {})[key] = value
        state = optimiser.state_dict()
        optimiser.load_state_dict({**state, "state": moments})
    return step, best
