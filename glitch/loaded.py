"""A checkpoint's model on a device, as used by encoder and decoder."""

from __future__ import annotations

from glitch.checkpoint import Checkpoint


class LoadedModel:
    """A checkpoint's model and preprocessing. Stateless between calls, so threads may share it."""

    def __init__(self, checkpoint: Checkpoint, device: str = "cpu") -> None:
        self._model = checkpoint.model.to(device)
        self._device = device
        self.preprocessing = checkpoint.manifest.preprocessing
        self.digest = checkpoint.digest

    @property
    def latent(self) -> int:
        """Length of the latent vector."""
        return self._model.architecture.latent
