"""Decoding of latent vectors to pictures in closed form: a kernel regression on the sphere.

A picture is the mean picture of its window plus principal components, whose coefficients are a
linear function of the vector's kernel similarity to some hundred known vectors (a von Mises-Fisher
kernel, whose width is chosen on glitches left out of the fit). Everything is found by least squares
once the encoder is trained: this takes seconds, and no gradient changes the latent space.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import normalize

from glitch.types import LatentTensor

Pictures = Float[Tensor, "picture freq time"]
Traits = Float[Tensor, "vector trait"]


class Painter(nn.Module):
    """Decodes one window of each vector. All buffers, and the output, are zero until fitted."""

    centres: Float[Tensor, "centre latent"]
    focus: Float[Tensor, ""]
    offset: Float[Tensor, "view pixel"]
    axes: Float[Tensor, "view axis pixel"]
    weights: Float[Tensor, "view trait axis"]

    def __init__(
        self, latent: int, n_views: int, shape: tuple[int, int], n_centres: int, n_axes: int
    ) -> None:
        super().__init__()
        self._shape = shape
        n_pixels, n_traits = shape[0] * shape[1], n_centres + latent + 1
        self.register_buffer("centres", torch.zeros(n_centres, latent))
        self.register_buffer("focus", torch.zeros(()))
        self.register_buffer("offset", torch.zeros(n_views, n_pixels))
        self.register_buffer("axes", torch.zeros(n_views, n_axes, n_pixels))
        self.register_buffer("weights", torch.zeros(n_views, n_traits, n_axes))

    def traits(self, latent: LatentTensor) -> Traits:
        """Return the regressors: similarity to each centre, the vector itself, and one."""
        nearness = normalize(latent, dim=1) @ normalize(self.centres, dim=1).T - 1  # in [-2, 0]
        one = latent.new_ones(len(latent), 1)
        return torch.cat([(self.focus * nearness).exp(), latent, one], dim=1)

    def forward(self, latent: LatentTensor, view: Tensor) -> Pictures:
        """Decode each row of ``latent`` to one picture, of the window given by ``view``."""
        with torch.autocast(latent.device.type, enabled=False):
            traits = self.traits(latent.float())
            painted = latent.new_zeros(len(latent), self.offset.shape[1], dtype=torch.float32)
            for window in range(len(self.offset)):
                chosen = view == window
                if bool(chosen.any()):
                    focused = traits[chosen] @ self.weights[window]
                    painted[chosen] = self.offset[window] + focused @ self.axes[window]
            return painted.reshape(-1, *self._shape)
