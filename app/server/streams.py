"""Answers that are sent for as long as their reader takes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Generator
from typing import Any

from anyio import CancelScope
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool
from starlette.types import Receive, Scope, Send

from app.server.admission import Admission

LONGEST_STREAM_S = 900.0
_log = logging.getLogger("app.streams")


class AdmittedStream(StreamingResponse):
    """A stream that has a place while it is sent, and an end.

    Whoever reads too slowly is cut off: the client sees a broken connection, never a short file.
    A ``BusyError`` for want of a place comes before the answer begins.
    """

    def __init__(
        self, admission: Admission, content: Generator[str] | AsyncGenerator[str], **options: Any
    ) -> None:
        super().__init__(content, **options)
        self._admission = admission
        self._content = content

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        try:
            async with self._admission.place(), asyncio.timeout(LONGEST_STREAM_S):
                await super().__call__(scope, receive, send)
        except TimeoutError:
            _log.warning("a stream was cut off: its reader took over %d s", LONGEST_STREAM_S)
        finally:
            with CancelScope(shield=True):
                if isinstance(self._content, Generator):  # gives its connection back
                    await run_in_threadpool(self._content.close)
                else:
                    await self._content.aclose()
