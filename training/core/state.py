"""The state of a run on disk: safetensors, written atomically, sufficient to resume exactly."""

from __future__ import annotations

import json
import os
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from glitch.errors import CheckpointError
from training.core.objectives import Discriminator

STATE_FILE = "state.safetensors"


def save_state(  # noqa: PLR0917 - the parts of a run
    path: Path,
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    step: int,
    best: float,
    discriminator: Discriminator | None = None,
) -> None:
    """Write weights, Adam's moments, the step and the best selection score, atomically.

    A FactorVAE's discriminator is saved with its own weights and moments.

    Raises:
        CheckpointError: if it cannot be written, for example on a full disk; an earlier state at
            this path stays intact.
    """
    tensors = _tensors_of("", model, optimiser)
    if discriminator is not None:
        tensors |= _tensors_of("discriminator.", discriminator, discriminator.optimiser)
    contiguous = {name: value.detach().contiguous() for name, value in tensors.items()}
    # A single entry, because the library does not keep the order of several, and equal states must
    # give equal files.
    metadata = {"progress": json.dumps({"step": step, "best": best})}
    partial = path.with_suffix(".partial")
    try:
        save_file(contiguous, str(partial), metadata)
        with partial.open("rb") as file:
            os.fsync(file.fileno())
    except (OSError, SafetensorError) as error:
        partial.unlink(missing_ok=True)  # a partial file must not fill the disk further
        raise CheckpointError(
            f"The training state of step {step} could not be saved to {path} ({error}): free "
            "some space on that disk and start the same command again. The last saved state is "
            "intact, and the run continues from there."
        ) from error
    partial.replace(path)


def saved_step(path: Path) -> int:
    """Return the step of a saved state, 0 if there is none that can be read."""
    try:
        with safe_open(str(path), framework="pt") as file:
            return int(json.loads((file.metadata() or {})["progress"])["step"])
    except (OSError, SafetensorError, KeyError, ValueError):
        return 0


def load_state(
    path: Path,
    model: nn.Module,
    optimiser: torch.optim.Optimizer | None,
    discriminator: Discriminator | None = None,
) -> tuple[int, float]:
    """Restore the state written by :func:`save_state` into the arguments, in place.

    Args:
        path: of the state.
        model: of the architecture that was saved.
        optimiser: None to read only the weights.
        discriminator: only when a run that has one is to be continued.

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
            f"The training state {path} is damaged: start the run again in another folder."
        ) from error
    try:
        _restore("", tensors, model, optimiser)
        if discriminator is not None:
            _restore("discriminator.", tensors, discriminator, discriminator.optimiser)
    except RuntimeError as error:
        raise CheckpointError(
            f"The training state {path} is of another architecture than the configuration: use "
            "the configuration that it was trained with, or another folder."
        ) from error
    return step, best


def _tensors_of(
    prefix: str, model: nn.Module, optimiser: torch.optim.Optimizer
) -> dict[str, Tensor]:
    tensors = {f"{prefix}model.{name}": value for name, value in model.state_dict().items()}
    for index, moments in optimiser.state_dict()["state"].items():
        for name, value in moments.items():
            tensors[f"{prefix}optimiser.{index}.{name}"] = torch.as_tensor(value)
    return tensors


def _restore(
    prefix: str,
    tensors: dict[str, Tensor],
    model: nn.Module,
    optimiser: torch.optim.Optimizer | None,
) -> None:
    of_model, of_optimiser = f"{prefix}model.", f"{prefix}optimiser."
    model.load_state_dict(
        {
            name.removeprefix(of_model): value
            for name, value in tensors.items()
            if name.startswith(of_model)
        }
    )
    if optimiser is None:
        return
    weights = [weight for group in optimiser.param_groups for weight in group["params"]]
    moments: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith(of_optimiser):
            index, key = name.removeprefix(of_optimiser).split(".")
            # Fused Adam needs moments in the same memory layout as the weights; files have only one
            # layout.
            moments.setdefault(int(index), {})[key] = (
                torch.empty_like(weights[int(index)]).copy_(value) if value.dim() else value
            )
    optimiser.load_state_dict({**optimiser.state_dict(), "state": moments})
