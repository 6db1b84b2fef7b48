"""Training steps per second: our loop's step against pythae's beta-VAE, same network and batch.

    pip install --target /some/folder --no-deps pythae
    PYTHONPATH=/some/folder python -m benchmarks.training.train_steps_pythae [--steps 60]

Both train the network of Burgess et al. (502,005 weights) on the same random black and white 64 x
64 pictures with Adam and a Bernoulli likelihood, on one thread, in turn, so that load from other
programs affects both. For pythae the inner step of its trainer is timed (forward, backward, update,
loss.item) on batches already in memory; ours also draws and unpacks its batch, checks that loss and
gradient are finite, and clips. Prints steps per second, in wall time and in processor time, which
load affects less.
"""

import argparse
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from benchmarks.machine import heading
from benchmarks.training.turns import compare_steps
from training.core.config import ObjectiveConfig, OptimiserConfig
from training.core.loop import optimise
from training.dsprites import PictureArchitecture, PictureConfig, PictureVAE
from training.dsprites.sets import PackedPictures, PictureSource
from training.dsprites.task import PictureTask

BETA = 4.0


def pictures(n: int) -> PackedPictures:
    bits = np.random.default_rng(0).random((n, 64 * 64)) < 0.1
    return PackedPictures(np.packbits(bits, axis=1), 64, "random")


def our_step(batch_size: int, *, is_half_precision: bool) -> Callable[[int], None]:
    config = PictureConfig(
        "benchmark",
        "random",
        objective=ObjectiveConfig("beta_vae", {"beta": BETA}),
        optimiser=OptimiserConfig(
            learning_rate=1e-4,
            batch_size=batch_size,
            warmup_steps=0,
            final_factor=1.0,
            is_half_precision=is_half_precision,
        ),
    )
    torch.manual_seed(0)
    model = PictureVAE(PictureArchitecture()).to(memory_format=torch.channels_last)
    task = PictureTask(model, PictureSource(pictures(4096), batch_size=batch_size, seed=0))
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-4)
    objective = config.objective.build()

    def step(index: int) -> None:
        optimise(task, optimiser, objective, config=config, step=index)

    return step


def pythae_step(batch_size: int) -> Callable[[int], None]:
    from pythae.models import BetaVAE, BetaVAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder

    torch.manual_seed(0)
    network = PictureVAE(PictureArchitecture())

    class Encoder(BaseEncoder):
        def __init__(self) -> None:
            super().__init__()
            self.layers = network.encoder

        def forward(self, x: torch.Tensor) -> ModelOutput:
            mean, log_variance = self.layers(x).chunk(2, dim=1)
            return ModelOutput(embedding=mean, log_covariance=log_variance)

    class Decoder(BaseDecoder):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.Sequential(network.decoder, nn.Sigmoid())

        def forward(self, z: torch.Tensor) -> ModelOutput:
            return ModelOutput(reconstruction=self.layers(z))

    settings = BetaVAEConfig(
        input_dim=(1, 64, 64), latent_dim=10, reconstruction_loss="bce", beta=BETA
    )
    model = BetaVAE(settings, encoder=Encoder(), decoder=Decoder()).train()
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-4)
    data = pictures(4096)
    rng = np.random.default_rng(0)
    batches = [
        {"data": torch.from_numpy(data.pictures(rng.integers(4096, size=batch_size)))}
        for _ in range(16)
    ]

    def step(index: int) -> None:
        output = model(batches[index % len(batches)])
        optimiser.zero_grad()
        output.loss.backward()
        optimiser.step()
        output.loss.item()

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--batch-size", type=int, default=64)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(heading())
    n_weights = sum(weight.numel() for weight in PictureVAE(PictureArchitecture()).parameters())
    print(f"network   Burgess, {n_weights:,} weights; batch {arguments.batch_size}; one thread")
    contenders = {
        "pythae": pythae_step(arguments.batch_size),
        "ours, float32": our_step(arguments.batch_size, is_half_precision=False),
        "ours, bfloat16": our_step(arguments.batch_size, is_half_precision=True),
    }
    compare_steps(contenders, arguments.steps)


if __name__ == "__main__":
    main()
