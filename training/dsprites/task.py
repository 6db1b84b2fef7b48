"""Training on single pictures, with the common loop."""

from __future__ import annotations

from pathlib import Path

import torch

from glitch.errors import FormatError
from glitch.model import kl_to_standard_normal, sample_posterior
from training.core.devices import CPU, device_of
from training.core.loop import CONFIG_FILE, Report, Result, run_task
from training.core.objectives import Outcome
from training.core.state import STATE_FILE, load_state
from training.dsprites.architecture import PicturesTensor, PictureVAE, bernoulli_distortion
from training.dsprites.config import PictureConfig, load_picture_config
from training.dsprites.sets import PictureSet, PictureSource


class PictureTask:
    """A model of pictures and its batches. Nothing is held out: dSprites is its own population."""

    def __init__(self, model: PictureVAE, source: PictureSource) -> None:
        self.model = model
        self.n_latent = model.architecture.latent
        self._source = source

    def start(self) -> None:
        """Keep the initial weights of the layers."""

    def outcome(self, step: int, generator: torch.Generator, *, is_half_precision: bool) -> Outcome:
        """Encode, sample and decode the batch of a step."""
        pictures = self._source.batch(step).to(device_of(self.model))
        return picture_outcome(self.model, pictures, generator, is_half_precision=is_half_precision)

    def details(self, outcome: Outcome) -> dict[str, float]:
        """Return the KL of each latent from the prior, nats, averaged over the batch."""
        per_latent = kl_to_standard_normal(outcome.posterior).mean(dim=0)
        return {f"kl.{index}": value for index, value in enumerate(per_latent.tolist())}

    def evaluate(self) -> dict[str, float]:
        """Return nothing, because nothing is held out."""
        return {}


def picture_outcome(
    model: PictureVAE,
    pictures: PicturesTensor,
    generator: torch.Generator,
    *,
    is_half_precision: bool,
) -> Outcome:
    """Encode pictures, sample, and decode to a distortion summed over pixels."""
    with torch.autocast(pictures.device.type, torch.bfloat16, enabled=is_half_precision):
        posterior = model.encode(pictures)
        draw = sample_posterior(posterior, generator)
        logits = model.decode(draw)
    return Outcome(bernoulli_distortion(logits, pictures), posterior, draw)


def train_on_pictures(
    config: PictureConfig,
    folder: Path,
    pictures: PictureSet,
    *,
    report: Report = lambda _step, _metrics: None,
    device: torch.device = CPU,
) -> Result:
    """Train, or continue the run in ``folder``; see :func:`training.core.loop.run_task`.

    Raises:
        FormatError: if the pictures are not of the configured size or not the configured set.
        TrainingError: if the folder holds another run, or a loss or gradient is not finite.
    """
    if pictures.side != config.architecture.side:
        raise FormatError(
            f"The pictures have {pictures.side} pixels a side, but architecture.side is "
            f"{config.architecture.side}."
        )
    if pictures.name != config.data:
        raise FormatError(
            f"The run is configured for the data {config.data!r}, not {pictures.name!r}."
        )

    def build() -> PictureTask:
        source = PictureSource(pictures, batch_size=config.optimiser.batch_size, seed=config.seed)
        return PictureTask(PictureVAE(config.architecture), source)

    return run_task(config, build, folder, report=report, device=device)


def load_picture_run(folder: Path) -> tuple[PictureConfig, PictureVAE, int]:
    """Read configuration, last weights (in evaluation mode) and their step from a run's folder.

    Raises:
        ConfigError: if the folder has no run on pictures.
        CheckpointError: if its weights are missing or damaged.
    """
    config = load_picture_config(folder / CONFIG_FILE)
    model = PictureVAE(config.architecture)
    step, _ = load_state(folder / STATE_FILE, model, None)
    model.eval()
    return config, model, step
