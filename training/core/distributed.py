"""One run on several processes (``torchrun``), with the gradients of one process.

Each process encodes and decodes its share of the step's batch; what the objective needs of the
others (their distortions, posteriors and draws) is gathered without gradient, so that every process
sees the loss of the whole batch. That matters: Bottleneck's absolute value, the total correlation
and DIP's covariances are no sums over members, and averaging shares would give another loss.
DistributedDataParallel then averages the gradients of the shares, overlapping with the backward
pass. Batches, draws and first weights are functions of (seed, step), so all processes agree on them
without talking. The first process alone evaluates, logs and saves.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from glitch.errors import GlitchError
from glitch.model import Posterior, ViewsVAE
from training.core.config import TrainingConfig
from training.core.objectives import Outcome
from training.data.pack import Pack
from training.data.sampling import BatchSource
from training.views.task import ViewsTask


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
    told = torch.tensor([int(flag)])
    dist.all_reduce(told, dist.ReduceOp.MAX)
    return bool(told.item())


class _Share(nn.Module):
    """The forward pass of a share of the batch, in one call: that is what DDP can watch."""

    def __init__(self, model: ViewsVAE) -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        values: Tensor,
        observed: Tensor,
        shown: Tensor,
        owed: Tensor,
        *,
        noise: Tensor,
        is_half_precision: bool,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        model = self.model
        pixels, rows = model.prepare(values, observed)
        seen_rows, owed_rows = rows & shown[..., None], rows & owed[..., None]
        with torch.autocast("cpu", torch.bfloat16, enabled=is_half_precision):
            posterior = model.encode(pixels * shown[..., None, None], seen_rows)
            draw = posterior.mean + (0.5 * posterior.log_variance).exp() * noise
            prediction = model.decode(draw, owed)
        distortion = model.likelihood.distortion(pixels, prediction.float(), owed_rows)
        return distortion, posterior.mean, posterior.log_variance, draw


class SharedViewsTask(ViewsTask):
    """The task of views, each process doing its share of every batch."""

    def __init__(
        self,
        config: TrainingConfig,
        model: ViewsVAE,
        source: BatchSource,
        real_train: Pack | None,
        validation: Pack | None,
    ) -> None:
        super().__init__(config, model, source, real_train, validation)
        if config.optimiser.batch_size % n_processes():
            raise GlitchError(
                f"optimiser.batch_size is {config.optimiser.batch_size}, which "
                f"{n_processes()} processes cannot share evenly: choose a multiple."
            )
        # Buffers are the linear part, fixed and the same in all.
        self._parallel = DistributedDataParallel(_Share(model), broadcast_buffers=False)

    def outcome(self, step: int, generator: torch.Generator, *, is_half_precision: bool) -> Outcome:
        """The whole batch's outcome; the gradient flows through this process's share."""
        batch = self._source.batch(step)
        n_members = batch.values.shape[0]
        size = n_members // n_processes()
        share = slice(dist.get_rank() * size, (dist.get_rank() + 1) * size)
        # Drawn for all, as one process would, then cut.
        noise = torch.randn((n_members, self.n_latent), generator=generator)
        parts = self._parallel(
            batch.values[share],
            batch.observed[share],
            batch.shown[share],
            batch.owed[share],
            noise=noise[share],
            is_half_precision=is_half_precision,
        )
        distortion, mean, log_variance, draw = (_with_others(part.float()) for part in parts)
        return Outcome(distortion * batch.owed_weight, Posterior(mean, log_variance), draw)


def _with_others(own: Tensor) -> Tensor:
    """The parts of all processes in order; only this one's carries a gradient.

    DDP divides the sum of gradients by the number of processes; multiplying here by as much leaves
    the value and makes that sum the gradient of the whole batch.
    """
    parts = [torch.empty_like(own) for _ in range(n_processes())]
    dist.all_gather(parts, own.detach().contiguous())
    scaled = own * n_processes()
    parts[dist.get_rank()] = scaled - (scaled - own).detach()
    return torch.cat(parts)
