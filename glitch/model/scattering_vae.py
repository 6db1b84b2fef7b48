"""ScatteringVAE: a variational autoencoder of scattering features, which also decodes views.

Each view that is present is turned into scattering features (:mod:`glitch.model.scattering`),
projected on the principal axes of many glitches, and, if the architecture has a trunk, features of
convolutions trained on simulated classes (:mod:`glitch.model.trunk`). A shared network reads them
together with the window's length, and the mean over the views present gives the posterior. Any
number of views therefore gives comparable vectors, an absent view adds nothing, and the result for
one member of a batch does not depend on the others.

Posterior means are on a sphere whose radius is the square root of the latent dimension, where a
standard normal prior has nearly all its mass. Euclidean distance and angle then give the same order
of neighbours, so neighbours, novelty, clusters and the map share one distance.

Two decoders share the latent vector: one predicts the features, with one variance for each window
kept at its optimum; the other predicts pictures, for residuals and traversals
(:mod:`glitch.model.painter`). Features have length one; the logarithm of the removed length, the
loudness, is one more input and output, because without it no picture could be decoded at its
brightness. Two linear heads learn from simulated glitches alone: the simulated class, and the
parameters of the simulation. No human label is used to train the encoder.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import normalize, one_hot

from glitch.errors import GlitchError
from glitch.model.divergence import HIGHEST_LOG_VARIANCE, LOWEST_LOG_VARIANCE, Posterior
from glitch.model.likelihood import RowGaussian
from glitch.model.painter import Painter
from glitch.model.scattering import ScatteringFeatures, extended
from glitch.model.trunk import Trunk
from glitch.model.views_model import Members, PooledRows, PooledTensor, ViewsModel
from glitch.types import LatentTensor

FRONT_END = "wavelet_scattering"

Projected = Float[Tensor, "picture axis"]  # features on the principal axes, and the loudness
Read = Float[Tensor, "picture read"]  # the same, and the trunk's features
LOUDNESS_CENTRE = -2.3  # subtracted, so that the input has about mean 0 and variance 1 or less


@dataclass(frozen=True)
class ScatteringArchitecture:
    """Everything that fixes the shapes of the weights. Recorded in a checkpoint's manifest."""

    front_end: str = FRONT_END
    n_views: int = 4
    n_frequency: int = 128
    n_time: int = 128
    pooling: int = 2  # input and output are means over pooling x pooling pixels
    scales: int = 3  # of the wavelets; a frequency cell has 2 ** scales pooled rows
    directions: int = 8
    axes: int = 256  # number of principal axes of the features
    trunk: int = 0  # features of convolutions trained on simulated classes; 0: no trunk
    hidden: int = 512
    dropout: float = 0.1
    latent: int = 32
    painter_centres: int = 512  # kernel centres of the picture decoder
    painter_axes: int = 96  # principal axes of each window's pictures
    independent_share: float = 0.1  # of the pixels, which overlap; see glitch.model.likelihood
    classes: tuple[str, ...] = ()  # simulated classes that the first head predicts
    parameters: tuple[str, ...] = ()  # simulation parameters that the second head predicts

    def __post_init__(self) -> None:
        if self.front_end != FRONT_END:
            raise GlitchError(
                f"The front end '{self.front_end}' is unknown here: this release has {FRONT_END}."
            )
        sizes = ("n_views", "n_frequency", "n_time", "pooling", "scales", "directions", "axes")
        for name in (*sizes, "hidden", "latent", "painter_centres", "painter_axes"):
            if getattr(self, name) < 1:
                raise GlitchError(f"The architecture's {name} must be at least 1.")
        if self.trunk < 0:
            raise GlitchError("The architecture's trunk must not be negative.")
        if not 0 <= self.dropout < 1:
            raise GlitchError("The architecture's dropout must lie in [0, 1).")
        if not 0 < self.independent_share <= 1:
            raise GlitchError("The architecture's independent_share must lie in (0, 1].")
        shrink = self.pooling * 2**self.scales
        if self.n_frequency % shrink or self.n_time % shrink:
            raise GlitchError(
                f"Views of {self.n_frequency} x {self.n_time} pixels cannot be halved "
                f"{self.scales} times after pooling by {self.pooling}: choose sizes that "
                f"{shrink} divides."
            )

    @property
    def pooled(self) -> tuple[int, int]:
        """Shape (freq, time) of a view as the model sees it."""
        return self.n_frequency // self.pooling, self.n_time // self.pooling


