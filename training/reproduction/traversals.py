"""Figures 3 and 4: the effect of each latent on the image, inactive latents in grey."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float32

from training.core.plots import figure
from training.dsprites import PictureSet, PictureVAE
from training.dsprites.packed import DSpritesPictures
from training.dsprites.source import FACTOR_NAMES
from training.evaluation.disentanglement.information import information_matrix
from training.reproduction.artefacts import write_csv
from training.reproduction.scores import encode_grid

DEAD_DEVIATION = 0.05  # standard deviation of the posterior mean over the data, as in the metrics
_N_EXAMPLES = 8
_GREY = 0.25  # contrast of the row of a dead latent


@dataclass(frozen=True)
class LatentUse:
    """The role of one latent over the data."""

    index: int
    deviation: float  # standard deviation of its posterior mean
    attribute: (
        str  # the factor with most mutual information, or "dead", or "live" if no factors are known
    )
    information: float  # mutual information with that factor, nats

    @property
    def is_dead(self) -> bool:
        """Whether it carries no information."""
        return self.deviation < DEAD_DEVIATION


@torch.inference_mode()
def traverse(
    model: PictureVAE, centre: Float32[np.ndarray, " latent"], values: np.ndarray
) -> Float[np.ndarray, "latent value row column"]:
    """Decode pictures with one latent at a time set to each value, the others at ``centre``."""
    n_latent = centre.size
    latents = np.tile(centre, (n_latent, len(values), 1)).astype(np.float32)
    for latent in range(n_latent):
        latents[latent, :, latent] = values
    painted = model.paint(torch.from_numpy(latents.reshape(-1, n_latent)))
    return painted[:, 0].numpy().reshape(n_latent, len(values), *painted.shape[2:])


def uses_on_dsprites(
    model: PictureVAE, pictures: DSpritesPictures, stride: int, rng: np.random.Generator
) -> list[LatentUse]:
    """Determine the spread of each latent, and the factor with most mutual information."""
    grid = encode_grid(model, pictures, stride)
    factors, codes = grid.draw(5_000, rng)
    information = information_matrix(factors, codes)  # (latent, factor)
    spread = codes.std(axis=0)
    return [
        LatentUse(
            index,
            float(spread[index]),
            "dead" if spread[index] < DEAD_DEVIATION else FACTOR_NAMES[int(each.argmax())],
            float(each.max()),
        )
        for index, each in enumerate(information)
    ]


@torch.inference_mode()
def uses_on_pictures(model: PictureVAE, pictures: PictureSet, n_pictures: int) -> list[LatentUse]:
    """Determine the spread of each latent on pictures without known factors."""
    chosen = np.linspace(0, len(pictures) - 1, min(n_pictures, len(pictures))).astype(np.int64)
    means = model.encode(torch.from_numpy(pictures.pictures(chosen))).mean.numpy()
    spread = means.std(axis=0)
    return [
        LatentUse(index, float(one), "dead" if one < DEAD_DEVIATION else "live", float("nan"))
        for index, one in enumerate(spread)
    ]


@torch.inference_mode()
def draw_traversals(
    stem: Path,
    model: PictureVAE,
    pictures: PictureSet,
    *,
    uses: list[LatentUse],
    examples: np.ndarray,
    span: float,
) -> None:
    """Write ``stem.png`` (originals, reconstructions, one row per latent) and ``stem.csv``.

    Args:
        stem: path without suffix.
        model: in evaluation mode.
        pictures: source of the examples.
        uses: of each latent; dead ones are grey.
        examples: flat indices of the originals; the first is the centre of the traversals.
        span: latents run from minus to plus this.
    """
    originals = torch.from_numpy(pictures.pictures(examples))
    means = model.encode(originals).mean
    painted = model.paint(means)[:, 0].numpy()
    values = np.linspace(-span, span, len(examples))
    rows = traverse(model, means[0].numpy(), values)
    order = sorted(uses, key=lambda use: -use.deviation)
    n_rows = len(order) + 2
    width, height = 0.55 * len(examples) + 2.2, 0.58 * n_rows + 0.4
    row_images = [("original", originals[:, 0].numpy(), False), ("reconstruction", painted, False)]
    row_images += [(f"z{u.index}: {u.attribute}", rows[u.index], u.is_dead) for u in order]
    side = originals.shape[-1]
    cell = side + max(1, side // 16)  # a picture and the gap to the next
    # All in one image: matplotlib takes a tenth of a second for each pair of axes.
    sheet = np.ones((n_rows * cell, len(examples) * cell), dtype=np.float32)
    for row, column in np.ndindex(n_rows, len(examples)):
        _, images, is_dead = row_images[row]
        picture = _GREY * images[column] + 0.5 * (1 - _GREY) if is_dead else images[column]
        top, left = row * cell, column * cell
        sheet[top : top + side, left : left + side] = picture
    with figure(stem.with_suffix(".png"), width=width, height=height) as (_, panels):
        axes = panels[0, 0]
        axes.imshow(sheet, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        middles = np.arange(max(n_rows, len(examples))) * cell + (side - 1) / 2
        axes.set_yticks(middles[:n_rows], [label for label, _, _ in row_images], fontsize=8)
        axes.set_xticks(middles[: len(examples)], [f"{value:.1f}" for value in values], fontsize=7)
        for name, (_, _, is_dead) in zip(axes.get_yticklabels(), row_images, strict=True):
            name.set_color("0.55" if is_dead else "black")
    write_csv(
        stem.with_suffix(".csv"),
        [
            {
                "latent": use.index,
                "deviation_of_mean": use.deviation,
                "attribute": use.attribute,
                "information_nats": use.information,
                "is_dead": use.is_dead,
            }
            for use in order
        ],
    )


def spread_examples(pictures: PictureSet, rng: np.random.Generator) -> np.ndarray:
    """Draw flat indices of a few pictures uniformly."""
    return np.sort(rng.integers(len(pictures), size=_N_EXAMPLES))
