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
    """Joins the processes that ``torchrun`` started; does nothing where it started none."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    dist.init_process_group("gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def n_processes() -> int:
    """How many processes share the run."""
    return dist.get_world_size() if dist.is_initialized() else 1


def is_first() -> bool:
    """Whether this process is the one that evaluates, logs and saves."""
    return not dist.is_initialized() or dist.get_rank() == 0


def wait_for_all() -> None:
    """Goes on only when every process has come so far."""
    if dist.is_initialized():
        dist.barrier()


def any_process(flag: bool) -> bool:
    """Whether the flag is up in any process: all must stop after the same step."""
    if not dist.is_initialized():
        return flag
    shared = torch.tensor([int(flag)])
    dist.all_reduce(shared, dist.ReduceOp.MAX)
    return bool(shared.item())


def with_others(own: Tensor) -> Tensor:
    """The parts of all processes in order; only this one's carries a gradient.

    DDP divides the sum of gradients by the number of processes; multiplying here by as much leaves
    the value and makes that sum the gradient of the whole batch.
    """
    parts = [torch.empty_like(own) for _ in range(n_processes())]
    dist.all_gather(parts, own.detach().contiguous())
    scaled = own * n_processes()
    parts[dist.get_rank()] = scaled - (scaled - own).detach()
    return torch.cat(parts)
