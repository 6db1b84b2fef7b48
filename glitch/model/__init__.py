"""The variational autoencoders over views: architectures, likelihood, divergence."""

from glitch.model.anchor import LinearAnchor
from glitch.model.architecture import Architecture, ViewsVAE
from glitch.model.building import AnyArchitecture, architecture_kind, build_model
from glitch.model.divergence import Posterior, kl_to_standard_normal, sample_posterior
from glitch.model.likelihood import Residuals, RowGaussian, sum_residuals
from glitch.model.painter import Painter
from glitch.model.scattering import Scattering, ScatteringFeatures
from glitch.model.scattering_vae import ScatteringArchitecture, ScatteringVAE
from glitch.model.trunk import Trunk
from glitch.model.views_model import ViewsModel

__all__ = [
    "AnyArchitecture",
    "Architecture",
    "LinearAnchor",
    "Painter",
    "Posterior",
    "Residuals",
    "RowGaussian",
    "Scattering",
    "ScatteringArchitecture",
    "ScatteringFeatures",
    "ScatteringVAE",
    "Trunk",
    "ViewsModel",
    "ViewsVAE",
    "architecture_kind",
    "build_model",
    "kl_to_standard_normal",
    "sample_posterior",
    "sum_residuals",
]
