"""Time limits of tests follow the speed of the machine."""

from __future__ import annotations

from types import SimpleNamespace

import pace
import pytest


@pytest.mark.parametrize(("pieces", "expected"), [(2.0, 2.0), (1 / 3, 1.0)])
def test_a_slow_machine_has_more_time_and_a_quick_one_no_less(
    monkeypatch: pytest.MonkeyPatch, pieces: float, expected: float
) -> None:
    now = iter((10.0, 10.0 + 5 * pieces * pace.REFERENCE_S))
    monkeypatch.setattr(pace, "time", SimpleNamespace(monotonic=lambda: next(now)))
    assert pace.slowness() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("took_s", "slow", "expected"), [(1.9, 9, True), (2.1, 1, False), (5, 3, True)]
)
def test_a_bound_that_is_missed_alone_is_held_against_the_machine(
    monkeypatch: pytest.MonkeyPatch, took_s: float, slow: float, expected: bool
) -> None:
    looks = []
    monkeypatch.setattr(pace, "slowness", lambda: looks.append(0) or slow)
    assert pace.is_within(took_s, 2.0) is expected
    assert len(looks) == (took_s > 2)
