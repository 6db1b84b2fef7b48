"""Fit of the picture decoder to a trained encoder, by least squares on its vectors."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float
from sklearn.utils.extmath import randomized_svd
from torch import Tensor

from glitch.model import Residuals, ScatteringVAE
from training.data.pack import GREY_LEVELS
from training.views.augmented import AugmentedFeatures

FOCUSES = (2.0, 4.0, 8.0)  # concentrations of the kernel
PENALTIES = (
    1e-4,
    1e-3,
    1e-2,
)  # ridge penalties of the weights, in units of the regressors' mean square
LEFT_OUT = 5  # every LEFT_OUT-th glitch is used to choose focus and penalty
MAX_EACH = 2_500  # glitches of each part
REAL_COUNTS = 4  # weight of real pictures, which are fewer than simulated ones and matter more
BATCH = 128


@torch.no_grad()
def fit_painter(model: ScatteringVAE, parts: Mapping[str, AugmentedFeatures], seed: int) -> None:
    """Fit centres, axes and weights of the painter, and set the pixel variances to its residuals.

    Every glitch is decoded from the vector of all its views and from that of each lone one, so that
    both decode well. Focus and penalty minimise the error on glitches left out of the fit.

    Args:
        model: changed in place; in evaluation mode.
        parts: looks of "real" and of simulated glitches; the first look of each is the target.
        seed: of the choice of glitches and centres.
    """
    rng = np.random.default_rng([seed, 4])
    rows: dict[int, list[tuple[Tensor, Tensor, Tensor]]] = {}
    for name, looks in parts.items():
        times = REAL_COUNTS if name == "real" else 1
        chosen = np.sort(rng.permutation(len(looks.present))[:MAX_EACH])
        for start in range(0, len(chosen), BATCH):
            for view, latent, pixels, is_held_out in _samples(model, looks, chosen, start):
                rows.setdefault(view, []).extend([(latent, pixels, is_held_out)] * times)
    windows = {
        view: tuple(torch.cat(column) for column in zip(*batches, strict=True))
        for view, batches in sorted(rows.items())
    }
    everything = torch.cat([latent for latent, _, _ in windows.values()])
    centres = rng.integers(len(everything), size=len(model.painter.centres))
    model.painter.centres.copy_(everything[torch.from_numpy(centres)])
    bases = {view: _axes(pixels, model, seed) for view, (_, pixels, _) in windows.items()}
    best, best_setting = np.inf, None
    for focus in FOCUSES:
        model.painter.focus.fill_(focus)
        for penalty in PENALTIES:
            squared_error = 0.0
            for view, (latent, pixels, is_held_out) in windows.items():
                offset, axes = bases[view]
                traits, targets = model.painter.traits(latent), (pixels - offset) @ axes.T
                weights = _ridge(traits[~is_held_out], targets[~is_held_out], penalty)
                error = traits[is_held_out] @ weights - targets[is_held_out]
                squared_error += float(error.square().sum())
            if squared_error < best:
                best, best_setting = squared_error, (focus, penalty)
    if best_setting is None:
        return
    focus, penalty = best_setting
    model.painter.focus.fill_(focus)
    squares = torch.zeros_like(model.likelihood.row_log_variance)
    counts = torch.zeros_like(squares)
    for view, (latent, pixels, is_held_out) in windows.items():
        offset, axes = bases[view]
        traits, targets = model.painter.traits(latent), (pixels - offset) @ axes.T
        # residuals on left-out glitches estimate the variance for new glitches
        tried = _ridge(traits[~is_held_out], targets[~is_held_out], penalty)
        painted = offset + (traits[is_held_out] @ tried) @ axes
        errors = (pixels[is_held_out] - painted).square().reshape(-1, *model.architecture.pooled)
        squares[view] = errors.sum(dim=(0, 2))
        counts[view] = errors.shape[0] * errors.shape[2]
        model.painter.offset[view] = offset
        model.painter.axes[view, : len(axes)] = axes
        weights = _ridge(traits, targets, penalty)
        model.painter.weights[view, :, : weights.shape[1]] = weights
    model.likelihood.follow(Residuals(squares, counts), 1.0)


def _samples(
    model: ScatteringVAE, looks: AugmentedFeatures, chosen: np.ndarray, start: int
) -> list[tuple[int, Tensor, Tensor, Tensor]]:
    """Return (window, vectors, pixels, whether each is left out) of one batch of glitches."""
    batch = chosen[start : start + BATCH]
    present = torch.from_numpy(looks.present[batch])
    features = looks.features[torch.from_numpy(batch), 0]
    grey = torch.from_numpy(np.ascontiguousarray(looks.pictures[batch])).float() / GREY_LEVELS
    pixels, _ = model.prepare(grey, torch.from_numpy(looks.observed[batch]))
    is_held_out = torch.from_numpy(batch % LEFT_OUT == 0)
    member, view = present.nonzero(as_tuple=True)
    joint = model.encode_projected(features[member, view], member, view, len(batch)).mean
    lone = torch.arange(len(member))
    alone = model.encode_projected(features[member, view], lone, view, len(member)).mean
    samples = []
    for window in sorted(set(view.tolist())):
        in_window = view == window
        owners = member[in_window]
        latent = torch.cat([joint[owners], alone[in_window]])
        twice = torch.cat([owners, owners])
        samples.append((window, latent, pixels[twice, window].flatten(1), is_held_out[twice]))
    return samples


def _axes(pixels: Tensor, model: ScatteringVAE, seed: int) -> tuple[Tensor, Tensor]:
    """Compute mean picture and principal axes of a window's pictures."""
    offset = pixels.mean(dim=0)
    n_axes = min(model.painter.axes.shape[1], *pixels.shape)
    _, _, axes = randomized_svd((pixels - offset).numpy(), n_axes, random_state=seed)
    return offset, torch.from_numpy(np.ascontiguousarray(axes)).float()


def _ridge(
    traits: Float[Tensor, "row trait"], targets: Float[Tensor, "row axis"], penalty: float
) -> Float[Tensor, "trait axis"]:
    """Solve least squares with a penalty on all weights."""
    gram = (traits.T @ traits).double()
    size = penalty * gram.diagonal().mean()
    gram += size * torch.eye(len(gram), dtype=torch.float64)
    solved: Tensor = torch.linalg.solve(gram, (traits.T @ targets).double())
    return solved.float()
