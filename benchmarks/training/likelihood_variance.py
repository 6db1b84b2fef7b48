"""Ratio of a run's pixel variances to the mean squared residual, the maximum-likelihood value.

    python -m benchmarks.training.likelihood_variance RUN [RUN ...] [--real-images FOLDER]

Each RUN is a training run's folder, for example of Table 1 (`reproduce table1`). Its last weights
decode samples for 100 new batches of its own glitches, hidden and shifted as in training. Printed:
the variance over the mean squared residual by view and frequency row, 1 at the optimum: geometric
mean, median, lowest and highest decile; and by how many nats a glitch's distortion exceeds that at
the optimum.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.machine import heading
from glitch.model import Residuals, ViewsVAE, sample_posterior, sum_residuals
from training.core.loop import CONFIG_FILE
from training.core.state import STATE_FILE, load_state
from training.data.sampling import BatchSource
from training.data.split import load_data
from training.views.config import load_config

BATCHES = 100
OTHER_SEED = 1_000_003  # added to the run's seed, so that batches are new


@torch.inference_mode()
def ratio_of(run: Path, real_images: Path) -> tuple[np.ndarray, float]:
    """Return variance over mean squared residual of each observed row, and nats lost per glitch."""
    config = load_config(run / CONFIG_FILE)
    model = ViewsVAE(config.architecture)
    step, _ = load_state(run / STATE_FILE, model, None)
    model.eval()
    data = load_data(replace(config.data, real_images=str(real_images)))
    source = BatchSource(
        data.real_train,
        data.simulated,
        real_share=config.data.real_share,
        batch_size=config.optimiser.batch_size,
        augmentation=config.augmentation,
        seed=config.seed + OTHER_SEED,
    )
    parts: list[Residuals] = []
    n_members = 0
    for index in range(BATCHES):
        batch = source.batch(step + index)
        target, rows = model.prepare(batch.values, batch.observed)
        target_views, input_views = (
            rows & batch.target_views[..., None],
            rows & batch.input_views[..., None],
        )
        posterior = model.encode(target * batch.input_views[..., None, None], input_views)
        draw = sample_posterior(posterior, torch.Generator().manual_seed(index))
        painted = model.decode(draw, batch.target_views)
        parts.append(sum_residuals(target, painted, target_views, batch.target_weight))
        n_members += len(batch.values)
    squares = sum(part.squares for part in parts)
    pixels = sum(part.pixels for part in parts)
    is_lit = pixels > 0
    ratio = (model.likelihood.log_variance().exp() / (squares / pixels))[is_lit]
    # log r + 1/r - 1 is twice the loss of a pixel for a variance of r times the optimum
    nats_lost = 0.5 * pixels[is_lit] * (ratio.log() + 1 / ratio - 1)
    nats = config.architecture.independent_share * float(nats_lost.sum()) / n_members
    return ratio.numpy(), nats


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path, nargs="+")
    pictures = Path("../shared/data/gravityspy_images")
    parser.add_argument("--real-images", type=Path, default=pictures)
    args = parser.parse_args()
    print(heading())
    for run in args.runs:
        ratio, nats = ratio_of(run, args.real_images)
        low, middle, high = np.quantile(ratio, [0.1, 0.5, 0.9])
        print(
            f"{run.name:40s} mean {np.exp(np.log(ratio).mean()):.3f}  median {middle:.3f}  "
            f"deciles {low:.3f} to {high:.3f}  {nats:.1f} nats above the optimum"
        )


if __name__ == "__main__":
    main()
