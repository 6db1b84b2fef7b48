"""Encoder, decoder and strain transform shared by requests, with batching and limits."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np
from jaxtyping import Float32

from app.core.errors import BusyError, NotReadyError
from app.core.storage import storage_of
from glitch.checkpoint import MANIFEST_FILE, WEIGHTS_FILE, Checkpoint, load_checkpoint
from glitch.encoder import Encoder, Encoding
from glitch.errors import CheckpointError
from glitch.strain import Strain, StrainViews, views_from_strain
from glitch.types import LatentArray, ViewsArray
from glitch.views import Preprocessing, Views

if TYPE_CHECKING:
    from glitch.decoder import Decoder

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
_log = logging.getLogger("app.inference")


class Turns:
    """Limits the number of concurrent callers; the others wait for a limited time."""

    def __init__(self, number: int, timeout_s: float, sentence: str) -> None:
        self._free = threading.BoundedSemaphore(number)
        self._timeout_s = timeout_s
        self._sentence = sentence

    @contextmanager
    def one(self) -> Iterator[None]:
        """Hold a place for the duration of the block; BusyError if none becomes free in time."""
        if not self._free.acquire(timeout=self._timeout_s):
            raise BusyError(self._sentence, retry_after_s=5)
        try:
            yield
        finally:
            self._free.release()


class Batcher(Generic[_Item, _Result]):
    """Processes items in batches in one thread, while callers block in their own threads.

    A batch takes all waiting items, up to ``max_batch``. Only if the previous batch had several
    items does it wait up to ``wait_s`` for more, so a single client never waits for nothing. If a
    batch fails, its items are processed one by one, so that an exception reaches only the item that
    causes it. ``work`` returns one result per item, in order, and runs only in this thread. While
    ``max_queue`` items wait, more are refused.
    """

    def __init__(
        self,
        work: Callable[[Sequence[_Item]], Sequence[_Result]],
        *,
        name: str,
        max_batch: int = 32,
        wait_s: float = 0.002,
        max_queue: int = 256,
    ) -> None:
        self._work = work
        self._name = name
        self._max_batch = max_batch
        self._wait_s = wait_s
        self._queue: queue.Queue[tuple[_Item, Future[_Result]] | None] = queue.Queue(max_queue)
        self._was_shared = False
        self.passes = 0  # batches answered, and the items in them
        self.answered = 0
        self._closed = threading.Event()
        self._submission = threading.Lock()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, item: _Item, *, timeout_s: float) -> _Result:
        """Return the result of one item. Blocks the calling thread: never call it on an event loop.

        Raises:
            BusyError: if the queue is full, the result takes longer than ``timeout_s``, or the
                service is stopping.
        """
        future: Future[_Result] = Future()
        with self._submission:  # no item may enter the queue after the end marker
            if self._closed.is_set():
                raise BusyError("The service is stopping: send the request again in a moment.")
            try:
                self._queue.put_nowait((item, future))
            except queue.Full:
                raise BusyError(
                    f"Too many requests wait for the {self._name}: try again in a few seconds."
                ) from None
        try:
            return future.result(timeout_s)
        except FutureTimeoutError:
            if future.cancel() or not future.done():
                raise BusyError(
                    f"The {self._name} did not answer within {timeout_s:g} s because of the load: "
                    "try again in a few seconds."
                ) from None
            raise  # a TimeoutError raised by the work

    def close(self) -> None:
        """Process the waiting items, then end the thread. May be called twice."""
        with self._submission:
            is_first = not self._closed.is_set()
            self._closed.set()
        if is_first:
            self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while True:
            first = self._queue.get()
            if first is None:
                return
            batch, is_last = self._collect(first)
            live = [entry for entry in batch if entry[1].set_running_or_notify_cancel()]
            if live:
                self._process(live)
                self.passes += 1
                self.answered += len(live)
            if is_last:
                return

    def _collect(
        self, first: tuple[_Item, Future[_Result]]
    ) -> tuple[list[tuple[_Item, Future[_Result]]], bool]:
        batch = [first]
        deadline = time.monotonic() + (self._wait_s if self._was_shared else 0)
        while len(batch) < self._max_batch:
            try:
                entry = self._queue.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                break
            if entry is None:
                return batch, True
            batch.append(entry)
        self._was_shared = len(batch) > 1
        return batch, False

    def _process(self, batch: Sequence[tuple[_Item, Future[_Result]]]) -> None:
        try:
            results = list(zip(batch, self._work([item for item, _ in batch]), strict=True))
        except Exception as error:  # noqa: BLE001 - passed to the caller of the item
            if len(batch) == 1:
                batch[0][1].set_exception(error)
                return
            _log.warning("a batch failed, and its items are processed one by one", exc_info=error)
            for entry in batch:
                self._process([entry])
            return
        for (_, future), result in results:
            future.set_result(result)


CONCURRENCY = 2  # pictures painted at once; more would compete for the same cores


class Painter:
    """One checkpoint's decoder for concurrent requests. Blocks: call it from a pool thread.

    Threads share the decoder.
    """

    def __init__(self, decoder: Decoder, *, timeout_s: float = 30.0) -> None:
        self._decoder = decoder
        sentence = "Too many pictures wait to be painted: try again in a few seconds."
        self._turns = Turns(CONCURRENCY, timeout_s, sentence)

    @property
    def preprocessing(self) -> Preprocessing:
        """The preprocessing of the views that it paints."""
        return self._decoder.preprocessing

    def paint(self, latents: LatentArray, durations_s: Sequence[float]) -> ViewsArray:
        """See ``glitch.decoder.Decoder.paint``; BusyError if too many pictures wait."""
        with self._turns.one():
            return self._decoder.paint(latents, durations_s)

    def residual(self, views: Views, latent: Float32[np.ndarray, " latent"]) -> ViewsArray:
        """See ``glitch.decoder.Decoder.residual``; BusyError if too many pictures wait."""
        with self._turns.one():
            return self._decoder.residual(views, latent)


class BatchingEncoder(Batcher[Views, Encoding]):
    """One checkpoint's encoder, with one thread that batches concurrent requests.

    While ``max_queue`` requests wait, more are refused. ``painter`` paints views from latent
    vectors of this checkpoint.
    """

    def __init__(
        self,
        encoder: Encoder,
        preprocessing: Preprocessing,
        painter: Painter,
        *,
        max_batch: int,
        wait_s: float,
        max_queue: int,
        timeout_s: float,
    ) -> None:
        super().__init__(
            encoder.encode, name="encoder", max_batch=max_batch, wait_s=wait_s, max_queue=max_queue
        )
        self.preprocessing = preprocessing
        self.painter = painter
        self._timeout_s = timeout_s

    def encode(self, views: Views) -> Encoding:
        """Encode one glitch. Blocks: call it from a pool thread. BusyError as ``submit``."""
        return self.submit(views, timeout_s=self._timeout_s)


class Encoders:
    """Encoders of published checkpoints, found by digest and loaded when first needed.

    A checkpoint published while the service runs can therefore be used without a restart.

    ``roots`` are checkpoint folders or folders that contain them, searched in this order; ``make``
    wraps a loaded checkpoint.
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
            NotReadyError: if no folder contains that checkpoint.
        """
        with self._lock:
            if digest not in self._loaded:
                self._loaded[digest] = self._make(find_checkpoint(self._roots, digest))
            return self._loaded[digest]

    def work_done(self) -> tuple[int, int]:
        """Number of batches and of glitches that the loaded encoders have processed."""
        loaded = list(self._loaded.values())  # without the lock, which is held during loading
        return sum(one.passes for one in loaded), sum(one.answered for one in loaded)

    def close(self) -> None:
        """Stop every encoder."""
        with self._lock:
            for encoder in self._loaded.values():
                encoder.close()
            self._loaded.clear()


def find_checkpoint(roots: Sequence[Path], digest: str) -> Checkpoint:
    """Load the checkpoint with this digest from the first folder that has it, or NotReadyError."""
    checkpoint = _load_by_digest(roots, digest)
    if checkpoint is None and roots and _fetch(roots[0] / digest):
        checkpoint = _load_by_digest(roots[:1], digest)
    if checkpoint is not None:
        return checkpoint
    places = ", ".join(str(root) for root in roots)
    raise NotReadyError(
        f"The weights of the active checkpoint {digest[:12]} are in none of {places}: publish "
        "it again with `glitch-discovery publish FOLDER`."
    )


def _load_by_digest(roots: Sequence[Path], digest: str) -> Checkpoint | None:
    for folder in _checkpoint_folders(roots):
        try:
            checkpoint = load_checkpoint(folder)
        except CheckpointError as error:  # a damaged checkpoint must not hide a good one
            _log.warning("a checkpoint cannot be loaded: %s", error)
            continue
        # Some releases published older checkpoints under another digest, which names the folder.
        if digest in (checkpoint.digest, folder.name):
            return checkpoint
    return None


def _fetch(folder: Path) -> bool:
    """Fetch a checkpoint that was published on another machine; whether it is complete."""
    storage = storage_of(folder.parents[1])  # checkpoints are in a folder of the data directory
    return all(storage.fetch(folder / name) for name in (WEIGHTS_FILE, MANIFEST_FILE))


def _checkpoint_folders(roots: Sequence[Path]) -> Iterator[Path]:
    for root in roots:
        if (root / MANIFEST_FILE).is_file():
            yield root
        elif root.is_dir():
            yield from sorted(path.parent for path in root.glob(f"*/{MANIFEST_FILE}"))


class StrainTransform:
    """Transforms strain to views for a limited number of concurrent requests."""

    def __init__(self, *, concurrency: int = 2, timeout_s: float = 30.0, device: str = "cpu"):
        sentence = "Too much strain waits to be transformed: try again in a few seconds."
        self._turns = Turns(concurrency, timeout_s, sentence)
        self._device = device

    def __call__(
        self, strain: Strain, gps_time: Decimal, preprocessing: Preprocessing, *, centre: bool
    ) -> StrainViews:
        """Views of one strain series, centred on the loudest tile or on the GPS time.

        Raises:
            BusyError: if too many requests wait.
            StrainError: if the strain cannot be turned into views.
        """
        with self._turns.one():
            return views_from_strain(
                [strain], [gps_time], preprocessing, device=self._device, centre=centre
            )[0]
