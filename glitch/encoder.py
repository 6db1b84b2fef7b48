"""Encoding of views to latent vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32

from glitch.errors import GlitchError
from glitch.loaded import LoadedModel
from glitch.model import kl_to_standard_normal
from glitch.taxonomy import SimulatedClass
from glitch.types import LatentArray
from glitch.views import Views

BATCH = 64  # glitches per batch: bounds memory; results do not depend on it


@dataclass(frozen=True, eq=False)
class Encoding:
    """One glitch in the latent space of one checkpoint."""

    mean: Float32[np.ndarray, " latent"]  # the representation: the posterior's mean
    log_variance: Float32[np.ndarray, " latent"]
    reconstruction_error: float  # reduced chi-square of what was observed; higher fits worse
    kl: float  # from the prior to the posterior, nats; higher is more informative
    simulated_class: SimulatedClass | None = None  # None if the model knows no simulated classes


class Encoder(LoadedModel):
    """Encodes views with a checkpoint.

    Deterministic; the result for a glitch does not depend on the others in the batch.
    """

    def encode(self, views: Sequence[Views]) -> list[Encoding]:
        """Encode each glitch, in order.

        Raises:
            GlitchError: if views were made with other preprocessing than the checkpoint's.
        """
        self._check(views)
        encodings: list[Encoding] = []
        for start in range(0, len(views), BATCH):
            encodings += self._encode_batch(views[start : start + BATCH])
        return encodings

    @torch.inference_mode()
    def means(self, views: Sequence[Views]) -> LatentArray:
        """Compute only the posterior means, which takes half the time.

        Raises:
            GlitchError: if views were made with other preprocessing than the checkpoint's.
        """
        self._check(views)
        parts = []
        for start in range(0, len(views), BATCH):
            pixels, observed = self._prepared(views[start : start + BATCH])
            parts.append(self._model.encode(pixels, observed).mean.cpu().numpy())
        return np.concatenate(parts)

    def _check(self, views: Sequence[Views]) -> None:
        digest = self.preprocessing.digest()
        for one in views:
            if one.preprocessing is not self.preprocessing and one.preprocessing.digest() != digest:
                raise GlitchError(
                    "These views were made with other preprocessing than the checkpoint's: "
                    "make them again with the preprocessing of its manifest."
                )

    def _prepared(self, views: Sequence[Views]) -> tuple[torch.Tensor, torch.Tensor]:
        values = torch.from_numpy(np.stack([one.values for one in views])).to(self._device)
        rows = torch.from_numpy(np.stack([one.observed for one in views])).to(self._device)
        pixels, observed = self._model.prepare(values, rows)
        return pixels, observed

    @torch.inference_mode()
    def _encode_batch(self, views: Sequence[Views]) -> list[Encoding]:
        model = self._model
        pixels, observed = self._prepared(views)
        posterior = model.encode(pixels, observed)
        prediction = model.decode(posterior.mean, observed.any(dim=2))
        errors = model.likelihood.reduced_chi_square(pixels, prediction, observed).cpu()
        kl = kl_to_standard_normal(posterior).sum(dim=1).cpu()
        means = posterior.mean.cpu().numpy()
        log_variances = posterior.log_variance.cpu().numpy()
        classes = self._simulated_classes(posterior.mean)
        return [
            Encoding(
                means[index],
                log_variances[index],
                float(errors[index]),
                float(kl[index]),
                classes[index],
            )
            for index in range(len(views))
        ]

    def _simulated_classes(self, means: torch.Tensor) -> list[SimulatedClass | None]:
        found = self._model.class_probabilities(means)
        if found is None:
            return [None] * len(means)
        names, probabilities = found
        highest, place = probabilities.max(dim=1)
        return [
            SimulatedClass(names[index], probability)
            for index, probability in zip(place.tolist(), highest.tolist(), strict=True)
        ]
