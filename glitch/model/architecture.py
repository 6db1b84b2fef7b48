"""ViewsVAE: a convolutional variational autoencoder over four views, any of which may be absent.

All views that are present go through one shared trunk; a learnt offset encodes the window. The
features of the views are concatenated, zero for absent views, and joined into the posterior. The
decoder mirrors this. An absent view therefore costs no time and adds no information. The result for
one member of a batch does not depend on the others: normalisation is by channel groups of one view
(Wu and He 2018), never over the batch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import relu

from glitch.errors import GlitchError
from glitch.model.anchor import LinearAnchor
from glitch.model.divergence import HIGHEST_LOG_VARIANCE, LOWEST_LOG_VARIANCE, Posterior
from glitch.model.likelihood import RowGaussian
from glitch.model.views_model import Members, PooledRows, PooledTensor, ViewsModel
from glitch.types import LatentTensor


@dataclass(frozen=True)
class Architecture:
    """Everything that fixes the shapes of the weights. Recorded in a checkpoint's manifest."""

    n_views: int = 4
    n_frequency: int = 128
    n_time: int = 128
    pooling: int = 2  # input and output are means over pooling x pooling pixels
    channels: tuple[int, ...] = (32, 64, 96, 128)  # of the encoder; each layer halves the picture
    painter_channels: tuple[int, ...] = (16, 32, 64, 128)  # of the decoder, finest first
    hidden: int = 256
    latent: int = 32
    independent_share: float = 0.1  # of the pixels, which overlap; see glitch.model.likelihood
    has_normalised_features: bool = (
        False  # layer normalisation before the ReLU of each view's features
    )

    def __post_init__(self) -> None:
        for name in ("n_views", "n_frequency", "n_time", "pooling", "hidden", "latent"):
            if getattr(self, name) < 1:
                raise GlitchError(f"The architecture's {name} must be at least 1.")
        if not 0 < self.independent_share <= 1:
            raise GlitchError("The architecture's independent_share must lie in (0, 1].")
        if not self.channels or min(*self.channels, *self.painter_channels) < 1:
            raise GlitchError("The architecture's channels must be positive, at least one.")
        if len(self.painter_channels) != len(self.channels):
            raise GlitchError(
                "The architecture's painter_channels must be as many as its channels: "
                "the decoder doubles the picture as often as the encoder halves it."
            )
        shrink = self.pooling * 2 ** len(self.channels)
        if self.n_frequency % shrink or self.n_time % shrink:
            raise GlitchError(
                f"Views of {self.n_frequency} x {self.n_time} pixels cannot be halved "
                f"{len(self.channels)} times after pooling by {self.pooling}: "
                f"choose sizes that {shrink} divides."
            )

    @property
    def coarsest(self) -> tuple[int, int]:
        """Shape (freq, time) of one view after the last convolution."""
        shrink = self.pooling * 2 ** len(self.channels)
        return self.n_frequency // shrink, self.n_time // shrink


def _norm_groups(n_channels: int) -> int:
    return math.gcd(8, n_channels)


