"""Training of the trunk to classify glitches, before the autoencoder is trained.

First it learns the classes of simulated glitches. Then, in addition, it learns its own confident
predictions on real ones: an exponential moving average of the trunk classifies all views of a real
glitch together, without augmentation, and the trunk learns to predict that class from one strongly
augmented view (Sohn et al. 2020, FixMatch; Tarvainen and Valpola 2017, mean teacher).

Human labels are used in neither step.
"""

from __future__ import annotations

import math
from copy import deepcopy

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from glitch.model import ScatteringVAE, Trunk
from glitch.model.scattering import Pictures, extended
from glitch.model.views_model import Members
from glitch.simulate import UNNAMED
from training.core.adam import Adam
from training.data.config import PLAIN, AugmentationConfig
from training.data.pack import Pack
from training.data.sampling import StratifiedSampler, single_view, vary

SIMULATED_BATCH, REAL_BATCH = 96, 64
LEARNING_RATE, WEIGHT_DECAY, WARMUP = 1e-3, 1e-2, 30
FITTED = 4_000  # pictures for the centre and spread of the features

SLIGHTLY_VARIED = AugmentationConfig(shift_pixels=4, energy_scale=1.2)
VARIED = AugmentationConfig(shift_pixels=12, energy_scale=1.5)
STRONGLY_VARIED = AugmentationConfig(shift_pixels=12, energy_scale=1.8)
NOISE, STRONG_NOISE = 0.03, 0.08  # largest noise level, of pixels in [0, 1]
WIDEST_BAND = 8  # pooled rows or columns hidden by strong augmentation
QUIET = 0.03  # value of hidden rows

SURE = 0.8  # probability from which the teacher's prediction is used
TEACHER_MEMORY = 0.99  # fraction of the teacher's weights that remains after a step

Chosen = Int[np.ndarray, " draw"]


class _TrunkClassifier(nn.Module):
    """The trunk with a linear head, which is discarded after training."""

    def __init__(self, trunk: Trunk, n_classes: int) -> None:
        super().__init__()
        self.trunk = trunk
        self.head = nn.Linear(trunk.n_features, n_classes)

    def forward(self, pictures: Pictures, view: Tensor) -> Float[Tensor, "picture class"]:
        with torch.autocast("cpu", torch.bfloat16):
            logits: Tensor = self.head(self.trunk(pictures, view))
        return logits.float()


