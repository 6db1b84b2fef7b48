"""Limits on the number of concurrent requests, so that all of them can finish.

A request that holds a database connection needs a thread to continue, and a thread that waits for a
connection would block a request that holds one. So requests wait here before they take either.
There are fewer places than connections, and more threads than places, so no two requests can wait
for each other.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Generator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from anyio import CancelScope, CapacityLimiter
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool
from starlette.types import Receive, Scope, Send

from app.core.errors import BusyError

WAIT_S = 1.0  # for reading requests; users reload a page rather than wait longer
UPLOAD_PLACES = 16  # uploads mostly wait for decoders and the encoder
LOOK_UP_THREADS = 8  # for brief connections: authentication, news of a job
EVENT_STREAMS = 200  # each polls twice a second, in the look-up threads
MAX_WAITING = 1000  # for the places of one ``Admission``
_LATE_S = 0.05  # a wait that ends so much later than its limit was ended by a paused event loop
_MAX_LATE_S = 0.25  # for the loop to hand on the places
_PACE_SHARE = 0.1  # weight of the latest interval in the moving average of the pace
SPARE_THREADS = 24  # for files and other work without a connection
_SHARE = 0.7  # of the connections; uploads and look-ups use the rest
_TABLES_SHARE = 0.1  # of the connections, for tables that are streamed


class Admission:
    """A limited number of places, for which requests wait in order for a short time.

    A request that would wait too long at the recent pace is refused as early as a reading request.
    If ``MAX_WAITING`` requests wait, it is refused at once.
    """

    def __init__(self, places: int, wait_s: float) -> None:
        self.places = places
        self.wait_s = wait_s
        self._free = asyncio.Semaphore(places)
        self.waiting = 0
        self.at_work = 0
        self.refused = 0
        self._patient = 0  # number of waiting requests that may wait for the full time
        self._pace_s = 0.0  # mean time between two places becoming free while all are taken
        self._freed_at = 0.0  # when a place last became free, or the last free one was taken

    @asynccontextmanager
    async def place(
        self, waited_s: float = 0.0, *, wait_s: float | None = None
    ) -> AsyncIterator[None]:
        """Hold a place during the block; ``waited_s`` was already spent in another queue.

        ``wait_s`` replaces the limit of the wait for this request.

        Raises:
            BusyError: if no place becomes free in time.
        """
        await self._acquire_place(waited_s, self.wait_s if wait_s is None else wait_s)
        self.at_work += 1
        try:
            yield
        finally:
            self._note_pace()
            self.at_work -= 1
            self._free.release()

    async def _acquire_place(self, waited_s: float, limit_s: float) -> None:
        if self.waiting >= MAX_WAITING:
            self._refuse()
        if not self._free.locked():
            self._freed_at = time.monotonic()
        # estimated from the recent pace
        expected_wait_s = self._patient * self._pace_s + time.monotonic() - self._freed_at
        is_patient = expected_wait_s <= limit_s - waited_s
        wait_s = max(0.0, (limit_s if is_patient else min(WAIT_S, limit_s)) - waited_s)
        self.waiting += 1
        self._patient += is_patient
        try:
            if not await self._is_acquired(wait_s):
                self._refuse()
        finally:
            self.waiting -= 1
            self._patient -= is_patient

    async def _is_acquired(self, wait_s: float) -> bool:
        over_at = time.monotonic() + wait_s
        if await self._is_acquired_within(wait_s):
            return True
        # A paused event loop ends the wait before it hands on the places that became free.
        late_s = time.monotonic() - over_at
        return late_s > _LATE_S and await self._is_acquired_within(min(late_s, _MAX_LATE_S))

    async def _is_acquired_within(self, wait_s: float) -> bool:
        try:
            async with asyncio.timeout(wait_s):
                return await self._free.acquire()
        except TimeoutError:
            return False

    def _note_pace(self) -> None:
        now = time.monotonic()
        if self.at_work == self.places:
            self._pace_s += (now - self._freed_at - self._pace_s) * _PACE_SHARE
        self._freed_at = now

    def _refuse(self) -> None:
        self.refused += 1
        raise BusyError(
            "The service has more requests than it can handle: try again in a few seconds."
        )


@dataclass
class Admissions:
    """The places of one process, and the reserved threads that need no place."""

    reads: Admission
    uploads: Admission
    tables: Admission  # each holds a connection until its reader has taken everything
    callers: Admission = field(default_factory=lambda: Admission(LOOK_UP_THREADS, WAIT_S))
    events: Admission = field(default_factory=lambda: Admission(EVENT_STREAMS, WAIT_S))
    look_ups: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(LOOK_UP_THREADS))
    endings: CapacityLimiter = field(init=False)  # commits and rollbacks

    def __post_init__(self) -> None:
        self.endings = CapacityLimiter(self.reads.places + self.uploads.places)

    @classmethod
    def of(cls, connections: int, upload_wait_s: float) -> Admissions:
        """Make the limits for a process with this many database connections."""
        return cls(
            reads=Admission(max(1, int(_SHARE * connections)), WAIT_S),
            uploads=Admission(UPLOAD_PLACES, upload_wait_s),
            tables=Admission(max(1, int(_TABLES_SHARE * connections)), WAIT_S),
        )

    @property
    def threads(self) -> int:
        """Number of threads with which every request that has a place can run."""
        return self.reads.places + self.uploads.places + SPARE_THREADS


LONGEST_STREAM_S = 900.0
_log = logging.getLogger("app.streams")


class AdmittedStream(StreamingResponse):
    """A stream that holds a place while it is sent, for a limited time.

    A client that reads too slowly is disconnected: it sees a broken connection, never a file that
    is silently incomplete. ``BusyError`` for lack of a place is raised before the response begins.
    """

    def __init__(
        self, admission: Admission, content: Generator[str] | AsyncGenerator[str], **options: Any
    ) -> None:
        super().__init__(content, **options)
        self._admission = admission
        self._content = content

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response."""
        try:
            async with self._admission.place(), asyncio.timeout(LONGEST_STREAM_S):
                await super().__call__(scope, receive, send)
        except TimeoutError:
            _log.warning("a stream was cut off: its reader took over %d s", LONGEST_STREAM_S)
        finally:
            with CancelScope(shield=True):
                if isinstance(self._content, Generator):  # returns its connection to the pool
                    await run_in_threadpool(self._content.close)
                else:
                    await self._content.aclose()
