"""Looks at glitches: scattering features of varied pictures, made once and learnt from often.

The front end has no weights, so features need not be made again in every step: each glitch has a
few looks, shifted in time and scaled in energy, projected on the model's principal axes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float16, Float32, Int
from sklearn.utils.extmath import randomized_svd

from glitch.errors import GlitchError
from glitch.model import ScatteringVAE
from training.data.config import AugmentationConfig
from training.data.pack import Pack, PackedViews
from training.data.sampling import vary
from training.views.guided_config import LooksConfig

CHUNK = 16  # glitches prepared at a time

RawLooks = Float16[np.ndarray, "glitch look view feature"]  # the last is the loudness


@dataclass(frozen=True, eq=False)
class Looks:
    """Projected features of every look, and which views are there."""

    features: Float32[torch.Tensor, "glitch look view axis"]
    present: Bool[np.ndarray, "glitch view"]
    pictures: PackedViews  # as packed, for the picture decoder
    observed: Bool[np.ndarray, "glitch view freq"]


def views_present(pack: Pack) -> Bool[np.ndarray, "glitch view"]:
    """Which views have an observed row."""
    return np.asarray(np.any(pack.observed, axis=2), dtype=np.bool_)


@torch.no_grad()
def raw_looks(
    model: ScatteringVAE,
    pack: Pack,
    sources: list[PackedViews],
    config: LooksConfig,
    rng: np.random.Generator,
    *,
    is_first_plain: bool,
) -> RawLooks:
    """Scattering features of each glitch, one look from each of ``sources``; absent views zero.

    Args:
        model: whose front end looks.
        pack: the glitches; its observed rows hold for every source.
        sources: pictures to look at, for example the same ones several times.
        config: how looks vary.
        rng: of the variation.
        is_first_plain: whether the first look is the picture as it is.
    """
    how = AugmentationConfig(shift_pixels=config.shift_pixels, energy_scale=config.energy_scale)
    plain = AugmentationConfig(shift_pixels=0, energy_scale=1.0)
    n_views = pack.observed.shape[1]
    shape = (len(pack), len(sources), n_views, model.front_end.n_features + 1)
    looks = np.zeros(shape, dtype=np.float16)
    for look, source in enumerate(sources):
        for start in range(0, len(pack), CHUNK):
            chosen = np.arange(start, min(start + CHUNK, len(pack)))
            chosen_how = plain if is_first_plain and look == 0 else how
            values = vary(np.asarray(source[chosen]), chosen_how, rng)
            observed = torch.from_numpy(np.asarray(pack.observed[chosen]))
            pixels, rows = model.prepare(values, observed)
            member, view = rows.any(dim=2).nonzero(as_tuple=True)
            found, loudness = model.front_end(pixels[member, view], rows[member, view])
            both = torch.cat([found, loudness[:, None]], dim=1)
            looks[start + member.numpy(), look, view.numpy()] = both.half().numpy()
    return looks


def see(
    model: ScatteringVAE, packs: Mapping[str, Pack], config: LooksConfig, seed: int
) -> dict[str, RawLooks]:
    """The looks that training takes at each pack: a pure function of packs, seed and ``config``.

    Real glitches are seen as they are and varied; simulated ones once in each of their noises.
    """
    found = {}
    for index, (name, pack) in enumerate(packs.items()):
        rng = np.random.default_rng([seed, index, 3])
        if name == "real":
            sources = [pack.values] * config.real_looks
        else:
            sources = [pack.values] if pack.twins is None else [pack.values, pack.twins]
        found[name] = raw_looks(model, pack, sources, config, rng, is_first_plain=name == "real")
    return found


@torch.no_grad()
def project_looks(model: ScatteringVAE, raw: RawLooks, pack: Pack) -> Looks:
    """Raw looks on the model's principal axes."""
    shape = (*raw.shape[:3], model.projection.shape[1] + 1)
    features = torch.zeros(shape)
    present = views_present(pack)
    for start in range(0, len(raw), CHUNK):
        part = torch.from_numpy(raw[start : start + CHUNK]).float()
        flat = part.flatten(0, 2)
        projected = model.project_features(flat[:, :-1], flat[:, -1])
        features[start : start + CHUNK] = projected.reshape(*part.shape[:3], -1)
    return Looks(features, present, pack.values, np.asarray(pack.observed))


@torch.no_grad()
def fit_axes(
    model: ScatteringVAE,
    parts: list[tuple[RawLooks, Bool[np.ndarray, "glitch view"]]],
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
    looks: Looks, chosen: Int[np.ndarray, " draw"], which: Int[np.ndarray, " draw"]
) -> Float32[torch.Tensor, "draw view axis"]:
    """One look of each chosen glitch."""
    return looks.features[torch.from_numpy(chosen), torch.from_numpy(which)]
