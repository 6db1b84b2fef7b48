"""How likely the observed pixels are, given the decoder's picture.

The scale of this likelihood decides what beta means. With a fixed unit variance most of the
distortion is the texture of noise, and a VAE at beta = 1 spends under ten nats on a glitch. So the
variance is learnt (the "sigma-VAE" of Rybkin, Daniilidis and Levine 2021), one for every view and
frequency row, because detector noise is rougher in the long windows and at low frequency.

Pixels of a Q-transform overlap, so they are no independent witnesses: in the noise of simulated
No_Glitch views, the squared autocorrelation sums to 16, 11, 9 and 7 pixels in the four windows
(pooled by 2). Counting every pixel would buy details of the noise; so a tenth of the sum counts.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from glitch.types import ObservedTensor, ViewsTensor

INITIAL_VARIANCE = 0.02  # of an energy over the clip, in [0, 1]
LOWEST_LOG_VARIANCE = math.log(1e-5)  # one grey level of 255, as a standard deviation, is 4e-3


class RowGaussian(nn.Module):
    """Gaussian pixels with one learnt variance for each view and frequency row.

    ``independent_share`` is the number of independent pixels over the number of pixels.
    """

    def __init__(self, n_views: int, n_rows: int, independent_share: float = 1.0) -> None:
        super().__init__()
        self.independent_share = independent_share
        initial = torch.full((n_views, n_rows), math.log(INITIAL_VARIANCE))
        self.row_log_variance = nn.Parameter(initial)  # (V, F)

    def log_variance(self) -> Float[Tensor, "view freq"]:
        """Log of the pixel variance, kept above what eight-bit pictures can resolve."""
        return self.row_log_variance.clamp_min(LOWEST_LOG_VARIANCE)

    def distortion(
        self, target: ViewsTensor, prediction: ViewsTensor, observed: ObservedTensor
    ) -> Float[Tensor, " batch"]:
        """Negative log-likelihood in nats: the sum over observed pixels, times their share."""
        log_variance = self.log_variance()[None, :, :, None]  # (1, V, F, 1)
        squares = (target - prediction).square() * (-log_variance).exp()
        nats = 0.5 * (squares + log_variance + math.log(2 * math.pi))
        return self.independent_share * (nats * observed[..., None]).sum(dim=(1, 2, 3))

    def reduced_chi_square(
        self, target: ViewsTensor, prediction: ViewsTensor, observed: ObservedTensor
    ) -> Float[Tensor, " batch"]:
        """Mean squared residual over the learnt variance; 1 is typical, higher fits worse."""
        log_variance = self.log_variance()[None, :, :, None]
        squares = (target - prediction).square() * (-log_variance).exp() * observed[..., None]
        pixels = observed.sum(dim=(1, 2)) * target.shape[-1]
        return squares.sum(dim=(1, 2, 3)) / pixels.clamp_min(1)
