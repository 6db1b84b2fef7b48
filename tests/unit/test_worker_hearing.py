"""When a worker counts as deaf: messages wait, and nobody in it has been at work."""

from __future__ import annotations

import pytest

from worker.hearing import Hearing


@pytest.mark.parametrize(
    ("looks", "is_lost"),
    [
        # (time, messages waiting, when somebody was last at work)
        ([(0, 1, 0), (10, 1, 0), (20, 1, 0)], True),
        ([(0, 1, 0), (10, 1, 0), (19, 1, 0)], False),  # not yet
        ([(0, 1, 0), (10, 0, 0), (20, 1, 0), (30, 1, 0)], False),  # they were taken meanwhile
        ([(0, 1, 0), (10, 1, 5), (20, 1, 18), (30, 1, 28)], False),  # busy: they wait for that
        ([(0, 1, 0), (10, 1, 5), (20, 1, 5), (25, 1, 5)], True),
        ([(0, 0, 0), (1000, 0, 0)], False),  # nothing to hear
        ([(1000, 1, 0)], False),  # a message that has just come after a long silence
    ],
)
def test_deafness(looks: list[tuple[float, int, float]], is_lost: bool) -> None:
    hearing = Hearing(patience_s=20)
    assert [hearing.is_lost(*look) for look in looks][-1] is is_lost
