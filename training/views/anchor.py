"""Closed-form fit of the linear part of a model, before its first step."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.utils.extmath import randomized_svd

from glitch.errors import GlitchError
from glitch.model import ViewsVAE
from training.data.pack import Pack

CHUNK = 256  # glitches per batch
ROUNDS = 2  # decompositions: the second in units of the residual noise of the first
LOWEST_NOISE = 1e-5  # variance of energy divided by the clip


@torch.no_grad()
def fit_anchor(model: ViewsVAE, packs: list[Pack], n_glitches: int, seed: int) -> int:
    """Fit principal axes and row noise on glitches with all their views (Tipping and Bishop 1999).

    Axes are computed in units of each row's noise; otherwise the loud low frequencies would hide
    the quiet high ones, which some classes need.

    Each pack contributes an equal number, or all it has, drawn without replacement; the sample and
    the decomposition depend only on the seed. The fitted noise initialises the likelihood.

    Args:
        model: changed in place.
        packs: training glitches, never validation ones.
        n_glitches: largest number used; memory grows with it.
        seed: of the sample and of the randomised decomposition.

    Returns:
        The number of glitches used.

    Raises:
        GlitchError: if there are fewer complete glitches than twice the latent dimension.
    """
    rng = np.random.default_rng([seed, 1])
    parts = [_complete(model, pack, n_glitches // len(packs), rng) for pack in packs]
    pixels = np.concatenate(parts)
    latent = model.architecture.latent
    if len(pixels) < 2 * latent:
        raise GlitchError(
            f"Only {len(pixels)} training glitches have all their views, too few to fit "
            f"{latent} linear axes: add data, or set data.anchor_glitches to 0."
        )
    shape = model.anchor.offset.shape
    offset = pixels.mean(axis=0)
    pixels -= offset
    unit = np.ones(shape[:2], dtype=np.float32)  # of each row, (V, F)
    for _ in range(ROUNDS):
        scale = np.repeat(unit.ravel(), shape[2])
        scaled = pixels / scale
        left, spread, axes = randomized_svd(scaled, latent, random_state=seed)
        scaled -= (left * spread) @ axes
        residual = np.square(scaled, out=scaled).mean(axis=0).reshape(shape).mean(axis=2)
        noise = np.maximum(residual * unit**2, LOWEST_NOISE)
        loadings = axes * (spread / np.sqrt(len(pixels)))[:, None] * scale
        unit = np.sqrt(noise)
    model.anchor.offset.copy_(torch.from_numpy(offset).reshape(shape))
    model.anchor.loadings.copy_(torch.from_numpy(loadings).reshape(latent, *shape))
    # Overlapping pixels must not count as independent here either.
    share = model.architecture.independent_share
    model.anchor.precision.copy_(torch.from_numpy(share / noise))
    model.likelihood.row_log_variance.copy_(torch.from_numpy(np.log(noise)))
    return len(pixels)


def _complete(
    model: ViewsVAE, pack: Pack, limit: int, rng: np.random.Generator
) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """Return flat prepared pixels of up to ``limit`` glitches with every row observed."""
    complete = np.nonzero(np.asarray(pack.observed).all(axis=(1, 2)))[0]
    chosen = np.sort(rng.permutation(complete)[:limit])
    n_pixels = model.anchor.offset.numel()
    pixels = np.empty((len(chosen), n_pixels), dtype=np.float32)
    for start in range(0, len(chosen), CHUNK):
        prepared, _ = model.prepare(*pack.tensors(chosen[start : start + CHUNK]))
        pixels[start : start + CHUNK] = prepared.flatten(1).numpy()
    return pixels
