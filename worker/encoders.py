"""The encoders of one worker process."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from app.core.settings import Settings

if TYPE_CHECKING:
    from glitch.encoder import Encoder


class EncoderCache:
    """The encoders of this process, loaded at first need and kept: torch is imported only then."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._loaded: dict[str, Encoder] = {}
        self._lock = threading.Lock()

    def get(self, digest: str) -> Encoder:
        """The encoder of the checkpoint with this digest.

        Raises:
            NotReadyError: if no folder here holds that checkpoint.
        """
        with self._lock:
            if digest not in self._loaded:
                import torch

                from app.models.inference import find_checkpoint
                from app.server.runtime import checkpoint_roots
                from glitch.encoder import Encoder

                # Processes share the cores; more threads in each would only fight over them.
                torch.set_num_threads(self._settings.torch_threads)
                checkpoint = find_checkpoint(checkpoint_roots(self._settings), digest)
                self._loaded.clear()  # one at a time: a worker's memory is bounded
                self._loaded[digest] = Encoder(checkpoint, device=self._settings.device)
            return self._loaded[digest]
