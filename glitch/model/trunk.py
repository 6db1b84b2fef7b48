"""Convolutions trained to classify simulated glitches, as features in addition to the scattering.

Scattering features are not trained; these filters keep what distinguishes simulated classes. They
are trained before the autoencoder and then frozen.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import one_hot

from glitch.model.views_model import Members

CHANNELS = (16, 32, 64, 96)  # each layer halves the picture
HIDDEN = 128
DROPOUT = 0.2
NORM_GROUPS = 8


class Trunk(nn.Module):
    """Features of single pictures, with mean 0 and standard deviation 1 over simulated glitches.

    For each frequency cell the mean and the maximum over time are kept, as in the scattering, so
    that a shift of the picture has little effect. Normalisation is by channel groups of one
    picture.
    """

    centre: Float[Tensor, " feature"]
    spread: Float[Tensor, " feature"]

    def __init__(self, n_views: int, n_rows: int, n_features: int) -> None:
        super().__init__()
        self._n_views, self.n_features = n_views, n_features
        self.layers = nn.Sequential()
        n_in, n_cells = 1, n_rows
        for n_out in CHANNELS:
            self.layers.append(nn.Conv2d(n_in, n_out, 3, 2, 1))
            self.layers.append(nn.GroupNorm(NORM_GROUPS, n_out)).append(nn.GELU())
            n_in, n_cells = n_out, (n_cells + 1) // 2
        self.joiner = nn.Sequential(
            nn.Linear(2 * n_in * n_cells + n_views, HIDDEN),
            nn.LayerNorm(HIDDEN),
            nn.GELU(),
            nn.Dropout(DROPOUT),
            nn.Linear(HIDDEN, n_features),
        )
        self.register_buffer("centre", torch.zeros(n_features))
        self.register_buffer("spread", torch.ones(n_features))

    def forward(
        self, pictures: Float[Tensor, "picture freq time"], view: Members
    ) -> Float[Tensor, "picture feature"]:
        """Return features of pooled pictures, each of the window given by ``view``."""
        # square roots equalise the noise, so that faint structure counts next to bright structure
        amplitudes = pictures.sqrt()[:, None].contiguous(memory_format=torch.channels_last)
        activations = self.layers(amplitudes)  # (N, C, cell, time)
        pooled = torch.cat([activations.mean(dim=3), activations.amax(dim=3)], dim=1).flatten(1)
        window = one_hot(view, self._n_views).to(pooled.dtype)
        features: Tensor = self.joiner(torch.cat([pooled, window], dim=1)).float()
        return (features - self.centre) / self.spread
