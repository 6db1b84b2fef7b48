"""Fit of the linear part of a model in closed form, before its first step."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.utils.extmath import randomized_svd

from glitch.errors import GlitchError
from glitch.model import ViewsVAE
from training.data.pack import Pack

CHUNK = 256  # glitches prepared at a time
ROUNDS = 2  # of decomposition: the second in units of the noise that the first left
LOWEST_NOISE = 1e-5  # variance of energy over the clip


@torch.no_grad()
def fit_anchor(model: ViewsVAE, packs: list[Pack], n_glitches: int, seed: int) -> int:
    """Principal axes and row noise of glitches that have all their views (Tipping and Bishop 1999).

    Axes are sought in units of each row's noise, or the quiet high frequencies, where some classes
    live, would drown under the loud low ones.

    Each pack gives an equal share, or all it has, drawn without replacement; the draw and the
    decomposition depend on the seed alone. The likelihood starts with the noise found.

    Args:
        model: changed in place.
        packs: training glitches, never validation ones.
        n_glitches: at most so many are used; memory grows with it.
        seed: of the draw and of the randomised decomposition.

    Returns:
        How many glitches were used.

    Raises:
        GlitchError: if fewer complete glitches than twice the latent's size are found.
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
    # Overlapping pixels must not count as independent witnesses here either.
    share = model.architecture.independent_share
    model.anchor.precision.copy_(torch.from_numpy(share / noise))
    model.likelihood.row_log_variance.copy_(torch.from_numpy(np.log(noise)))
    return len(pixels)


def _complete(
    model: ViewsVAE, pack: Pack, limit: int, rng: np.random.Generator
) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """Prepared pixels, flat, of up to ``limit`` glitches with every row observed."""
    complete = np.nonzero(np.asarray(pack.observed).all(axis=(1, 2)))[0]
    chosen = np.sort(rng.permutation(complete)[:limit])
    n_pixels = model.anchor.offset.numel()
    pixels = np.empty((len(chosen), n_pixels), dtype=np.float32)
    for start in range(0, len(chosen), CHUNK):
        prepared, _ = model.prepare(*pack.tensors(chosen[start : start + CHUNK]))
        pixels[start : start + CHUNK] = prepared.flatten(1).numpy()
    return pixels
