"""Decoding of latent vectors to views: reconstructions and residuals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float32

from glitch.errors import GlitchError
from glitch.loaded import LoadedModel
from glitch.types import LatentArray, ViewsArray
from glitch.views import Views

BATCH = 64  # vectors per batch: bounds memory; results do not depend on it
MIN_ACTIVE_VARIANCE = 0.01  # variance of the posterior mean over glitches (Burda et al. 2016)


class Decoder(LoadedModel):
    """Decodes latent vectors to views with a checkpoint.

    Deterministic; the result for a vector does not depend on the others in the batch. Views have
    the full grid of the checkpoint; the model predicts means over its pooling cells, so all pixels
    of a pooling cell have the same value.
    """

    def paint(self, latents: LatentArray, durations_s: Sequence[float]) -> ViewsArray:
        """Decode each latent vector to its expected views.

        Args:
            latents: shape (batch, latent), float32.
            durations_s: the window lengths to decode, in seconds.

        Returns:
            Shape (batch * windows, freq, time), the windows of one vector next to each other;
            energy divided by the clip, values of the Gaussian outside [0, 1] clipped.

        Raises:
            GlitchError: if the checkpoint has no such window, or the vectors have another size.
        """
        views = [self.preprocessing.view_index(duration_s) for duration_s in durations_s]
        painted = self._painted(latents, views)
        pictures = np.clip(painted.reshape(-1, *painted.shape[2:]), 0, 1)
        return np.asarray(pictures, dtype=np.float32)

    def residual(self, views: Views, latent: Float32[np.ndarray, " latent"]) -> ViewsArray:
        """Subtract the reconstruction from the observed views, at the model's own resolution.

        Args:
            views: one glitch.
            latent: its posterior mean, shape (latent,).

        Returns:
            Shape (view, freq, time), energy divided by the clip; positive where the glitch is
            louder than its reconstruction, zero where nothing was observed.

        Raises:
            GlitchError: if the views were made with other preprocessing, or the vector has another
                size.
        """
        if views.preprocessing.digest() != self.preprocessing.digest():
            raise GlitchError(
                "These views were made with other preprocessing than the checkpoint's, so its "
                "pictures cannot be compared with them."
            )
        with torch.inference_mode():
            values = torch.from_numpy(views.values[None]).to(self._device)
            rows = torch.from_numpy(views.observed[None]).to(self._device)
            pixels, _ = self._model.prepare(values, rows)
        target = self._spread(pixels.cpu().numpy())[0]
        painted = self._painted(latent[None], range(len(views.values)))[0]
        return np.where(views.observed[..., None], target - painted, np.float32(0))

    def _painted(
        self, latents: LatentArray, views: Sequence[int]
    ) -> Float32[np.ndarray, "batch view freq time"]:
        if latents.ndim != 2 or latents.shape[1] != self.latent:
            raise GlitchError(
                f"This checkpoint paints from vectors of {self.latent} latents, not from an array "
                f"of shape {latents.shape}."
            )
        if not np.isfinite(latents).all():
            raise GlitchError("A latent vector must be finite to be painted.")
        batches = [
            self._paint_batch(latents[start : start + BATCH], list(views))
            for start in range(0, len(latents), BATCH)
        ]
        return np.concatenate(batches)

    @torch.inference_mode()
    def _paint_batch(
        self, latents: LatentArray, views: list[int]
    ) -> Float32[np.ndarray, "batch view freq time"]:
        vectors = torch.from_numpy(np.ascontiguousarray(latents, dtype=np.float32))
        chosen = torch.zeros((len(latents), len(self.preprocessing.durations_s)), dtype=torch.bool)
        chosen[:, views] = True
        pixels = self._model.decode(vectors.to(self._device), chosen.to(self._device))
        return self._spread(pixels[:, views].float().cpu().numpy())

    def _spread(
        self, pixels: Float32[np.ndarray, "batch view pooled_freq pooled_time"]
    ) -> Float32[np.ndarray, "batch view freq time"]:
        """Give each pixel of the full grid the mean of its pooling cell."""
        n_rows = self.preprocessing.n_frequency // pixels.shape[2]
        n_columns = self.preprocessing.n_time // pixels.shape[3]
        return np.asarray(pixels.repeat(n_rows, axis=2).repeat(n_columns, axis=3), dtype=np.float32)


def active_units(variances: Float32[np.ndarray, " latent"]) -> Bool[np.ndarray, " latent"]:
    """Select the latents that carry information: the posterior means of the others hardly vary.

    Args:
        variances: variance of the posterior mean of each latent over many glitches.
    """
    return np.asarray(variances > MIN_ACTIVE_VARIANCE, dtype=np.bool_)


def traversal(
    latent: Float32[np.ndarray, " latent"], unit: int, values: Sequence[float]
) -> LatentArray:
    """Repeat a latent vector with one latent set to each value in turn, shape (values, latent).

    Raises:
        GlitchError: if there is no such latent.
    """
    if not 0 <= unit < len(latent):
        raise GlitchError(f"There is no latent z{unit}: they are z0 to z{len(latent) - 1}.")
    moved = np.repeat(np.asarray(latent, dtype=np.float32)[None], len(values), axis=0)
    moved[:, unit] = values
    return moved