def train_trunk(
    model: ScatteringVAE,
    simulated: Pack,
    real: Pack | None,
    *,
    steps: int,
    real_steps: int,
    seed: int,
) -> None:
    """Train the trunk on simulated classes, then on its confident predictions on real glitches.

    Args:
        model: changed in place; unchanged if it has no trunk.
        simulated: simulated glitches; shapes without a class are not used.
        real: real glitches, whose labels are not used; without them the second phase is skipped.
        steps: optimiser steps with simulated glitches alone.
        real_steps: optimiser steps with both.
        seed: of random samples and augmentation.
    """
    trunk = model.trunk
    if trunk is None:
        return
    rng = np.random.default_rng([seed, 5])
    named = _Simulated(model, simulated, rng)
    # Dropout, noise and initial weights use the global generator.
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(seed)
        namer = _TrunkClassifier(trunk.requires_grad_(True), named.n_classes)
        _train_step(namer, named, None, steps, 2 * LEARNING_RATE)
        if real is not None:
            _train_step(namer, named, _Real(model, real, rng), real_steps, LEARNING_RATE)
        trunk.requires_grad_(False).zero_grad(set_to_none=True)
        plain = [named.draw(PLAIN, noise=0.0) for _ in range(FITTED // SIMULATED_BATCH)]
        features = torch.cat([trunk(pictures, view) for pictures, view, _ in plain])
        trunk.centre.copy_(features.mean(dim=0))
        trunk.spread.copy_(features.std(dim=0).clamp_min(1e-6))


def _train_step(
    namer: _TrunkClassifier, simulated: _Simulated, real: _Real | None, steps: int, rate: float
) -> None:
    """Run the optimiser with a learning rate that falls to zero."""
    namer.train()
    teacher = namer if real is None else deepcopy(namer).eval()
    optimiser = Adam(
        namer.parameters(), rate, weight_decay=WEIGHT_DECAY, decoupled_weight_decay=True, fused=True
    )
    for step in range(steps):
        for group in optimiser.param_groups:
            cosine = 0.5 * (1 + math.cos(math.pi * step / steps))
            group["lr"] = rate * min(1, (step + 1) / WARMUP) * cosine
        pictures, view, labels = simulated.draw(VARIED, NOISE)
        weight = torch.full((len(labels),), 1 / len(labels))
        if real is not None:
            real_pictures, window, pseudo_labels, is_sure = real.draw(teacher)
            pictures, view = torch.cat([pictures, real_pictures]), torch.cat([view, window])
            labels = torch.cat([labels, pseudo_labels])
            weight = torch.cat([weight, is_sure.float() / len(is_sure)])
        loss = (weight * cross_entropy(namer(pictures, view), labels, reduction="none")).sum()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        if real is not None:
            _update_average(teacher, namer, step)
    namer.eval()


@torch.no_grad()
def _update_average(teacher: _TrunkClassifier, namer: _TrunkClassifier, step: int) -> None:
    memory = min(TEACHER_MEMORY, (step + 1) / (step + 10))
    for averaged, learnt in zip(teacher.parameters(), namer.parameters(), strict=True):
        averaged.lerp_(learnt, 1 - memory)


class _Source:
    """Single augmented pictures of a pack, prepared for the model."""

    def __init__(self, model: ScatteringVAE, pack: Pack, rng: np.random.Generator) -> None:
        self._model, self._pack, self._rng = model, pack, rng

    def _lone_view(self, chosen: Chosen) -> Chosen:
        """Choose one random view of each glitch."""
        present = np.asarray(np.any(self._pack.observed[chosen], axis=2))
        return single_view(present, self._rng)

    def _varied(
        self, grey: np.ndarray, rows: np.ndarray, how: AugmentationConfig, noise: float
    ) -> Pictures:
        values = vary(grey[:, None], how, self._rng)
        pixels, seen = self._model.prepare(values, torch.from_numpy(np.array(rows[:, None])))
        pictures = extended(pixels[:, 0], seen[:, 0])
        level = noise * torch.rand(len(pictures), 1, 1)
        return (pictures + level * torch.rand_like(pictures)).clamp(0, 1)


class _Simulated(_Source):
    """Samples uniform over classes, without the shapes that have no class."""

    def __init__(self, model: ScatteringVAE, pack: Pack, rng: np.random.Generator) -> None:
        super().__init__(model, pack, rng)
        self._named = np.asarray([i for i, name in enumerate(pack.labels) if name != UNNAMED])
        labels = tuple(pack.labels[index] for index in self._named)
        classes = sorted(set(labels))
        self.n_classes = len(classes)
        self._classes = torch.tensor([classes.index(label) for label in labels])
        self._sampler = StratifiedSampler(labels)

    def draw(self, how: AugmentationConfig, noise: float) -> tuple[Pictures, Members, Members]:
        """Draw single pictures in either noise realisation, with windows and simulated classes."""
        pack, drawn = self._pack, self._sampler.draw(SIMULATED_BATCH, self._rng)
        chosen = self._named[drawn]
        view = self._lone_view(chosen)
        grey = np.array(pack.values[chosen, view])
        if pack.twins is not None:
            is_twin = self._rng.random(len(chosen)) < 0.5
            grey[is_twin] = pack.twins[chosen[is_twin], view[is_twin]]
        pictures = self._varied(grey, pack.observed[chosen, view], how, noise)
        return pictures, torch.from_numpy(view), self._classes[torch.from_numpy(drawn)]


class _Real(_Source):
    """Samples uniform over groups."""

    def __init__(self, model: ScatteringVAE, pack: Pack, rng: np.random.Generator) -> None:
        super().__init__(model, pack, rng)
        self._sampler = StratifiedSampler(pack.groups)

    def draw(
        self, teacher: _TrunkClassifier
    ) -> tuple[Pictures, Members, Members, Bool[Tensor, " picture"]]:
        """Draw strongly augmented single pictures, windows, the teacher's predictions and
        confidence.

        The teacher predicts by the geometric mean over all views of a glitch.
        """
        pack, chosen = self._pack, self._sampler.draw(REAL_BATCH, self._rng)
        member, view = np.nonzero(np.asarray(pack.observed[chosen]).any(axis=2))
        with torch.no_grad():
            grey, rows = pack.values[chosen[member], view], pack.observed[chosen[member], view]
            slight = self._varied(grey, rows, SLIGHTLY_VARIED, NOISE / 3)
            logs = teacher(slight, torch.from_numpy(view)).log_softmax(dim=1)
            summed = logs.new_zeros(len(chosen), logs.shape[1])
            summed.index_add_(0, torch.from_numpy(member), logs)
            count = torch.from_numpy(np.bincount(member, minlength=len(chosen)))
            probability, answers = (summed / count[:, None]).softmax(dim=1).max(dim=1)
        lone = self._lone_view(chosen)
        grey, rows = pack.values[chosen, lone], pack.observed[chosen, lone]
        pictures = self._varied(grey, rows, STRONGLY_VARIED, STRONG_NOISE)
        self._hide_bands(pictures)
        return pictures, torch.from_numpy(lone), answers, probability > SURE

    def _hide_bands(self, pictures: Pictures) -> None:
        """Set some rows of half of the pictures to quiet, and some columns of half to the mean."""
        n_rows, n_columns = pictures.shape[1:]
        for picture in pictures:
            if self._rng.random() < 0.5:
                picture[self._band(n_rows)] = QUIET
            if self._rng.random() < 0.5:
                picture[:, self._band(n_columns)] = picture.mean()

    def _band(self, length: int) -> slice:
        start = int(self._rng.integers(length - WIDEST_BAND))
        return slice(start, start + int(self._rng.integers(2, WIDEST_BAND)))
