"""The variational autoencoder over views: architecture, likelihood, divergence."""

from glitch.model.anchor import LinearAnchor
from glitch.model.architecture import Architecture, ViewsVAE
from glitch.model.divergence import Posterior, kl_to_standard_normal, sample_posterior
from glitch.model.likelihood import Residuals, RowGaussian, sum_residuals

__all__ = [
    "Architecture",
    "LinearAnchor",
    "Posterior",
    "Residuals",
    "RowGaussian",
    "ViewsVAE",
    "kl_to_standard_normal",
    "sample_posterior",
    "sum_residuals",
]
