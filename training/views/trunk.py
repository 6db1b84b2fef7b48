"""Teaches the trunk to name simulated glitches, before the autoencoder learns from it."""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from glitch.model import ScatteringVAE
from glitch.model.scattering import extended
from glitch.simulate import UNNAMED
from training.data.config import AugmentationConfig
from training.data.pack import Pack
from training.data.sampling import StratifiedSampler, vary

BATCH = 128
LEARNING_RATE, WEIGHT_DECAY, WARMUP = 2e-3, 1e-2, 30
VARIED = AugmentationConfig(shift_pixels=16, energy_scale=1.8)
NOISIEST = 0.03  # of the pixels, which lie in [0, 1]
FITTED = 4_000  # pictures that centre and spread of the features are found on


def teach_trunk(model: ScatteringVAE, pack: Pack, steps: int, seed: int) -> None:
    """Fits the trunk to the pack's classes, each picture alone, and keeps no head of it.

    Args:
        model: changed in place; nothing is done where it has no trunk.
        pack: simulated glitches; shapes without a name are left out.
        steps: of the optimiser.
        seed: of draws and variation.
    """
    trunk = model.trunk
    if trunk is None:
        return
    named = np.asarray([index for index, name in enumerate(pack.labels) if name != UNNAMED])
    classes = sorted({pack.labels[index] for index in named})
    wanted = torch.tensor([classes.index(pack.labels[index]) for index in named])
    sampler = StratifiedSampler(tuple(pack.labels[index] for index in named))
    rng = np.random.default_rng([seed, 5])
    # Dropout and first weights draw from the global stream.
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(seed)
        head = nn.Linear(model.architecture.trunk, len(classes))
        trunk.requires_grad_(True).train()
        learnt = [*trunk.parameters(), *head.parameters()]
        optimiser = torch.optim.AdamW(learnt, LEARNING_RATE, weight_decay=WEIGHT_DECAY, fused=True)
        for step in range(steps):
            for group in optimiser.param_groups:
                cosine = 0.5 * (1 + math.cos(math.pi * step / steps))
                group["lr"] = LEARNING_RATE * min(1, (step + 1) / WARMUP) * cosine
            drawn = sampler.draw(BATCH, rng)
            pictures, view = _lone_pictures(model, pack, named[drawn], VARIED, rng)
            level = NOISIEST * torch.rand(len(pictures), 1, 1)
            noisy = (pictures + level * torch.rand_like(pictures)).clamp(0, 1)
            with torch.autocast("cpu", torch.bfloat16):
                answers = head(trunk(noisy, view))
            loss = cross_entropy(answers.float(), wanted[torch.from_numpy(drawn)])
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
    trunk.requires_grad_(False).eval().zero_grad(set_to_none=True)
    with torch.no_grad():
        plain = AugmentationConfig(shift_pixels=0, energy_scale=1.0)
        starts = range(0, FITTED, BATCH)
        chosen = [named[sampler.draw(BATCH, rng)] for _ in starts]
        found = torch.cat([trunk(*_lone_pictures(model, pack, one, plain, rng)) for one in chosen])
        trunk.centre.copy_(found.mean(dim=0))
        trunk.spread.copy_(found.std(dim=0).clamp_min(1e-6))


def _lone_pictures(
    model: ScatteringVAE,
    pack: Pack,
    chosen: Int[np.ndarray, " draw"],
    how: AugmentationConfig,
    rng: np.random.Generator,
) -> tuple[Float[Tensor, "draw freq time"], Int[Tensor, " draw"]]:
    """One pooled picture of each chosen glitch, in either noise, and which view it is."""
    observed = np.asarray(pack.observed[chosen])
    present = observed.any(axis=2)
    view = np.where(present, rng.random(present.shape), np.inf).argmin(axis=1)
    noise = rng.random(len(chosen)) < 0.5
    grey = np.stack(
        [
            (pack.values if pack.twins is None or is_first else pack.twins)[glitch, window]
            for glitch, window, is_first in zip(chosen, view, noise, strict=True)
        ]
    )
    rows = torch.from_numpy(observed[np.arange(len(chosen)), view])
    pixels, seen = model.prepare(vary(grey[:, None], how, rng), rows[:, None])
    return extended(pixels[:, 0], seen[:, 0]), torch.from_numpy(view)
