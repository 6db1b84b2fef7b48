"""Training steps per second: effect of half precision, a fused optimiser and compilation.

    python -m benchmarks.training.train_steps [--steps 30] [--batch-size 32] [--compile]

For the shipped network on four views, and for the network of Burgess et al. on dSprites at 32
pixels: a plain float32 step, ours, and with ``--compile`` ours with encoder and decoder through
torch.compile (compilation takes a minute or two). All use the same random data, on one thread, in
turn, so that load from other programs affects all. Prints steps per second and the ratio to plain
float32, in wall time and in processor time (which load affects less).
"""

import argparse
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from benchmarks.machine import heading
from benchmarks.training.turns import compare_steps
from glitch.model import ViewsVAE
from training.core.config import OptimiserConfig
from training.core.loop import RunSettings, Task, optimise
from training.data.config import AugmentationConfig
from training.data.pack import Pack
from training.data.sampling import BatchSource
from training.dsprites import PictureArchitecture, PictureConfig, PictureVAE
from training.dsprites.sets import PackedPictures, PictureSource
from training.dsprites.task import PictureTask
from training.views.config import TrainingConfig
from training.views.task import ViewsTask

Built = tuple[RunSettings, Task]


def of_views(batch_size: int, *, is_ours: bool) -> Built:
    """Build the shipped network. Plain training decodes all views; ours two, weighted."""
    rng = np.random.default_rng(0)
    n_glitches = 4 * batch_size
    values = rng.integers(0, 256, size=(n_glitches, 4, 128, 128)).astype(np.uint8)
    names = tuple(str(index) for index in range(n_glitches))
    pack = Pack(values, np.ones((n_glitches, 4, 128), dtype=np.bool_), names, names)
    settings = OptimiserConfig(batch_size=batch_size, is_half_precision=is_ours)
    config = TrainingConfig("benchmark", optimiser=settings)
    n_owed = config.augmentation.owed_views if is_ours else 4
    augmentation = AugmentationConfig(owed_views=n_owed)
    source = BatchSource(
        pack, None, real_share=1.0, batch_size=batch_size, augmentation=augmentation, seed=0
    )
    return config, ViewsTask(config, ViewsVAE(config.architecture), source)


def of_pictures(batch_size: int, *, is_ours: bool) -> Built:
    """Build the network of Burgess et al., as in the reduced tier of the reproduction."""
    bits = np.random.default_rng(0).random((4096, 32 * 32)) < 0.1
    pictures = PackedPictures(np.packbits(bits, axis=1), 32, "random")
    config = PictureConfig("benchmark", "random", architecture=PictureArchitecture(side=32))
    settings = replace(
        config.optimiser, batch_size=batch_size, is_half_precision=is_ours, learning_rate=5e-4
    )
    source = PictureSource(pictures, batch_size=batch_size, seed=0)
    task = PictureTask(PictureVAE(config.architecture), source)
    return replace(config, optimiser=settings), task


def stepper(
    build: Callable[..., Built], batch_size: int, *, is_ours: bool, is_compiled: bool = False
) -> Callable[[int], None]:
    torch.manual_seed(0)
    config, task = build(batch_size, is_ours=is_ours)
    model: nn.Module = task.model
    if is_ours:
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if is_compiled:
        for name in ("encode", "decode"):
            setattr(model, name, torch.compile(getattr(model, name)))
    optimiser = torch.optim.Adam(
        model.parameters(), lr=1e-4, fused=is_ours, foreach=None if is_ours else False
    )
    objective = config.objective.build()

    def step(index: int) -> None:
        # Ours computes no metrics between logged steps, which are one in fifty.
        is_reported = not is_ours or index % 50 == 0
        optimise(task, optimiser, objective, config=config, step=index, is_reported=is_reported)

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--compile", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(heading())
    print(f"torch {torch.__version__}, one thread, batch {arguments.batch_size}")
    # A picture's step is a fiftieth of a glitch's, so it can be repeated more often.
    for name, build, factor in (("views", of_views, 1), ("pictures", of_pictures, 10)):
        contenders = {
            "plain float32": stepper(build, arguments.batch_size, is_ours=False),
            "ours": stepper(build, arguments.batch_size, is_ours=True),
        }
        if arguments.compile:
            contenders["ours, compiled"] = stepper(
                build, arguments.batch_size, is_ours=True, is_compiled=True
            )
        compare_steps(contenders, factor * arguments.steps, label=name)


if __name__ == "__main__":
    main()
