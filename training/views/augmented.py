"""Augmented copies of glitches: scattering features, computed once and used in many steps.

The front end has no weights, so features need not be computed again in every step. Each glitch has
a few copies, shifted in time and scaled in energy, projected on the model's principal axes. The
trunk is trained before, and its features are stored in the same way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float16, Float32, Int
from sklearn.utils.extmath import randomized_svd
from torch import Tensor

from glitch.errors import GlitchError
from glitch.model import ScatteringVAE
from glitch.model.scattering import extended
from training.data.config import PLAIN, AugmentationConfig
from training.data.pack import Pack, PackedViews
from training.data.sampling import vary
from training.views.guided_config import LooksConfig

CHUNK = 16  # glitches prepared at a time

_Members = Int[Tensor, " picture"]
RawFeatures = Float16[
    np.ndarray, "glitch look view feature"
]  # of scattering the last is the loudness


@dataclass(frozen=True, eq=False)
class AugmentedFeatures:
    """Projected features of every look, and which views are there."""

    features: Float32[torch.Tensor, "glitch look view axis"]
    present: Bool[np.ndarray, "glitch view"]
    pictures: PackedViews  # as packed, for the picture decoder
    observed: Bool[np.ndarray, "glitch view freq"]


def views_present(pack: Pack) -> Bool[np.ndarray, "glitch view"]:
    """Which views have an observed row."""
    return np.asarray(np.any(pack.observed, axis=2), dtype=np.bool_)


def _pictures(
    model: ScatteringVAE, packs: Mapping[str, Pack], config: LooksConfig, seed: int
) -> Iterator[tuple[str, int, Int[np.ndarray, " picture"], _Members, Tensor, Tensor]]:
    """Every look's pictures as the model prepares them, and their observed rows, in small parts.

    A pure function of packs, seed and ``config``. Real glitches are seen as they are and varied;
    simulated ones once in each of their noises. Each part says its pack, its look, and which glitch
    and view each picture is of.
    """
    how = AugmentationConfig(shift_pixels=config.shift_pixels, energy_scale=config.energy_scale)
    for index, (name, pack) in enumerate(packs.items()):
        rng = np.random.default_rng([seed, index, 3])
        for look, source in enumerate(_sources(name, pack, config)):
            for start in range(0, len(pack), CHUNK):
                chosen = np.arange(start, min(start + CHUNK, len(pack)))
                is_plain = name == "real" and look == 0
                values = vary(np.asarray(source[chosen]), PLAIN if is_plain else how, rng)
                observed = torch.from_numpy(np.asarray(pack.observed[chosen]))
                pixels, rows = model.prepare(values, observed)
                member, view = rows.any(dim=2).nonzero(as_tuple=True)
                glitch = start + member.numpy()
                yield name, look, glitch, view, pixels[member, view], rows[member, view]


def _sources(name: str, pack: Pack, config: LooksConfig) -> list[PackedViews]:
    if name == "real":
        return [pack.values] * config.real_looks
    return [pack.values] if pack.twins is None else [pack.values, pack.twins]


def _empty(
    packs: Mapping[str, Pack], config: LooksConfig, n_features: int
) -> dict[str, RawFeatures]:
    return {
        name: np.zeros(
            (len(pack), len(_sources(name, pack, config)), pack.observed.shape[1], n_features),
            dtype=np.float16,
        )
        for name, pack in packs.items()
    }


@torch.no_grad()
def scattering_features(
    model: ScatteringVAE, packs: Mapping[str, Pack], config: LooksConfig, seed: int
) -> dict[str, RawFeatures]:
    """Scattering features of every look that training takes at each pack; absent views zero."""
    looks = _empty(packs, config, model.front_end.n_features + 1)
    for name, look, glitch, view, pictures, rows in _pictures(model, packs, config, seed):
        found, loudness = model.front_end(pictures, rows)
        both = torch.cat([found, loudness[:, None]], dim=1)
        looks[name][glitch, look, view.numpy()] = both.half().numpy()
    return looks


@torch.no_grad()
def trunk_features(
    model: ScatteringVAE, packs: Mapping[str, Pack], config: LooksConfig, seed: int
) -> dict[str, RawFeatures]:
    """The trunk's features of the same looks; no features where the model has no trunk."""
    looks = _empty(packs, config, model.architecture.trunk)
    if model.trunk is None:
        return looks
    trunk = model.trunk.eval()  # a run that continues begins in the mode that has dropout
    for name, look, glitch, view, pictures, rows in _pictures(model, packs, config, seed):
        found = trunk(extended(pictures, rows), view)
        looks[name][glitch, look, view.numpy()] = found.half().numpy()
    return looks


@torch.no_grad()
def project_copies(
    model: ScatteringVAE, raw: RawFeatures, by_trunk: RawFeatures, pack: Pack
) -> AugmentedFeatures:
    """Raw looks on the model's principal axes, and the trunk's features behind them."""
    shape = (*raw.shape[:3], model.projection.shape[1] + 1)
    features = torch.zeros(*shape[:3], shape[3] + by_trunk.shape[3])
    present = views_present(pack)
    for start in range(0, len(raw), CHUNK):
        part = torch.from_numpy(raw[start : start + CHUNK]).float()
        flat = part.flatten(0, 2)
        projected = model.project_features(flat[:, :-1], flat[:, -1])
        features[start : start + CHUNK, ..., : shape[3]] = projected.reshape(*part.shape[:3], -1)
        features[start : start + CHUNK, ..., shape[3] :] = torch.from_numpy(
            by_trunk[start : start + CHUNK]
        ).float()
    return AugmentedFeatures(features, present, pack.values, np.asarray(pack.observed))


@torch.no_grad()
def fit_axes(
    model: ScatteringVAE,
    parts: list[tuple[RawFeatures, Bool[np.ndarray, "glitch view"]]],
    n_each: int,
    seed: int,
) -> None:
    """Mean and principal axes of lone views' features, into the model's buffers.

    Args:
        model: changed in place.
        parts: raw looks and which views are present, of real and of simulated glitches.
        n_each: at most so many views of each part.
        seed: of the draw and the randomised decomposition.

    Raises:
        GlitchError: if there are fewer views than axes.
    """
    rng = np.random.default_rng([seed, 2])
    rows = []
    for raw, present in parts:
        glitch, view = np.nonzero(present)
        kept = rng.permutation(len(glitch))[:n_each]
        rows.append(raw[glitch[kept], 0, view[kept], :-1].astype(np.float32))
    features = np.concatenate(rows)
    n_axes = model.projection.shape[1]
    if len(features) < n_axes:
        raise GlitchError(
            f"Only {len(features)} views are there to find {n_axes} principal axes among: "
            "add data, or lower architecture.axes."
        )
    mean = features.mean(axis=0)
    _, spread, axes = randomized_svd(features - mean, n_axes, random_state=seed)
    scale = float(np.sqrt(np.mean(spread**2) / len(features)))
    model.mean.copy_(torch.from_numpy(mean))
    model.projection.copy_(torch.from_numpy(np.ascontiguousarray(axes.T) / scale))


def drawn(
    looks: AugmentedFeatures, chosen: Int[np.ndarray, " draw"], which: Int[np.ndarray, " draw"]
) -> Float32[torch.Tensor, "draw view axis"]:
    """One look of each chosen glitch."""
    return looks.features[torch.from_numpy(chosen), torch.from_numpy(which)]
