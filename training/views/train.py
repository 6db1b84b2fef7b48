"""Training of the model of views, on one process or several."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from glitch.model import ViewsVAE
from training.core.devices import CPU
from training.core.distributed import n_processes
from training.core.loop import Report, Result, TrainingError, run_task
from training.data.pack import Pack
from training.data.sampling import BatchSource
from training.views.augmented import RawFeatures
from training.views.config import AnyConfig
from training.views.guided_config import GuidedConfig
from training.views.guided_task import GuidedTask
from training.views.shared_task import SharedViewsTask
from training.views.task import ViewsTask


def train(
    config: AnyConfig,
    folder: Path,
    *,
    real_train: Pack | None,
    validation: Pack | None,
    simulated: Pack | None,
    report: Report = lambda _step, _metrics: None,
    seen: Mapping[str, RawFeatures] | None = None,
    device: torch.device = CPU,
) -> Result:
    """Train the model of views; see :func:`training.core.loop.run_task`.

    Args:
        config: of the run. A run cannot be continued with another configuration.
        folder: stores state, metrics (JSON lines) and the best weights.
        real_train: real glitches for training; also the labelled reference of the probes.
        validation: held-out real glitches that select the best weights.
        simulated: simulated glitches for training.
        report: called after each logged step with its metrics.
        seen: features of augmented copies shared by several runs; see ``training.views.augmented``.
        device: trains here.

    Raises:
        TrainingError: if the folder holds another run, a loss or gradient is not finite, or several
            processes share a run on a GPU.
    """
    if device != CPU and n_processes() > 1:
        raise TrainingError("Several processes can only train on CPUs: use one process, or no GPU.")
    if isinstance(config, GuidedConfig):
        guided = config
        if n_processes() > 1:
            raise TrainingError(
                "The scattering model trains in one process: start it without torchrun."
            )
        return run_task(
            config,
            lambda: GuidedTask(guided, real_train, validation, simulated, folder=folder, seen=seen),
            folder,
            report=report,
            device=device,
        )

    def build() -> ViewsTask:
        source = BatchSource(
            real_train,
            simulated,
            real_share=config.data.real_share,
            batch_size=config.optimiser.batch_size,
            augmentation=config.augmentation,
            seed=config.seed,
        )
        kind = ViewsTask if n_processes() == 1 else SharedViewsTask
        return kind(config, ViewsVAE(config.architecture), source, real_train, validation)

    return run_task(config, build, folder, report=report, device=device)
