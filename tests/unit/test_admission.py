"""Admission: how long requests wait for a place, and when they are refused early."""

from __future__ import annotations

import asyncio
import statistics
import threading
import time
from collections import Counter

import pytest
from pace import is_within

from app.core.errors import BusyError
from app.server import admission
from app.server.admission import Admission


async def hold(places: Admission, seconds: float) -> float:
    """Return the seconds that a request waited for a place; negative if it was refused."""
    started = time.monotonic()
    try:
        async with places.place():
            waited = time.monotonic() - started
            await asyncio.sleep(seconds)
            return waited
    except BusyError:
        return started - time.monotonic()


def test_requests_that_would_wait_in_vain_are_refused_early(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Requests that cannot get a place in time are refused early.

    A place becomes free every 50 ms, so about 20 of 60 simultaneous requests can get one in 1 s.
    """
    monkeypatch.setattr(admission, "WAIT_S", 0.2)

    async def crowd() -> list[float]:
        places = Admission(2, 1.0)
        await asyncio.gather(*(hold(places, 0.1) for _ in range(20)))  # lets it measure the rate
        return await asyncio.gather(*(hold(places, 0.1) for _ in range(60)))

    waited = asyncio.run(crowd())
    refused = [-one for one in waited if one < 0]
    assert len(waited) - len(refused) >= 10
    assert len(refused) >= 20
    assert statistics.median(refused) < 0.6  # well before the time limit of 1 s


def test_requests_after_one_that_waited_in_vain_are_refused_early(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After the first request has waited in vain, later ones are refused early."""
    monkeypatch.setattr(admission, "WAIT_S", 0.1)

    async def stand_still() -> tuple[float, list[float], float]:
        places = Admission(2, 0.5)
        holders = [asyncio.create_task(hold(places, 1.5)) for _ in range(2)]
        await asyncio.sleep(0)
        first = await hold(places, 0)
        late = [await hold(places, 0) for _ in range(3)]
        await asyncio.gather(*holders)
        return first, late, await hold(places, 0)

    first, late, afterwards = asyncio.run(stand_still())
    assert first <= -0.5
    assert min(map(abs, late)) < 0.4
    assert Counter(one < 0 for one in late) == {True: 3}
    assert afterwards >= 0


def test_a_short_crowd_waits_for_its_turn() -> None:
    async def crowd() -> list[float]:
        places = Admission(4, 30.0)
        return await asyncio.gather(*(hold(places, 0.01) for _ in range(200)))

    assert min(asyncio.run(crowd())) >= 0


def test_waiting_in_another_queue_counts_towards_the_limit() -> None:
    """Time that a request has waited in another queue counts towards its time limit."""

    async def wait(waited_s: float) -> float:
        places = Admission(1, 0.5)
        async with places.place(waited_s):  # a free place is given after any wait
            started = time.monotonic()
            with pytest.raises(BusyError):
                async with places.place(waited_s):
                    pass
            return time.monotonic() - started

    assert asyncio.run(wait(0.0)) > 0.45
    assert asyncio.run(wait(0.3)) > 0.15
    assert is_within(asyncio.run(wait(9.0)), 0.4)


def test_a_paused_event_loop_does_not_use_up_the_wait() -> None:
    """A request is not refused for a pause of the event loop in which a place became free."""

    async def pause() -> float:
        places = Admission(1, 0.1)
        is_over = threading.Event()

        async def hold_until_over() -> None:
            async with places.place():
                await asyncio.to_thread(is_over.wait)

        holder = asyncio.create_task(hold_until_over())
        await asyncio.sleep(0)
        waiting = asyncio.create_task(hold(places, 0))
        await asyncio.sleep(0)
        is_over.set()
        time.sleep(0.5)  # pauses the loop, as code that holds the GIL does
        await holder
        return await waiting

    assert asyncio.run(pause()) > 0.4


def test_a_request_may_wait_longer_than_others() -> None:
    async def wait(limit_s: float) -> float:
        places = Admission(1, 0.05)
        holder = asyncio.create_task(hold(places, 0.3))
        await asyncio.sleep(0)
        try:
            async with places.place(wait_s=limit_s):
                return 0.0
        except BusyError:
            return -1.0
        finally:
            await holder

    assert asyncio.run(wait(5.0)) == 0.0
    assert asyncio.run(wait(0.1)) == -1.0
