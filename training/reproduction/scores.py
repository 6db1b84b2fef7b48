"""Scores of a finished run: rate, distortion, ELBO, and the six metrics of disentanglement."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from glitch.errors import FormatError
from glitch.model import kl_to_standard_normal, sample_posterior
from training.dsprites import PictureSet, PictureVAE, load_picture_run
from training.dsprites.architecture import bernoulli_distortion
from training.dsprites.packed import DSpritesPictures
from training.evaluation.disentanglement import (
    EncodedGrid,
    beta_vae_score,
    dci_disentanglement,
    factor_vae_score,
    modularity,
    mutual_information_gap,
    separated_attribute_predictability,
)
from training.reproduction.tiers import Tier

SCORES_FILE = "scores.json"
METRICS = {
    "beta_vae": "BetaVAE",
    "factor_vae": "FactorVAE",
    "mig": "MIG",
    "dci": "DCI",
    "modularity": "Modularity",
    "sap": "SAP",
}
_JUDGE_SEED = 20_201_206  # same pictures and noise for every run
_CHUNK = 256
_N_LIVE_PICTURES = 1_024


@dataclass(frozen=True)
class RateAndDistortion:
    """Means over pictures, nats, with one sample of the latent for each picture."""

    rate: float
    distortion: float
    rate_of_latents: tuple[float, ...]

    @property
    def elbo(self) -> float:
        """Evidence lower bound, nats; higher is better."""
        return -(self.rate + self.distortion)


@torch.inference_mode()
def rate_and_distortion(
    model: PictureVAE, pictures: PictureSet, n_pictures: int
) -> RateAndDistortion:
    """Measure rate and distortion of pictures drawn uniformly from the set, in single precision."""
    rng = np.random.default_rng(_JUDGE_SEED)
    indices = rng.integers(len(pictures), size=n_pictures)
    generator = torch.Generator().manual_seed(_JUDGE_SEED)
    rates = torch.zeros(model.architecture.latent, dtype=torch.float64)
    distortion = 0.0
    for start in range(0, n_pictures, _CHUNK):
        batch = torch.from_numpy(pictures.pictures(indices[start : start + _CHUNK]))
        posterior = model.encode(batch)
        logits = model.decode(sample_posterior(posterior, generator))
        distortion += bernoulli_distortion(logits, batch).double().sum().item()
        rates += kl_to_standard_normal(posterior).double().sum(dim=0)
    per_latent = (rates / n_pictures).tolist()
    return RateAndDistortion(sum(per_latent), distortion / n_pictures, tuple(per_latent))


@torch.inference_mode()
def encode_grid(model: PictureVAE, pictures: DSpritesPictures, stride: int) -> EncodedGrid:
    """Encode dSprites: every ``stride``-th orientation, x and y, and all other factor values."""
    everything = np.arange(len(pictures)).reshape(pictures.factor_sizes)
    chosen = everything[:, :, ::stride, ::stride, ::stride]
    flat = chosen.ravel()
    means = np.empty((flat.size, model.architecture.latent), dtype=np.float32)
    for start in range(0, flat.size, _CHUNK):
        batch = torch.from_numpy(pictures.pictures(flat[start : start + _CHUNK]))
        means[start : start + _CHUNK] = model.encode(batch).mean.numpy()
    return EncodedGrid(means.reshape(*chosen.shape, -1))


def disentanglement(grid: EncodedGrid, n_points: int, seed: int = 0) -> dict[str, float]:
    """Compute all six metrics (higher is better), and Modularity over live latents."""
    draws = [np.random.default_rng([seed, index]) for index in range(len(METRICS))]
    sizes = {"n_train": n_points, "n_test": n_points // 2}
    modular = modularity(grid, draws[4], n_points=n_points)
    factor = factor_vae_score(grid, draws[1], n_variance=n_points, **sizes)
    return {
        "beta_vae": beta_vae_score(grid, draws[0], **sizes),
        "factor_vae": factor.accuracy,
        "mig": mutual_information_gap(grid, draws[2], n_points=n_points),
        "dci": dci_disentanglement(grid, draws[3], n_train=n_points),
        "modularity": modular.all_latents,
        "modularity_live": modular.active_latents,
        "sap": separated_attribute_predictability(grid, draws[5], **sizes),
        "live_latents": float(factor.n_active_latents),
    }


@torch.inference_mode()
def live_channels(model: PictureVAE, pictures: PictureSet) -> list[int]:
    """Count the channels of each encoder convolution whose ReLU is active for any picture.

    A channel that is never active has no gradient and stays dead; a strong pull to the prior kills
    many.
    """
    indices = np.random.default_rng(_JUDGE_SEED).integers(len(pictures), size=_N_LIVE_PICTURES)
    activations = torch.from_numpy(pictures.pictures(indices))
    counts = []
    for layer in model.encoder:
        if isinstance(layer, nn.Flatten):
            break
        activations = layer(activations)
        if isinstance(layer, nn.ReLU):
            counts.append(int((activations > 0).any(dim=0).any(dim=1).any(dim=1).sum()))
    return counts


def score_run(folder: Path, pictures: DSpritesPictures, tier: Tier) -> dict[str, Any]:
    """Read the scores of a finished run from its folder, or compute and store them.

    Raises:
        FormatError: if the stored scores are not JSON.
    """
    path = folder / SCORES_FILE
    _, model, step = load_picture_run(folder)
    if path.exists():
        try:
            saved: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise FormatError(
                f"{path} is damaged: delete it, and it will be measured again."
            ) from error
        if saved["step"] == step:
            if "live_channels" not in saved:  # scored by a version without this count
                saved["live_channels"] = live_channels(model, pictures)
                _save_scores(path, saved)
            return saved
    found = rate_and_distortion(model, pictures, tier.n_judged)
    grid = encode_grid(model, pictures, tier.grid_stride)
    scores: dict[str, Any] = {
        "step": step,
        "rate": found.rate,
        "distortion": found.distortion,
        "elbo": found.elbo,
        "rate_of_latents": list(found.rate_of_latents),
        "n_judged": tier.n_judged,
        "live_channels": live_channels(model, pictures),
        "metrics": disentanglement(grid, tier.n_points),
    }
    _save_scores(path, scores)
    return scores


def _save_scores(path: Path, scores: dict[str, Any]) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(scores, indent=1) + "\n", encoding="utf-8")
    partial.replace(path)
