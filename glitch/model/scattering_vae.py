"""ScatteringVAE: a variational autoencoder of the scattering of views, which also paints them.

Each view that is present becomes scattering features (:mod:`glitch.model.scattering`), projected
on the principal axes of many glitches, and, where the architecture has a trunk, features of
convolutions that learnt simulated classes (:mod:`glitch.model.trunk`). A shared network reads them
with the window's length, and the mean over the views present gives the posterior. So one view,
some or all give vectors that can be compared, an absent one adds nothing, and no member of a batch
changes another's result.

Posterior means lie on a sphere whose radius is the root of the latent's size, where nearly all of
a standard normal prior's mass is. Euclidean distance and angle then order neighbours alike: there
is one distance for neighbours, novelty, clusters and the map.

Two decoders share the latent: one explains the features, with one variance for each window kept at
its optimum; the other paints pictures, for residuals and traversals (:mod:`glitch.model.painter`).
Features have length one, so the logarithm of what was divided by, the loudness, goes beside them
as one more number: without it no picture could be painted as bright as it is. Two linear heads
learn from simulated glitches alone: which class was simulated, and with which parameters. No human
label has a part in the encoder.
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

Projected = Float[Tensor, "picture axis"]  # features on the principal axes, then the loudness
Read = Float[Tensor, "picture read"]  # the same, then the trunk's features
LOUDNESS_CENTRE = -2.3  # so that what is read has about mean 0 and variance 1 or less


@dataclass(frozen=True)
class ScatteringArchitecture:
    """Everything that fixes the shapes of the weights. Recorded in a checkpoint's manifest."""

    front_end: str = FRONT_END
    n_views: int = 4
    n_frequency: int = 128
    n_time: int = 128
    pooling: int = 2  # the model sees and paints means over pooling x pooling pixels
    scales: int = 3  # of the wavelets; frequency cells have 2 ** scales pooled rows
    directions: int = 8
    axes: int = 256  # principal axes of the features that are kept
    trunk: int = 0  # features of convolutions that learnt simulated classes; 0: no such trunk
    hidden: int = 512
    dropout: float = 0.1
    latent: int = 32
    painter_centres: int = 512  # vectors that the picture decoder compares with
    painter_axes: int = 96  # principal axes of each window's pictures
    independent_share: float = 0.1  # of the pixels, which overlap; see glitch.model.likelihood
    classes: tuple[str, ...] = ()  # simulated ones that the first head names
    parameters: tuple[str, ...] = ()  # of simulated glitches, that the second head predicts

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
    """Encoder, decoder of features, and painter."""

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
        # Fitted before the first step; until then nothing passes.
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
        """Features of pooled pictures on the principal axes, their loudness, and the trunk's."""
        projected = self.project_features(*self.front_end(pictures, observed))
        if self.trunk is None:
            return projected
        return torch.cat([projected, self.trunk(extended(pictures, observed), view)], dim=1)

    def project_features(
        self, features: Float[Tensor, "picture feature"], loudness: Float[Tensor, " picture"]
    ) -> Projected:
        """What the front end found, as the encoder reads it and the decoder explains it."""
        # A cell that was not observed is zero, and so is its deviation.
        projected: Projected = (features - self.mean * (features != 0)) @ self.projection
        return torch.cat([projected, loudness[:, None] - LOUDNESS_CENTRE], dim=1)

    def encode(self, pixels: PooledTensor, observed: PooledRows) -> Posterior:
        """Posterior given prepared views; absent ones add nothing."""
        member, view = observed.any(dim=2).nonzero(as_tuple=True)
        projected = self.project(pixels[member, view], observed[member, view], view)
        return self.encode_projected(projected, member, view, len(pixels))

    def encode_projected(
        self, projected: Read, member: Members, view: Members, n_batch: int
    ) -> Posterior:
        """Posterior given the projected features of the views present.

        Args:
            projected: one row for each view present, with the trunk's features at its end.
            member: whose view each row is, of 0 to ``n_batch`` - 1, each at least once.
            view: which view it is.
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

    def explain(self, latent: LatentTensor, member: Members, view: Members) -> Projected:
        """The expected features of some members' views."""
        window = one_hot(view, self._architecture.n_views).to(latent.dtype)
        explained: Tensor = self.explainer(torch.cat([latent[member], window], dim=1))
        return explained.float()

    def paint(
        self, latent: LatentTensor, member: Members, view: Members
    ) -> Float[Tensor, "picture pooled_freq pooled_time"]:
        """The expected pixels of some members' views, one picture each."""
        painted: Tensor = self.painter(latent[member], view)
        return painted


def _layer(n_in: int, n_out: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(n_in, n_out), nn.LayerNorm(n_out), nn.GELU(), nn.Dropout(dropout)
    )
