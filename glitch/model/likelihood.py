"""Likelihood of the observed pixels given the decoder's output.

The scale of this likelihood determines the meaning of beta. With a fixed unit variance most of the
distortion is the texture of noise, and a VAE at beta = 1 uses less than ten nats per glitch. Every
view and frequency row therefore has its own variance, because detector noise is rougher in the long
windows and at low frequency.

Given the decoder's output, the optimal variance is known in closed form: the mean squared residual
(the "optimal sigma-VAE" of Rybkin, Daniilidis and Levine 2021). Learnt by gradient at the common
learning rate, it is still 50 % too large after 2,000 steps, which makes the evidence bound at beta
= 1 hundreds of nats looser and changes the rate for a given beta.

Pixels of a Q-transform overlap, so they are not independent: in the noise of simulated No_Glitch
views, the squared autocorrelation sums to 16, 11, 9 and 7 pixels in the four windows (pooled by 2).
Counting every pixel would make the model spend nats on details of the noise, so a tenth of the sum
is used.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from glitch.types import ObservedTensor, ViewsTensor

INITIAL_VARIANCE = 0.02  # variance of energy divided by the clip, in [0, 1]
LOWEST_LOG_VARIANCE = math.log(1e-5)  # one grey level of 255, as a standard deviation, is 4e-3


@dataclass(frozen=True, eq=False)
class Residuals:
    """Sums for the closed-form variance of a batch; residuals of parts of a batch can be added."""

    squares: Float[Tensor, "view freq"]  # sum of squared residuals over observed pixels
    pixels: Float[Tensor, "view freq"]  # number of observed pixels; 0 for rows never observed

    def variance(self) -> Float[Tensor, "view freq"]:
        """Return the mean squared residual (maximum-likelihood variance); NaN if not observed."""
        return self.squares / self.pixels


def sum_residuals(
    target: ViewsTensor,
    prediction: ViewsTensor,
    observed: ObservedTensor,
    weight: Float[Tensor, " batch"] | None = None,
) -> Residuals:
    """Sum squared residuals by view and frequency row, without gradient.

    Args:
        target: the pixels to be explained.
        prediction: the decoder's mean for them.
        observed: rows that count; values in the others are ignored.
        weight: the weight of each member of the batch, if its distortion is weighted too.
    """
    with torch.no_grad():
        counted = observed.to(target.dtype)
        if weight is not None:
            counted = counted * weight[:, None, None]
        squares = (target - prediction).square().sum(dim=3)  # (B, V, F)
        counted_squares = torch.where(observed, squares * counted, torch.zeros_like(squares))
        return Residuals(counted_squares.sum(dim=0), counted.sum(dim=0) * target.shape[-1])


class RowGaussian(nn.Module):
    """Gaussian pixels with one variance for each view and frequency row.

    ``independent_share`` is the number of independent pixels over the number of pixels.
    """

    def __init__(self, n_views: int, n_rows: int, independent_share: float = 1.0) -> None:
        super().__init__()
        self.independent_share = independent_share
        initial = torch.full((n_views, n_rows), math.log(INITIAL_VARIANCE))
        self.row_log_variance = nn.Parameter(initial)  # (V, F)

    def log_variance(self) -> Float[Tensor, "view freq"]:
        """Return the log of the pixel variance, not below the resolution of eight-bit pictures."""
        return self.row_log_variance.clamp_min(LOWEST_LOG_VARIANCE)

    @torch.no_grad()
    def follow(self, residuals: Residuals, share: float) -> None:
        """Move the variances towards the optimum of a batch, in place.

        At the optimum the derivative by the variance is zero, so the gradient of the weights is
        that of the likelihood maximised over the variance.

        Args:
            residuals: of the batch; rows that it does not observe keep their variance.
            share: fraction of the way to the optimum, in (0, 1]; 1 ignores earlier batches.
        """
        optimum = torch.where(residuals.pixels > 0, residuals.variance(), self.log_variance().exp())
        mean = torch.lerp(self.log_variance().exp(), optimum, share)
        self.row_log_variance.copy_(mean.log().clamp_min(LOWEST_LOG_VARIANCE))

    def distortion(
        self, target: ViewsTensor, prediction: ViewsTensor, observed: ObservedTensor
    ) -> Float[Tensor, " batch"]:
        """Return the negative log-likelihood in nats: the sum over observed pixels, times the
        share.
        """
        log_variance = self.log_variance()[None, :, :, None]  # (1, V, F, 1)
        squares = (target - prediction).square() * (-log_variance).exp()
        nats = 0.5 * (squares + log_variance + math.log(2 * math.pi))
        return self.independent_share * (nats * observed[..., None]).sum(dim=(1, 2, 3))

    def reduced_chi_square(
        self, target: ViewsTensor, prediction: ViewsTensor, observed: ObservedTensor
    ) -> Float[Tensor, " batch"]:
        """Return the mean squared residual over the variance; 1 is typical, higher fits worse."""
        log_variance = self.log_variance()[None, :, :, None]
        squares = (target - prediction).square() * (-log_variance).exp() * observed[..., None]
        pixels = observed.sum(dim=(1, 2)) * target.shape[-1]
        return squares.sum(dim=(1, 2, 3)) / pixels.clamp_min(1)
