"""The task of views on several processes, with the same gradients as on one process.

Each process encodes and decodes its share of the step's batch. Distortions, posteriors and samples
of the others are gathered without gradient, so that every process computes the loss of the whole
batch. This matters because Bottleneck's absolute value, the total correlation and DIP's covariances
are not sums over members, and averaging over shares would give another loss.
DistributedDataParallel then averages the gradients of the shares, overlapping with the backward
pass.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from glitch.errors import GlitchError
from glitch.model import Posterior, ViewsVAE, sum_residuals
from training.core.distributed import n_processes, with_others
from training.core.objectives import Outcome
from training.data.pack import Pack
from training.data.sampling import BatchSource
from training.views.config import TrainingConfig
from training.views.task import ViewsTask


class _Share(nn.Module):
    """The forward pass of a share of the batch in one call, as DDP requires."""

    def __init__(self, model: ViewsVAE) -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        values: Tensor,
        observed: Tensor,
        input_views: Tensor,
        target_views: Tensor,
        target_weight: Tensor,
        *,
        noise: Tensor,
        is_half_precision: bool,
        variance_share: float,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        model = self.model
        pixels, rows = model.prepare(values, observed)
        seen_rows, target_rows = rows & input_views[..., None], rows & target_views[..., None]
        with torch.autocast("cpu", torch.bfloat16, enabled=is_half_precision):
            posterior = model.encode(pixels * input_views[..., None, None], seen_rows)
            draw = posterior.mean + (0.5 * posterior.log_variance).exp() * noise
            prediction = model.decode(draw, target_views)
        prediction = prediction.float()
        if variance_share:
            residuals = sum_residuals(pixels, prediction, target_rows, target_weight)
            for part in (residuals.squares, residuals.pixels):
                dist.all_reduce(part)  # sum over the whole batch, so that all processes agree
            model.likelihood.follow(residuals, variance_share)
        distortion = model.likelihood.distortion(pixels, prediction, target_rows)
        return distortion, posterior.mean, posterior.log_variance, draw


class SharedViewsTask(ViewsTask):
    """The task of views, where each process computes its share of every batch."""

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
        # Buffers are the linear part, fixed and identical in all processes.
        self._parallel = DistributedDataParallel(_Share(model), broadcast_buffers=False)

    def outcome(self, step: int, generator: torch.Generator, *, is_half_precision: bool) -> Outcome:
        """Return the whole batch's outcome; the gradient flows through this process's share."""
        batch = self._source.batch(step)
        n_members = batch.values.shape[0]
        size = n_members // n_processes()
        share = slice(dist.get_rank() * size, (dist.get_rank() + 1) * size)
        # Drawn for the whole batch, as one process would, then sliced.
        noise = torch.randn((n_members, self.n_latent), generator=generator)
        parts = self._parallel(
            batch.values[share],
            batch.observed[share],
            batch.input_views[share],
            batch.target_views[share],
            batch.target_weight[share],
            noise=noise[share],
            is_half_precision=is_half_precision,
            variance_share=self._config.variance.share(step),
        )
        distortion, mean, log_variance, draw = (with_others(part.float()) for part in parts)
        return Outcome(distortion * batch.target_weight, Posterior(mean, log_variance), draw)
