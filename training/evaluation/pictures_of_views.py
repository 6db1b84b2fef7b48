"""Images of what a model of views has learnt: reconstructions and latent traversals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32

from glitch.model import ViewsModel
from glitch.views import VIEW_DURATIONS_S
from training.core.plots import GREY, figure
from training.data.pack import Pack
from training.evaluation.measures.rates import ACTIVE_VARIANCE, Rates

SPAN = 2.0  # largest values of a traversal, in standard deviations of the prior
N_STEPS = 7
MAX_LATENTS = 12
TOP = 0.6


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """One view of a glitch and its reconstruction; energy divided by the clip."""

    label: str
    duration_s: float
    seen: Float32[np.ndarray, "freq time"]
    painted: Float32[np.ndarray, "freq time"]


@torch.inference_mode()
def reconstruct(model: ViewsModel, pack: Pack, *, n_glitches: int = 10) -> list[Reconstruction]:
    """Reconstruct one glitch of each of the most common classes, in its shortest window.

    It is the first of its class in the order of groups, not a selected example.
    """
    labels = np.asarray(pack.labels)
    names, counts = np.unique(labels, return_counts=True)
    common = [str(name) for name in names[np.argsort(-counts, kind="stable")][:n_glitches]]
    chosen = [
        min(np.nonzero(labels == name)[0], key=lambda index: pack.groups[index]) for name in common
    ]
    pixels, rows = model.prepare(*pack.tensors(np.asarray(chosen)))
    is_target = rows.any(dim=2)
    painted = model.decode(model.encode(pixels, rows).mean, is_target).float().numpy()
    results: list[Reconstruction] = []
    for place, label in enumerate(common):
        view = int(is_target[place].nonzero()[0])
        duration_s = VIEW_DURATIONS_S[view]
        original = pixels[place, view].numpy()
        results.append(Reconstruction(label, duration_s, original, painted[place, view]))
    return results


def draw_reconstructions(path: Path, found: Sequence[Reconstruction]) -> None:
    """Draw three rows: input, reconstruction, and their difference on a diverging scale."""
    with figure(path, 3, len(found), width=1.0 * len(found), height=3.5) as (drawn, axes):
        for column, one in enumerate(found):
            pictures = (one.seen, one.painted, one.seen - one.painted)
            for row, picture in enumerate(pictures):
                axis = axes[row, column]
                limits = (-0.5, 0.5) if row == 2 else (0, 1)
                colours = "RdBu_r" if row == 2 else "viridis"
                axis.imshow(
                    picture, origin="lower", aspect="auto", cmap=colours, vmin=limits[0],
                    vmax=limits[1],
                )  # fmt: skip
                axis.set_xticks([])
                axis.set_yticks([])
            label = one.label.replace("_", "\n", 1)
            axes[0, column].set_title(f"{label}\n{one.duration_s:g} s", fontsize=6.5, loc="center")
        for row, word in enumerate(("input", "reconstruction", "difference")):
            axes[row, 0].set_ylabel(word, fontsize=8)
        drawn.get_layout_engine().set(w_pad=0.01, h_pad=0.01)


@torch.inference_mode()
def draw_traversals(path: Path, model: ViewsModel, rates: Rates, *, view: int = 2) -> None:
    """Draw the latents with the highest KL, each varied from -2 to 2 with the others at zero.

    Latents whose mean does not vary over glitches are grey. The colour scale ends at ``TOP`` of the
    clip, because a single latent never gives bright pictures.

    Args:
        path: of the picture.
        model: in evaluation mode.
        rates: of held-out glitches; they order the latents.
        view: index of the window.
    """
    order = np.argsort(-rates.rate_of_latents, kind="stable")[:MAX_LATENTS]
    steps = np.linspace(-SPAN, SPAN, N_STEPS)
    latents = torch.zeros(len(order), N_STEPS, model.architecture.latent)
    for row, latent in enumerate(order):
        latents[row, :, int(latent)] = torch.from_numpy(steps).float()
    is_target = torch.zeros(len(order) * N_STEPS, model.architecture.n_views, dtype=torch.bool)
    is_target[:, view] = True
    painted = model.decode(latents.flatten(0, 1), is_target)[:, view].float().numpy()
    pictures = painted.reshape(len(order), N_STEPS, *painted.shape[1:])
    with figure(path, len(order), N_STEPS, width=5.2, height=0.62 * len(order)) as (drawn, axes):
        for row, latent in enumerate(order):
            is_dead = rates.variance_of_means[latent] <= ACTIVE_VARIANCE
            for column in range(N_STEPS):
                axis = axes[row, column]
                axis.imshow(
                    pictures[row, column], origin="lower", aspect="auto", vmin=0, vmax=TOP,
                    cmap="gray" if is_dead else "viridis", alpha=0.35 if is_dead else 1.0,
                )  # fmt: skip
                axis.set_xticks([])
                axis.set_yticks([])
                if row == 0:
                    axis.set_title(f"{steps[column]:+.1f}", fontsize=7, loc="center")
            axes[row, 0].set_ylabel(
                f"{latent}\n{rates.rate_of_latents[latent]:.1f} nats",
                fontsize=6,
                rotation=0,
                ha="right",
                va="center",
                color=GREY if is_dead else "black",
            )
        drawn.get_layout_engine().set(w_pad=0.01, h_pad=0.01)