class ViewsVAE(ViewsModel):
    """Encoder and decoder. Pixels inside the model are energies divided by the clip, pooled."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self._architecture = architecture
        channels, hidden = architecture.channels, architecture.hidden
        painter = architecture.painter_channels
        n_coarsest = architecture.coarsest[0] * architecture.coarsest[1]
        self.trunk = nn.Sequential()
        for n_in, n_out in zip((2, *channels), channels, strict=False):
            self.trunk.append(nn.Conv2d(n_in, n_out, 4, 2, 1))
            self.trunk.append(nn.GroupNorm(_norm_groups(n_out), n_out)).append(nn.ReLU())
        self.features = nn.Linear(channels[-1] * n_coarsest, hidden)
        self.feature_offset = nn.Parameter(0.1 * torch.randn(architecture.n_views, hidden))
        # With mean zero, no training step can switch off all features.
        self.feature_norm = (
            nn.LayerNorm(hidden) if architecture.has_normalised_features else nn.Identity()
        )
        n_joined = architecture.n_views * (hidden + 1) + architecture.latent
        self.join = nn.Linear(n_joined, hidden)
        self.correction = nn.Linear(hidden, 2 * architecture.latent)

        self.spread = nn.Linear(architecture.latent, hidden)
        self.picture_offset = nn.Parameter(0.1 * torch.randn(architecture.n_views, hidden))
        self.picture_hidden = nn.Linear(hidden, hidden)
        self.picture = nn.Linear(hidden, painter[-1] * n_coarsest)
        self.painter = nn.Sequential()
        outward = (*reversed(painter), 1)
        for n_in, n_out in pairwise(outward):
            self.painter.append(nn.ConvTranspose2d(n_in, n_out, 4, 2, 1))
            if n_out > 1:  # the picture itself is neither normalised nor rectified
                self.painter.append(nn.GroupNorm(_norm_groups(n_out), n_out)).append(nn.ReLU())
        n_rows = architecture.n_frequency // architecture.pooling
        n_columns = architecture.n_time // architecture.pooling
        self.likelihood = RowGaussian(architecture.n_views, n_rows, architecture.independent_share)
        self.anchor = LinearAnchor(architecture.latent, architecture.n_views, n_rows, n_columns)
        # Training starts from the linear part alone: the other parts contribute zero at first.
        for last in (self.correction, self.painter[-1]):
            for weight in last.parameters():
                nn.init.zeros_(weight)

    @property
    def architecture(self) -> Architecture:
        return self._architecture

    def encode(self, pixels: PooledTensor, observed: PooledRows) -> Posterior:
        """Correct the linear part's posterior of prepared views by convolutions."""
        linear = self.anchor.posterior(pixels, observed)
        n_batch, n_views = observed.shape[:2]
        present = observed.any(dim=2)  # (B, V)
        member, view = present.nonzero(as_tuple=True)
        features = self._features_of(pixels, observed, member, view)
        slots = features.new_zeros(n_batch, n_views, features.shape[1])
        slots = slots.index_put((member, view), features)
        joined = torch.cat([slots.flatten(1), present.to(features.dtype), linear.mean], dim=1)
        shift, widening = self.correction(relu(self.join(joined))).float().chunk(2, dim=1)
        log_variance = linear.log_variance + widening
        return Posterior(
            linear.mean + shift, log_variance.clamp(LOWEST_LOG_VARIANCE, HIGHEST_LOG_VARIANCE)
        )

    def _features_of(
        self, pixels: PooledTensor, observed: PooledRows, member: Members, view: Members
    ) -> Float[Tensor, "picture hidden"]:
        """Return features of single pictures, before they are joined."""
        mask = observed[..., None].expand_as(pixels).to(pixels.dtype)
        # Square roots equalise the noise, so that faint structure counts next to bright structure.
        pictures = torch.stack([pixels.sqrt()[member, view], mask[member, view]], dim=1)
        pictures = pictures.contiguous(memory_format=torch.channels_last)  # (N, 2, F, T)
        flat = self.trunk(pictures).flatten(1)
        features = self.features(flat).float() + self.feature_offset[view]
        activated: Tensor = relu(self.feature_norm(features))
        return activated

    def live_features(self, pixels: PooledTensor, observed: PooledRows) -> Bool[Tensor, " hidden"]:
        """Determine which features are active for any of these images.

        If none is, the posterior depends only on which views are present and on the linear part. An
        inactive ReLU has no gradient, so this is permanent.
        """
        member, view = observed.any(dim=2).nonzero(as_tuple=True)
        return (self._features_of(pixels, observed, member, view) > 0).any(dim=0)

    def paint(
        self, latent: LatentTensor, member: Members, view: Members
    ) -> Float[Tensor, "picture pooled_freq pooled_time"]:
        """Return the expected pixels, one picture for each pair of ``member`` and ``view``."""
        architecture = self.architecture
        hidden = relu(self.spread(latent)[member] + self.picture_offset[view])
        coarse = relu(self.picture(relu(self.picture_hidden(hidden))))
        coarse = coarse.reshape(-1, architecture.painter_channels[-1], *architecture.coarsest)
        coarse = coarse.contiguous(memory_format=torch.channels_last)
        linear: Tensor = self.anchor.paint(latent)[member, view]
        painted: Tensor = linear + self.painter(coarse).float()[:, 0]  # (N, F, T)
        return painted
