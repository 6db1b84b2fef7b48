"""The device of a training: CPU or GPU.

The data, random numbers and initial weights of a run are generated on the CPU in both cases, so a
GPU uses the same batches. Only rounding differs: a run is reproducible bit for bit on one kind of
device.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from glitch.errors import GlitchError

CPU = torch.device("cpu")


def device_named(name: str) -> torch.device:
    """Return the device with this torch name ("cpu", "cuda", "cuda:1").

    Raises:
        GlitchError: if it is not a device, or not available on this machine.
    """
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:  # torch without CUDA asserts
        raise GlitchError(
            f"There is no device {name!r} here: leave --device out to train on the processor, or "
            "install the build of torch for this machine's GPU and driver."
        ) from error
    return device


def device_of(model: nn.Module) -> torch.device:
    """Return the device of the model's weights."""
    return next(model.parameters()).device


@contextmanager
def on_host(model: nn.Module) -> Iterator[None]:
    """Keep the model's weights on the CPU within the context, then move them back."""
    device = device_of(model)
    model.to(CPU)
    try:
        yield
    finally:
        model.to(device)