class ScatteringVAE(ViewsModel):
    """Encoder, feature decoder and picture decoder."""

    mean: Float[Tensor, " feature"]
    projection: Float[Tensor, "feature axis"]
    axis_log_variance: Float[Tensor, " view"]

    def __init__(self, architecture: ScatteringArchitecture) -> None:
        super().__init__()
        self._architecture = architecture
        n_rows, n_columns = architecture.pooled
        hidden, latent, n_views = architecture.hidden, architecture.latent, architecture.n_views
        self.front_end = ScatteringFeatures(
            n_rows, n_columns, architecture.scales, architecture.directions
        )
        # Fitted before the first step; the features are zero until then.
        self.register_buffer("mean", torch.zeros(self.front_end.n_features))
        shape = (self.front_end.n_features, architecture.axes)
        self.register_buffer("projection", torch.zeros(shape))
        self.register_buffer("axis_log_variance", torch.zeros(n_views))
        n_explained = architecture.axes + 1
        n_read = n_explained + architecture.trunk
        self.trunk = Trunk(n_views, n_rows, architecture.trunk) if architecture.trunk else None
        if self.trunk is not None:
            self.trunk.requires_grad_(False)
        self.reader = _layer(n_read + n_views, hidden, architecture.dropout)
        self.joiner = _layer(hidden, hidden, architecture.dropout)
        self.posterior = nn.Linear(hidden, 2 * latent)
        self.explainer = nn.Sequential(
            nn.Linear(latent + n_views, hidden), nn.GELU(), nn.Linear(hidden, n_explained)
        )
        self.namer = nn.Linear(latent, len(architecture.classes)) if architecture.classes else None
        self.describer = (
            nn.Linear(latent, len(architecture.parameters)) if architecture.parameters else None
        )
        self.painter = Painter(
            latent,
            n_views,
            architecture.pooled,
            architecture.painter_centres,
            architecture.painter_axes,
        )
        self.likelihood = RowGaussian(n_views, n_rows, architecture.independent_share)
        self.likelihood.row_log_variance.requires_grad_(False)

    @property
    def architecture(self) -> ScatteringArchitecture:
        return self._architecture

    def project(
        self, pictures: Float[Tensor, "picture freq time"], observed: Tensor, view: Members
    ) -> Read:
        """Return features on the principal axes, the loudness, and the trunk's features."""
        projected = self.project_features(*self.front_end(pictures, observed))
        if self.trunk is None:
            return projected
        return torch.cat([projected, self.trunk(extended(pictures, observed), view)], dim=1)

    def project_features(
        self, features: Float[Tensor, "picture feature"], loudness: Float[Tensor, " picture"]
    ) -> Projected:
        """Project features and loudness to the encoder's input and the decoder's target."""
        # An unobserved cell is zero, and its deviation must be zero too.
        projected: Projected = (features - self.mean * (features != 0)) @ self.projection
        return torch.cat([projected, loudness[:, None] - LOUDNESS_CENTRE], dim=1)

    def encode(self, pixels: PooledTensor, observed: PooledRows) -> Posterior:
        """Return the posterior of prepared views; absent views add nothing."""
        member, view = observed.any(dim=2).nonzero(as_tuple=True)
        projected = self.project(pixels[member, view], observed[member, view], view)
        return self.encode_projected(projected, member, view, len(pixels))

    def encode_projected(
        self, projected: Read, member: Members, view: Members, n_batch: int
    ) -> Posterior:
        """Return the posterior given the projected features of the views present.

        Args:
            projected: one row for each view present, with the trunk's features last.
            member: the glitch of each row, from 0 to ``n_batch`` - 1, each at least once.
            view: the view of each row.
            n_batch: number of glitches.
        """
        window = one_hot(view, self._architecture.n_views).to(projected.dtype)
        read = self.reader(torch.cat([projected, window], dim=1)).float()  # (N, hidden)
        total = read.new_zeros(n_batch, read.shape[1]).index_add(0, member, read)
        count = read.new_zeros(n_batch).index_add(0, member, torch.ones_like(member).float())
        joined = self.joiner(total / count.clamp_min(1)[:, None])
        direction, log_variance = self.posterior(joined).float().chunk(2, dim=1)
        mean = math.sqrt(self._architecture.latent) * normalize(direction, dim=1)
        return Posterior(mean, log_variance.clamp(LOWEST_LOG_VARIANCE, HIGHEST_LOG_VARIANCE))

    def class_probabilities(
        self, latent: LatentTensor
    ) -> tuple[tuple[str, ...], Float[Tensor, "batch class"]] | None:
        if self.namer is None:
            return None
        return self._architecture.classes, self.namer(latent).softmax(dim=1)

    def explain(self, latent: LatentTensor, member: Members, view: Members) -> Projected:
        """Return the expected features, one row for each pair of ``member`` and ``view``."""
        window = one_hot(view, self._architecture.n_views).to(latent.dtype)
        explained: Tensor = self.explainer(torch.cat([latent[member], window], dim=1))
        return explained.float()

    def paint(
        self, latent: LatentTensor, member: Members, view: Members
    ) -> Float[Tensor, "picture pooled_freq pooled_time"]:
        """Return the expected pixels, one picture for each pair of ``member`` and ``view``."""
        painted: Tensor = self.painter(latent[member], view)
        return painted


def _layer(n_in: int, n_out: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(n_in, n_out), nn.LayerNorm(n_out), nn.GELU(), nn.Dropout(dropout)
    )
