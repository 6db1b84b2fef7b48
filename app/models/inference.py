"""The encoder and the strain transform as a service shares them: batched, bounded, never blocking
the event loop.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Protocol

from app.core.errors import NotReadyError
from app.core.storage import storage_of
from app.models.batching import Batcher, Turns
from app.models.painting import Painter
from glitch.checkpoint import MANIFEST_FILE, WEIGHTS_FILE, Checkpoint, load_checkpoint
from glitch.encoder import Encoding
from glitch.errors import CheckpointError
from glitch.strain import Strain, StrainViews, views_from_strain
from glitch.views import Preprocessing, Views

_log = logging.getLogger("app.inference")


class EncodesViews(Protocol):
    """What turns views into encodings, a batch at a time; ``glitch.encoder.Encoder`` does."""

    def encode(self, views: Sequence[Views]) -> Sequence[Encoding]:
        """One encoding for each member, in order; the same as each would get alone."""


class BatchingEncoder:
    """One checkpoint's encoder behind one thread that batches concurrent requests.

    Where ``max_queue`` requests wait, more are refused. ``painter`` paints views from this
    checkpoint's latents; None where nobody asks for that.
    """

    def __init__(
        self,
        encoder: EncodesViews,
        preprocessing: Preprocessing,
        *,
        painter: Painter | None = None,
        max_batch: int = 32,
        wait_s: float = 0.002,
        max_queue: int = 256,
        timeout_s: float = 30.0,
    ) -> None:
        self.preprocessing = preprocessing
        self.painter = painter
        self._timeout_s = timeout_s
        self._batcher: Batcher[Views, Encoding] = Batcher(
            encoder.encode, name="encoder", max_batch=max_batch, wait_s=wait_s, max_queue=max_queue
        )

    def encode(self, views: Views) -> Encoding:
        """The encoding of one glitch. Blocks: call it from a pool thread.

        Raises:
            BusyError: if too many wait, or the answer takes too long.
        """
        return self._batcher.submit(views, timeout_s=self._timeout_s)

    @property
    def passes(self) -> int:
        """Batches answered since it was loaded."""
        return self._batcher.passes

    @property
    def answered(self) -> int:
        """Glitches in these batches."""
        return self._batcher.answered

    def close(self) -> None:
        """Answer what waits, then stop the thread."""
        self._batcher.close()


class Encoders:
    """The encoders of published checkpoints, found by digest and loaded at first need.

    A checkpoint published while the service runs is thus served without a restart.

    ``roots`` are folders that hold checkpoint folders, or are one, searched in their order;
    ``make`` wraps a loaded one.
    """

    def __init__(
        self, roots: Sequence[Path], make: Callable[[Checkpoint], BatchingEncoder]
    ) -> None:
        self._roots = tuple(roots)
        self._make = make
        self._loaded: dict[str, BatchingEncoder] = {}
        self._lock = threading.Lock()

    def get(self, digest: str) -> BatchingEncoder:
        """The encoder of the checkpoint with this digest.

        Raises:
            NotReadyError: if no folder here holds that checkpoint.
        """
        with self._lock:
            if digest not in self._loaded:
                self._loaded[digest] = self._make(find_checkpoint(self._roots, digest))
            return self._loaded[digest]

    def work_done(self) -> tuple[int, int]:
        """Passes of the encoders that are loaded, and the glitches in them."""
        loaded = list(self._loaded.values())  # without the lock, which is held while one loads
        return sum(one.passes for one in loaded), sum(one.answered for one in loaded)

    def close(self) -> None:
        """Stop every encoder."""
        with self._lock:
            for encoder in self._loaded.values():
                encoder.close()
            self._loaded.clear()


def find_checkpoint(roots: Sequence[Path], digest: str) -> Checkpoint:
    """The checkpoint with this digest, loaded from the first folder that holds it.

    Raises:
        NotReadyError: if no folder here holds that checkpoint.
    """
    found = _found(roots, digest)
    if found is None and roots and _fetch(roots[0] / digest):
        found = _found(roots[:1], digest)
    if found is not None:
        return found
    places = ", ".join(str(root) for root in roots)
    raise NotReadyError(
        f"The weights of the active checkpoint {digest[:12]} are in none of {places}: publish "
        "it again with `glitch-discovery publish FOLDER`."
    )


def _found(roots: Sequence[Path], digest: str) -> Checkpoint | None:
    for folder in _checkpoint_folders(roots):
        try:
            checkpoint = load_checkpoint(folder)
        except CheckpointError as error:  # a damaged neighbour must not hide the good one
            _log.warning("a checkpoint cannot be loaded: %s", error)
            continue
        if checkpoint.digest == digest:
            return checkpoint
    return None


def _fetch(folder: Path) -> bool:
    """Have a checkpoint here that was published on another machine."""
    storage = storage_of(folder.parents[1])  # checkpoints lie in a folder of the data directory
    return all(storage.fetch(folder / name) for name in (WEIGHTS_FILE, MANIFEST_FILE))


def _checkpoint_folders(roots: Sequence[Path]) -> Iterator[Path]:
    for root in roots:
        if (root / MANIFEST_FILE).is_file():
            yield root
        elif root.is_dir():
            yield from sorted(path.parent for path in root.glob(f"*/{MANIFEST_FILE}"))


class StrainTransform:
    """Strain to views for concurrent requests, a bounded number of them at a time."""

    def __init__(self, *, concurrency: int = 2, timeout_s: float = 30.0, device: str = "cpu"):
        sentence = "Too much strain waits to be transformed: try again in a few seconds."
        self._turns = Turns(concurrency, timeout_s, sentence)
        self._device = device

    def __call__(
        self, strain: Strain, gps_time: Decimal, preprocessing: Preprocessing, *, centre: bool
    ) -> StrainViews:
        """The views of one stretch of strain, centred on the loudest tile or on the GPS time.

        Raises:
            BusyError: if its turn does not come in time.
            StrainError: if the strain cannot be turned into views.
        """
        with self._turns.one():
            return views_from_strain(
                [strain], [gps_time], preprocessing, device=self._device, centre=centre
            )[0]
