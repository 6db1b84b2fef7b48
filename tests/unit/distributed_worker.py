"""One process of test_training_distributed.py: save a gradient, then do a short run."""

import sys
from pathlib import Path

import numpy as np
import torch

from glitch.errors import GlitchError
from glitch.model import ViewsVAE
from training.core.distributed import is_first, n_processes, process_group
from training.data.pack import Pack
from training.data.sampling import BatchSource
from training.views.config import TrainingConfig, config_from_mapping
from training.views.shared_task import SharedViewsTask
from training.views.task import ViewsTask
from training.views.train import train

PARAMETERS = {
    "beta_annealed": {"beta_start": 4},
    "bottleneck": {"capacity": 5, "gamma": 10, "growth_steps": 1},
    "beta_tcvae": {"beta": 6},
    "dip_vae_1": {"off_diagonal": 5},
}


def config(kind: str, batch_size: int = 8) -> TrainingConfig:
    return config_from_mapping(
        {
            "name": "shared",
            "architecture": {
                "n_frequency": 16,
                "n_time": 16,
                "channels": [8, 8],
                "painter_channels": [8, 8],
                "hidden": 16,
                "latent": 3,
                "independent_share": 1.0,
            },
            "data": {"anchor_glitches": 24},
            "variance": {"kind": "closed_form"},
            "objective": {"kind": kind, "parameters": PARAMETERS[kind]},
            "optimiser": {
                "steps": 3, "batch_size": batch_size, "warmup_steps": 1, "is_half_precision": False,
            },
            "log": {"log_every": 1, "evaluate_every": 3, "save_every": 3},
        }
    )  # fmt: skip


def pack(n: int) -> Pack:
    rng = np.random.default_rng(0)
    values = rng.integers(0, 60, size=(n, 4, 16, 16)).astype(np.uint8)
    for index in range(n):
        values[index, :, 2 + 7 * (index % 2) : 6 + 7 * (index % 2), 5:11] = 250
    labels = tuple(("Blip", "Whistle")[index % 2] for index in range(n))
    observed = np.ones((n, 4, 16), dtype=np.bool_)
    return Pack(values, observed, labels, tuple(f"g{index}" for index in range(n)))


def gradients(kind: str, batch_size: int = 8) -> dict[str, torch.Tensor]:
    settings, glitches = config(kind, batch_size), pack(24)
    torch.manual_seed(0)
    model = ViewsVAE(settings.architecture)
    source = BatchSource(
        glitches, None, real_share=1.0, batch_size=batch_size,
        augmentation=settings.augmentation, seed=0,
    )  # fmt: skip
    make = ViewsTask if n_processes() == 1 else SharedViewsTask
    task = make(settings, model, source, None, None)
    task.start()
    with torch.no_grad():  # not at the initial weights, where half of the gradients are zero
        generator = torch.Generator().manual_seed(1)
        for weight in model.parameters():
            weight.add_(0.05 * torch.randn(weight.shape, generator=generator))
    outcome = task.outcome(5, torch.Generator().manual_seed(2), is_half_precision=False)
    settings.objective.build().loss(outcome, 5).backward()
    return {
        name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None
    }


def main(folder: Path) -> None:
    with process_group():
        for kind in PARAMETERS:
            found = gradients(kind)
            if is_first():
                torch.save(found, folder / f"{kind}.pt")
        train(
            config("beta_annealed"), folder / "run", real_train=pack(24), validation=pack(12),
            simulated=None,
        )  # fmt: skip
        try:
            gradients("beta_annealed", batch_size=7)
        except GlitchError as error:
            if is_first():
                (folder / "odd.txt").write_text(str(error))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
