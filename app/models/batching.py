"""What concurrent requests ask of one machine: collected into batches, or done in turns."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import contextmanager
from typing import Generic, TypeVar

from app.core.errors import BusyError

_Item = TypeVar("_Item")
_Answer = TypeVar("_Answer")
_log = logging.getLogger("app.batching")


class Turns:
    """A bounded number of callers at a time; the others wait, and not for long."""

    def __init__(self, number: int, timeout_s: float, sentence: str) -> None:
        self._free = threading.BoundedSemaphore(number)
        self._timeout_s = timeout_s
        self._sentence = sentence

    @contextmanager
    def one(self) -> Iterator[None]:
        """Hold a turn for the length of the block.

        Raises:
            BusyError: if it does not come in time; says the sentence.
        """
        if not self._free.acquire(timeout=self._timeout_s):
            raise BusyError(self._sentence, retry_after_s=5)
        try:
            yield
        finally:
            self._free.release()


class Batcher(Generic[_Item, _Answer]):
    """One thread that answers items in batches; callers block in their own threads.

    A batch takes whatever waits already. Only where the batch before was of several does it wait up
    to ``wait_s`` for more, so a lone caller never waits for nobody. An exception hurts only the
    member that causes it: a failed batch is worked off again one by one.

    ``work`` answers a batch in its order, one answer an item, and runs in the one thread alone.
    Where ``max_queue`` items wait, more are refused.
    """

    def __init__(
        self,
        work: Callable[[Sequence[_Item]], Sequence[_Answer]],
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
        self._queue: queue.Queue[tuple[_Item, Future[_Answer]] | None] = queue.Queue(max_queue)
        self._was_shared = False
        self.passes = 0  # batches answered, and the items in them
        self.answered = 0
        self._closed = threading.Event()
        self._submission = threading.Lock()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, item: _Item, *, timeout_s: float) -> _Answer:
        """The answer to one item. Blocks the calling thread, so never call it on an event loop.

        Raises:
            BusyError: if the queue is full, the answer takes longer than ``timeout_s``, or the
                service is stopping.
        """
        future: Future[_Answer] = Future()
        with self._submission:  # nothing may enter the queue behind the end mark
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
            raise  # a TimeoutError of the work itself

    def close(self) -> None:
        """Answer what waits, then end the thread. May be called twice."""
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
                self._answer(live)
                self.passes += 1
                self.answered += len(live)
            if is_last:
                return

    def _collect(
        self, first: tuple[_Item, Future[_Answer]]
    ) -> tuple[list[tuple[_Item, Future[_Answer]]], bool]:
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

    def _answer(self, batch: Sequence[tuple[_Item, Future[_Answer]]]) -> None:
        try:
            answered = list(zip(batch, self._work([item for item, _ in batch]), strict=True))
        except Exception as error:  # noqa: BLE001 - handed to the caller whose item it is
            if len(batch) == 1:
                batch[0][1].set_exception(error)
                return
            _log.warning("a batch failed and is worked off one by one", exc_info=error)
            for entry in batch:
                self._answer([entry])
            return
        for (_, future), answer in answered:
            future.set_result(answer)
