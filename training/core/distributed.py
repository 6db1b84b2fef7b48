"""Several processes of one run (``torchrun``).

Batches, random numbers and initial weights are functions of (seed, step), so all processes agree on
them without communication. Only the first process evaluates, logs and saves.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor


@contextmanager
def process_group() -> Iterator[None]:
    """Join the processes started by ``torchrun``; do nothing without it."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    dist.init_process_group("gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def n_processes() -> int:
    """Return the number of processes that share the run."""
    return dist.get_world_size() if dist.is_initialized() else 1


def is_first() -> bool:
    """Whether this process evaluates, logs and saves."""
    return not dist.is_initialized() or dist.get_rank() == 0


def wait_for_all() -> None:
    """Wait until every process has reached this point."""
    if dist.is_initialized():
        dist.barrier()


def any_process(flag: bool) -> bool:
    """Whether the flag is set in any process, so that all stop after the same step."""
    if not dist.is_initialized():
        return flag
    shared = torch.tensor([int(flag)])
    dist.all_reduce(shared, dist.ReduceOp.MAX)
    return bool(shared.item())


def with_others(own: Tensor) -> Tensor:
    """Concatenate the parts of all processes in order; only this process's part has a gradient.

    DDP divides the sum of gradients by the number of processes; the gradient of this part is
    therefore multiplied by that number, so that the sum is the gradient of the whole batch.
    """
    parts = [torch.empty_like(own) for _ in range(n_processes())]
    dist.all_gather(parts, own.detach().contiguous())
    scaled = own * n_processes()
    parts[dist.get_rank()] = scaled - (scaled - own).detach()
    return torch.cat(parts)
