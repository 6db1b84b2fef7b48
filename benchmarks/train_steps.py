"""Training steps a second: our half-precision, channels-last step against plain float32.

    python benchmarks/train_steps.py [--steps 30] [--batch-size 32]

Both train the shipped architecture on the same random glitches with all four views, on one thread,
in turns, so that a busy neighbour slows both. Prints steps a second and the ratio, in wall time
and in processor time (which a busy neighbour hardly touches).
"""

import argparse
import platform
import time

import numpy as np
import torch

from glitch.model import ViewsVAE
from training.config import AugmentationConfig, OptimiserConfig, TrainingConfig
from training.loop import optimise
from training.pack import Pack
from training.sampling import BatchSource
from training.views_task import ViewsTask

ROUNDS = 3


def random_pack(n_glitches: int) -> Pack:
    rng = np.random.default_rng(0)
    values = rng.integers(0, 256, size=(n_glitches, 4, 128, 128)).astype(np.uint8)
    names = tuple(str(index) for index in range(n_glitches))
    return Pack(values, np.ones((n_glitches, 4, 128), dtype=np.bool_), names, names)


class Trainer:
    """One model, its optimiser, and how its steps are computed."""

    def __init__(self, pack: Pack, batch_size: int, *, is_ours: bool) -> None:
        self.config = TrainingConfig(
            "benchmark",
            optimiser=OptimiserConfig(batch_size=batch_size, is_half_precision=is_ours),
        )
        torch.manual_seed(0)
        self.model = ViewsVAE(self.config.architecture)
        if is_ours:
            self.model.to(memory_format=torch.channels_last)
        self.optimiser = torch.optim.Adam(self.model.parameters(), lr=1e-4)
        # Plain training paints every view; ours paints two, weighted to the same expectation.
        owed = AugmentationConfig().owed_views if is_ours else 4
        source = BatchSource(
            pack,
            None,
            real_share=1.0,
            batch_size=batch_size,
            augmentation=AugmentationConfig(owed_views=owed),
            seed=0,
        )
        self.task = ViewsTask(self.config, self.model, source)
        self.objective = self.config.objective.build()
        self.step, self.wall_s, self.processor_s = 0, 0.0, 0.0

    def advance(self, n_steps: int, *, is_timed: bool) -> None:
        wall, processor = time.perf_counter(), time.process_time()
        for _ in range(n_steps):
            optimise(
                self.task,
                self.optimiser,
                self.objective,
                config=self.config,
                step=self.step,
            )
            self.step += 1
        if is_timed:
            self.wall_s += time.perf_counter() - wall
            self.processor_s += time.process_time() - processor


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--batch-size", type=int, default=32)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    pack = random_pack(4 * arguments.batch_size)
    trainers = {
        name: Trainer(pack, arguments.batch_size, is_ours=is_ours)
        for name, is_ours in (("plain float32", False), ("ours", True))
    }
    for trainer in trainers.values():
        trainer.advance(3, is_timed=False)
    n_timed = max(1, arguments.steps // ROUNDS)
    for _ in range(ROUNDS):
        for trainer in trainers.values():
            trainer.advance(n_timed, is_timed=True)
    print(f"{platform.processor() or platform.machine()}, torch {torch.__version__}, one thread")
    done = ROUNDS * n_timed
    for name, trainer in trainers.items():
        print(
            f"{name:14s} {done / trainer.wall_s:6.2f} steps/s wall, "
            f"{done / trainer.processor_s:6.2f} steps/s of processor time "
            f"(batch {arguments.batch_size}, four views each)"
        )
    plain, ours = trainers["plain float32"], trainers["ours"]
    print(
        f"ratio {plain.wall_s / ours.wall_s:.2f} wall, "
        f"{plain.processor_s / ours.processor_s:.2f} processor time"
    )


if __name__ == "__main__":
    main()
