"""Batches: the glitches of a step, their augmentation, and the hidden views.

Everything is a pure function of (pack, seed, step), so a resumed run draws the same batches without
a saved generator state.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from glitch.errors import GlitchError
from glitch.types import ObservedTensor, ViewsTensor
from training.data.config import AugmentationConfig
from training.data.pack import GREY_LEVELS, Pack, PackedViews


@dataclass(frozen=True, eq=False)
class Batch:
    """The targets of the decoder, and the part of them that the encoder gets."""

    values: ViewsTensor  # energy divided by the clip, [0, 1]
    observed: ObservedTensor
    input_views: Bool[Tensor, "batch view"]  # the encoder's input
    target_views: Bool[Tensor, "batch view"]  # the decoder's targets in this step
    target_weight: Float[
        Tensor, " batch"
    ]  # number of observed views / number of targets: keeps the sum unbiased

    def to(self, device: torch.device) -> Batch:
        """Move the batch to a device."""
        return Batch(**{name: value.to(device) for name, value in vars(self).items()})


class StratifiedSampler:
    """Draws strata (groups, or labels of simulated views) uniformly, then a member of each."""

    def __init__(self, strata: tuple[str, ...]) -> None:
        if not strata:
            raise GlitchError("There is no glitch to draw a batch from.")
        members: dict[str, list[int]] = {}
        for index, stratum in enumerate(strata):
            members.setdefault(stratum, []).append(index)
        self._members = [np.asarray(members[name]) for name in sorted(members)]

    def draw(self, n_draws: int, rng: np.random.Generator) -> Int[np.ndarray, " draw"]:
        """Draw positions of glitches, with replacement."""
        strata = rng.integers(len(self._members), size=n_draws)
        share = rng.random(n_draws)
        return np.asarray(
            [
                self._members[stratum][int(place * len(self._members[stratum]))]
                for stratum, place in zip(strata, share, strict=True)
            ],
            dtype=np.int64,
        )


class BatchSource:
    """Mixes real glitches (uniform over groups) and simulated ones (uniform over labels)."""

    def __init__(
        self,
        real: Pack | None,
        simulated: Pack | None,
        *,
        real_share: float,
        batch_size: int,
        augmentation: AugmentationConfig,
        seed: int,
    ) -> None:
        n_real = batch_size if simulated is None else round(real_share * batch_size)
        n_real = 0 if real is None else n_real
        self._parts: list[tuple[Pack, StratifiedSampler, int]] = []
        if real is not None and n_real:
            self._parts.append((real, StratifiedSampler(real.groups), n_real))
        if simulated is not None and n_real < batch_size:
            sampler = StratifiedSampler(simulated.labels)
            self._parts.append((simulated, sampler, batch_size - n_real))
        self._augmentation, self._seed = augmentation, seed

    @property
    def packs(self) -> list[Pack]:
        """The packs that batches are drawn from."""
        return [pack for pack, _, _ in self._parts]

    def batch(self, step: int) -> Batch:
        """Return the batch of a step, always the same for the same step."""
        rng = np.random.default_rng([self._seed, step])
        drawn = [(pack, sampler.draw(size, rng)) for pack, sampler, size in self._parts]
        grey = np.concatenate([pack.values[indices] for pack, indices in drawn])
        rows = np.concatenate([pack.observed[indices] for pack, indices in drawn])
        observed = torch.from_numpy(rows)
        varied = vary(grey, self._augmentation, rng)
        input_views = hide_views(observed, self._augmentation, rng)
        target_views, weight = choose_targets(observed, self._augmentation.owed_views, rng)
        return Batch(varied, observed, input_views, target_views, weight)


def vary(
    grey: PackedViews, augmentation: AugmentationConfig, rng: np.random.Generator
) -> ViewsTensor:
    """Shift each view in time, then scale each glitch's energy and clip it again.

    Shifts are applied to bytes, one view at a time: indexing floats took longer than the encoder.
    """
    n_batch, n_views, _, n_time = grey.shape
    limit = augmentation.shift_pixels
    shifts = rng.integers(-limit, limit + 1, size=(n_batch, n_views))
    # Edges are repeated, not wrapped around.
    columns = np.clip(np.arange(n_time) - shifts[..., None], 0, n_time - 1)
    shifted = np.empty_like(grey)
    for member, view in np.ndindex(n_batch, n_views):
        shifted[member, view] = grey[member, view][:, columns[member, view]]
    spread = np.log(augmentation.energy_scale)
    factors = np.exp(rng.uniform(-spread, spread, n_batch)).astype(np.float32)
    scale = torch.from_numpy(factors / GREY_LEVELS)[:, None, None, None]
    return torch.from_numpy(shifted).float().mul_(scale).clamp_(max=1.0)


def hide_views(
    observed: ObservedTensor, augmentation: AugmentationConfig, rng: np.random.Generator
) -> Bool[Tensor, "batch view"]:
    """Choose the encoder's input: all views, one of them, or a random non-empty subset."""
    present = observed.any(dim=2).numpy()  # (B, V)
    n_batch = len(present)
    order = _random_ranks(present, rng)
    counts = present.sum(axis=1)
    subset_size = 1 + (rng.random(n_batch) * counts).astype(np.int64)
    draws = rng.random(n_batch)
    is_single = draws < augmentation.single_view_share
    is_subset = draws < augmentation.single_view_share + augmentation.some_views_share
    n_visible = np.where(is_single, 1, np.where(is_subset, subset_size, counts))
    input_views = present & (order < n_visible[:, None])
    return torch.from_numpy(input_views)


def choose_targets(
    observed: ObservedTensor, limit: int, rng: np.random.Generator
) -> tuple[Bool[Tensor, "batch view"], Float[Tensor, " batch"]]:
    """Choose at most ``limit`` random views of each glitch, and the weight of their distortion.

    Decoding all four views takes most of a step's time. A random subset, weighted by the inverse of
    its fraction, has the same expected distortion and gradient.
    """
    present = observed.any(dim=2).numpy()
    target_views = present & (_random_ranks(present, rng) < limit)
    weight = present.sum(axis=1) / np.maximum(target_views.sum(axis=1), 1)
    return torch.from_numpy(target_views), torch.from_numpy(weight).float()


def single_view(
    present: Bool[np.ndarray, "batch view"], rng: np.random.Generator
) -> Int[np.ndarray, " batch"]:
    """Choose one of each member's present views at random."""
    view: Int[np.ndarray, " batch"] = _random_order(present, rng)[:, 0]
    return view


def _random_ranks(
    present: Bool[np.ndarray, "batch view"], rng: np.random.Generator
) -> Int[np.ndarray, "batch view"]:
    """Return random ranks of each member's present views, from 0; absent ones come last."""
    return _random_order(present, rng).argsort(axis=1)


def _random_order(
    present: Bool[np.ndarray, "batch view"], rng: np.random.Generator
) -> Int[np.ndarray, "batch view"]:
    return np.where(present, rng.random(present.shape), np.inf).argsort(axis=1)
