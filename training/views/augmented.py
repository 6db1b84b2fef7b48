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

CHUNK = 16  # glitches per batch

_Members = Int[Tensor, " picture"]
RawFeatures = Float16[
    np.ndarray, "glitch look view feature"
]  # the last scattering feature is the loudness


@dataclass(frozen=True, eq=False)
class AugmentedFeatures:
    """Projected features of every augmented copy ("look"), and the views that are present."""

    features: Float32[torch.Tensor, "glitch look view axis"]
    present: Bool[np.ndarray, "glitch view"]
    pictures: PackedViews  # packed values, for the picture decoder
    observed: Bool[np.ndarray, "glitch view freq"]


def views_present(pack: Pack) -> Bool[np.ndarray, "glitch view"]:
    """Determine which views have an observed row."""
    return np.asarray(np.any(pack.observed, axis=2), dtype=np.bool_)


def _pictures(
    model: ScatteringVAE, packs: Mapping[str, Pack], config: LooksConfig, seed: int
) -> Iterator[tuple[str, int, Int[np.ndarray, " picture"], _Members, Tensor, Tensor]]:
    """Yield the pictures of every look, prepared for the model, and their observed rows, in
    batches.

    A pure function of packs, seed and ``config``. Real glitches have one look without augmentation
    and several with; simulated ones have one in each noise realisation. Each batch comes with its
    pack, its look, and the glitch and view of each picture.
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
    """Compute scattering features of every look at each pack; absent views are zero."""
    looks = _empty(packs, config, model.front_end.n_features + 1)
    for name, look, glitch, view, pictures, rows in _pictures(model, packs, config, seed):
        features, loudness = model.front_end(pictures, rows)
        both = torch.cat([features, loudness[:, None]], dim=1)
        looks[name][glitch, look, view.numpy()] = both.half().numpy()
    return looks


@torch.no_grad()
def trunk_features(
    model: ScatteringVAE, packs: Mapping[str, Pack], config: LooksConfig, seed: int
) -> dict[str, RawFeatures]:
    """Compute the trunk's features of the same looks; empty if the model has no trunk."""
    looks = _empty(packs, config, model.architecture.trunk)
    if model.trunk is None:
        return looks
    trunk = model.trunk.eval()  # a continued run starts in training mode, which has dropout
    for name, look, glitch, view, pictures, rows in _pictures(model, packs, config, seed):
        features = trunk(extended(pictures, rows), view)
        looks[name][glitch, look, view.numpy()] = features.half().numpy()
    return looks


@torch.no_grad()
def project_copies(
    model: ScatteringVAE, raw: RawFeatures, by_trunk: RawFeatures, pack: Pack
) -> AugmentedFeatures:
    """Project raw looks on the model's principal axes, and append the trunk's features."""
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
    """Compute mean and principal axes of the features of single views, into the model's buffers.

    Args:
        model: changed in place.
        parts: raw looks and the views present, of real and of simulated glitches.
        n_each: largest number of views of each part.
        seed: of the sample and the randomised decomposition.

    Raises:
        GlitchError: if there are fewer views than axes.
    """
    rng = np.random.default_rng([seed, 2])
    rows = []
    for raw, present in parts:
        glitch, view = np.nonzero(present)
        sampled = rng.permutation(len(glitch))[:n_each]
        rows.append(raw[glitch[sampled], 0, view[sampled], :-1].astype(np.float32))
    features = np.concatenate(rows)
    n_axes = model.projection.shape[1]
    if len(features) < n_axes:
        raise GlitchError(
            f"There are only {len(features)} views to fit {n_axes} principal axes: "
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
    """Return one look of each chosen glitch."""
    return looks.features[torch.from_numpy(chosen), torch.from_numpy(which)]
