"""The common interface of all models of views."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol, runtime_checkable

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from glitch.model.divergence import Posterior
from glitch.model.likelihood import RowGaussian
from glitch.types import LatentTensor, ObservedTensor, ViewsTensor

# Energy divided by the clip, averaged over pooling cells: input and output of a model.
PooledTensor = Float[Tensor, "batch view pooled_freq pooled_time"]
PooledRows = Bool[Tensor, "batch view pooled_freq"]
Members = Int[Tensor, " picture"]


@runtime_checkable
class Shapes(Protocol):
    """The sizes that every architecture states."""

    @property
    def n_views(self) -> int: ...
    @property
    def n_frequency(self) -> int: ...
    @property
    def n_time(self) -> int: ...
    @property
    def pooling(self) -> int: ...
    @property
    def latent(self) -> int: ...


class ViewsModel(nn.Module, ABC):
    """Encoder and decoder of views. Pixels inside are energies divided by the clip, pooled."""

    likelihood: RowGaussian

    @property
    @abstractmethod
    def architecture(self) -> Shapes:
        """The frozen dataclass that fixes the shapes of the weights."""

    def prepare(
        self, values: ViewsTensor, observed: ObservedTensor
    ) -> tuple[PooledTensor, PooledRows]:
        """Convert views to the model's input, which is also the target of its output.

        Args:
            values: energy divided by the clip, in [0, 1], zero where not observed.
            observed: the rows that were measured.

        Returns:
            Energy averaged over the observed part of each pooling cell, and the cells that have
            such a part.
        """
        size = self.architecture.pooling
        pixels = avg_pool2d(values, size)  # (B, V, F / size, T / size)
        share = avg_pool2d(observed.to(values.dtype)[..., None], (size, 1)).squeeze(-1)
        return pixels / share.clamp_min(1e-6)[..., None] * (share > 0)[..., None], share > 0

    @abstractmethod
    def encode(self, pixels: PooledTensor, observed: PooledRows) -> Posterior:
        """Return the posterior of prepared views; absent views add nothing."""

    def decode(self, latent: LatentTensor, views: Bool[Tensor, "batch view"]) -> PooledTensor:
        """Return the expected pixels of the selected views, zero in the others.

        Args:
            latent: one vector for each member of the batch.
            views: the views to decode.
        """
        member, view = views.nonzero(as_tuple=True)
        painted = self.paint(latent, member, view)  # (N, F, T)
        pictures = painted.new_zeros(latent.shape[0], self.architecture.n_views, *painted.shape[1:])
        return pictures.index_put((member, view), painted)

    def class_probabilities(
        self,
        latent: LatentTensor,  # noqa: ARG002 - for models that have learnt classes
    ) -> tuple[tuple[str, ...], Float[Tensor, "batch class"]] | None:
        """Return the simulated classes and their probabilities given posterior means.

        None if the model has not learnt simulated classes.
        """
        return None

    @abstractmethod
    def paint(
        self, latent: LatentTensor, member: Members, view: Members
    ) -> Float[Tensor, "picture pooled_freq pooled_time"]:
        """Return the expected pixels, one picture for each pair of ``member`` and ``view``."""
