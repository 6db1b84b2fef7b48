"""The linear part of the model: a factor analysis with an exact posterior.

A linear model already distinguishes most glitches, but stochastic gradients take many thousands of
steps to find it: within the time budget of a CPU a purely convolutional VAE was worse than pixel
PCA (docs/science/model.md). The linear part is therefore fitted in closed form before training, and
convolutions learn the rest.

Absent views and rows need no imputation: conditioning a Gaussian on the observed pixels is exact.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from glitch.model.divergence import Posterior
from glitch.model.views_model import PooledRows, PooledTensor
from glitch.types import LatentTensor


class LinearAnchor(nn.Module):
    """Pixels = offset + loadings . z + independent noise, one precision per row; z ~ N(0, 1).

    All three are fixed (buffers). They are zero until fitted: the prediction is then zero and the
    posterior is the prior.
    """

    offset: Float[Tensor, "view pooled_freq pooled_time"]
    loadings: Float[Tensor, "latent view pooled_freq pooled_time"]
    precision: Float[Tensor, "view pooled_freq"]

    def __init__(self, latent: int, n_views: int, n_rows: int, n_columns: int) -> None:
        super().__init__()
        self.register_buffer("offset", torch.zeros(n_views, n_rows, n_columns))
        self.register_buffer("loadings", torch.zeros(latent, n_views, n_rows, n_columns))
        self.register_buffer("precision", torch.zeros(n_views, n_rows))

    def posterior(self, pixels: PooledTensor, observed: PooledRows) -> Posterior:
        """Compute mean and marginal log-variances of z given the observed rows, in closed form."""
        # Half precision would lose the small differences in sums over thousands of pixels.
        with torch.autocast(pixels.device.type, enabled=False):
            weighted = self.loadings * self.precision[..., None]  # (L, V, F, T)
            gram = torch.einsum("lvft,mvft->vflm", weighted, self.loadings)
            deviation = (pixels - self.offset) * observed[..., None]
            evidence = deviation.flatten(1) @ weighted.flatten(1).T  # (B, L)
            mask = observed.flatten(1).to(gram.dtype)  # (B, V F)
            n_latent = gram.shape[2]
            information = (mask @ gram.reshape(-1, n_latent**2)).reshape(-1, n_latent, n_latent)
            information = information + torch.eye(n_latent, device=gram.device)
            covariance = torch.linalg.inv(information)  # (B, L, L)
            mean = (covariance @ evidence[..., None])[..., 0]
            variances = covariance.diagonal(dim1=1, dim2=2).clamp_min(1e-6)
        return Posterior(mean, variances.log())

    def paint(self, latent: LatentTensor) -> PooledTensor:
        """Return the expected pixels of every view."""
        with torch.autocast(latent.device.type, enabled=False):
            painted = latent.float() @ self.loadings.flatten(1)  # (B, V F T)
            return painted.reshape(-1, *self.offset.shape) + self.offset
