"""What a worker offers to the handlers of jobs."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

from app.core.settings import Settings
from worker.lease import HeldLease

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


class WorkerContext:
    """A ``JobContext`` for one chunk."""

    def __init__(self, settings: Settings, encoders: EncoderCache, lease: HeldLease) -> None:
        self.settings = settings
        self._encoders = encoders
        self._lease = lease

    @property
    def data_dir(self) -> Path:
        """The data directory, which API and workers share."""
        return self.settings.data_dir

    def encoder(self, digest: str) -> Encoder:
        """The encoder of that checkpoint, loaded once per process."""
        return self._encoders.get(digest)

    def heartbeat(self) -> None:
        """Leave the chunk by an exception if it should be left."""
        self._lease.check()

    def note(self, sentence: str | None) -> None:
        """Tell at once how far the chunk is, beside the transaction that does it."""
        self._lease.note(sentence)

    def is_cancelled(self) -> bool:
        """Whether the job was cancelled, as far as is known here."""
        return self._lease.is_cancelled
