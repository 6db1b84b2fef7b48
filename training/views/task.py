"""The task of views: the decoder predicts views that are partly hidden from the encoder."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from glitch.model import ViewsVAE, sample_posterior, sum_residuals
from glitch.types import ObservedTensor, ViewsTensor
from training.core.devices import device_of
from training.core.objectives import Outcome
from training.core.state import STATE_FILE, load_state
from training.data.pack import Pack
from training.data.sampling import Batch, BatchSource
from training.evaluation.encoding import evaluate_model
from training.views.anchor import fit_anchor
from training.views.config import TrainingConfig


class ViewsTask:
    """A model of views, its batches, and its evaluation data."""

    def __init__(
        self,
        config: TrainingConfig,
        model: ViewsVAE,
        source: BatchSource,
        real_train: Pack | None = None,
        validation: Pack | None = None,
    ) -> None:
        self.model = model
        self.n_latent = model.architecture.latent
        self._config, self._source = config, source
        self._real_train, self._validation = real_train, validation
        model.likelihood.row_log_variance.requires_grad_(config.variance.kind == "learnt")

    def start(self) -> None:
        """Load the weights of another run, or fit the linear part, as configured."""
        if self._config.initialise_from is not None:
            load_state(Path(self._config.initialise_from) / STATE_FILE, self.model, None)
        elif self._config.data.anchor_glitches:
            n_glitches = self._config.data.anchor_glitches
            fit_anchor(self.model, self._source.packs, n_glitches, self._config.seed)
        if self._config.variance.kind == "fixed":
            with torch.no_grad():
                self.model.likelihood.row_log_variance.fill_(math.log(self._config.variance.fixed))

    def outcome(self, step: int, generator: torch.Generator, *, is_half_precision: bool) -> Outcome:
        """Encode the input views of the step's batch, sample, and decode the target views."""
        batch = self._source.batch(step).to(device_of(self.model))
        return compute_outcome(
            self.model,
            batch,
            generator,
            is_half_precision=is_half_precision,
            variance_share=self._config.variance.share(step),
            is_bernoulli=self._config.variance.kind == "bernoulli",
        )

    def details(self, outcome: Outcome) -> dict[str, float]:  # noqa: ARG002 - the interface has it
        """Return nothing beyond what every run logs."""
        return {}

    def evaluate(self) -> dict[str, float]:
        """Evaluate the vectors of held-out real glitches."""
        if self._validation is None or self._real_train is None:
            return {}
        return evaluate_model(self.model, self._real_train, self._validation)


def compute_outcome(
    model: ViewsVAE,
    batch: Batch,
    generator: torch.Generator,
    *,
    is_half_precision: bool,
    variance_share: float = 0.0,
    is_bernoulli: bool = False,
) -> Outcome:
    """Encode the input views, sample, and decode the target views.

    First the likelihood's variances are moved by the fraction ``variance_share`` towards the
    batch's optimum; see :meth:`glitch.model.RowGaussian.follow`. With ``is_bernoulli`` the
    decoder's output are logits, and the model's Gaussian is not used.
    """
    pixels, rows = model.prepare(batch.values, batch.observed)
    seen_rows, target_rows = (
        rows & batch.input_views[..., None],
        rows & batch.target_views[..., None],
    )
    with torch.autocast(pixels.device.type, torch.bfloat16, enabled=is_half_precision):
        posterior = model.encode(pixels * batch.input_views[..., None, None], seen_rows)
        draw = sample_posterior(posterior, generator)
        prediction = model.decode(draw, batch.target_views)
    prediction = prediction.float()
    if variance_share:
        residuals = sum_residuals(pixels, prediction, target_rows, batch.target_weight)
        model.likelihood.follow(residuals, variance_share)
    if is_bernoulli:
        distortion = bernoulli_distortion(pixels, prediction, target_rows)
    else:
        distortion = model.likelihood.distortion(pixels, prediction, target_rows)
    return Outcome(distortion * batch.target_weight, posterior, draw)


def bernoulli_distortion(
    target: ViewsTensor, logits: ViewsTensor, observed: ObservedTensor
) -> Float[Tensor, " batch"]:
    """Return the negative log-likelihood of energies in [0, 1] as Bernoulli means, over observed
    rows.

    In nats. Locatello et al. 2019 score grey pixels in this way; it bounds the likelihood of binary
    pixels drawn from them, and is not a likelihood of the energies themselves.
    """
    nats = binary_cross_entropy_with_logits(logits, target, reduction="none")
    return torch.where(observed[..., None], nats, 0).sum(dim=(1, 2, 3))
