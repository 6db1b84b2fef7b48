"""The batcher: one pass for all waiting items, and for each item its own result or error."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from waiting import PATIENCE_S, eventually

from app.core.errors import BusyError
from app.models.inference import Batcher


class Doubler:
    """Doubles numbers, records its batches, fails on 13, and can be made to wait."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.is_inside = threading.Event()

    def __call__(self, items: Sequence[int]) -> list[int]:
        self.is_inside.set()
        assert self.gate.wait(PATIENCE_S)
        self.batches.append(list(items))
        if 13 in items:
            raise ValueError("13 brings bad luck")
        return [2 * item for item in items]


@contextmanager
def running(work: Doubler, **bounds: float) -> Iterator[Batcher[int, int]]:
    batcher: Batcher[int, int] = Batcher(work, name="doubler", **bounds)  # type: ignore[arg-type]
    try:
        yield batcher
    finally:
        work.gate.set()
        batcher.close()


def held_batch(
    work: Doubler, batcher: Batcher[int, int], pool: ThreadPoolExecutor, items: Sequence[int]
) -> list[object]:
    """Return the results or errors of items that share one pass.

    The pass before them is held until all of them wait.
    """
    work.gate.clear()
    work.is_inside.clear()
    first = pool.submit(batcher.submit, 0, timeout_s=PATIENCE_S)
    assert work.is_inside.wait(PATIENCE_S)
    waiting = [pool.submit(batcher.submit, item, timeout_s=PATIENCE_S) for item in items]
    eventually(lambda: batcher._queue.qsize() == len(items))
    work.gate.set()
    assert first.result() == 0
    return [future.exception() or future.result() for future in waiting]


def test_each_caller_gets_its_own_answer() -> None:
    with running(Doubler()) as batcher, ThreadPoolExecutor(16) as pool:
        answers = pool.map(lambda item: batcher.submit(item, timeout_s=PATIENCE_S), range(200, 400))
        assert list(answers) == [2 * item for item in range(200, 400)]


def test_waiting_requests_share_one_pass_up_to_the_limit() -> None:
    work = Doubler()
    with running(work, max_batch=4) as batcher, ThreadPoolExecutor(16) as pool:
        assert held_batch(work, batcher, pool, [1, 2, 3, 4, 5, 6]) == [2, 4, 6, 8, 10, 12]
    assert [len(batch) for batch in work.batches] == [1, 4, 2]


def test_an_error_hurts_its_own_member_only() -> None:
    work = Doubler()
    with running(work) as batcher, ThreadPoolExecutor(16) as pool:
        answers = held_batch(work, batcher, pool, [1, 13, 3])
    assert isinstance(answers.pop(1), ValueError)
    assert answers == [2, 6]


def test_full_queue_is_refused_at_once() -> None:
    work = Doubler()
    work.gate.clear()
    with running(work, max_queue=1, max_batch=1) as batcher, ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(batcher.submit, 1, timeout_s=PATIENCE_S)]
        assert work.is_inside.wait(PATIENCE_S)
        futures.append(pool.submit(batcher.submit, 2, timeout_s=PATIENCE_S))
        eventually(batcher._queue.full)
        with pytest.raises(BusyError, match="Too many requests"):
            batcher.submit(3, timeout_s=PATIENCE_S)
        work.gate.set()
        assert [future.result() for future in futures] == [2, 4]


def test_late_answer_is_refused_and_the_thread_goes_on() -> None:
    work = Doubler()
    work.gate.clear()
    with running(work) as batcher:
        with pytest.raises(BusyError, match="did not answer within"):
            batcher.submit(1, timeout_s=0.02)
        work.gate.set()
        assert batcher.submit(2, timeout_s=PATIENCE_S) == 4


def test_wrong_number_of_answers_is_an_error_not_a_mix_up() -> None:
    batcher: Batcher[int, int] = Batcher(lambda _: [1, 2, 3], name="liar")
    with pytest.raises(ValueError, match="zip"):
        batcher.submit(1, timeout_s=PATIENCE_S)
    batcher.close()


def test_close_answers_what_waits_and_refuses_what_comes() -> None:
    work = Doubler()
    work.gate.clear()
    batcher: Batcher[int, int] = Batcher(work, name="doubler", max_batch=1)
    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(batcher.submit, item, timeout_s=PATIENCE_S) for item in (1, 2)]
        while batcher._queue.qsize() < 1:
            pass
        closing = pool.submit(batcher.close)
        while not batcher._closed.is_set():
            pass
        with pytest.raises(BusyError, match="stopping"):
            batcher.submit(3, timeout_s=PATIENCE_S)
        work.gate.set()
        closing.result(10)
        assert sorted(future.result() for future in futures) == [2, 4]
    batcher.close()
    assert not batcher._thread.is_alive()
