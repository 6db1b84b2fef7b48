"""When a worker counts as stalled: messages wait, and nobody in it has been at work."""

from __future__ import annotations

import pytest

from worker.stalled import StallCheck


@pytest.mark.parametrize(
    ("looks", "is_stalled"),
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
def test_when_a_worker_counts_as_stalled(
    looks: list[tuple[float, int, float]], is_stalled: bool
) -> None:
    check = StallCheck(patience_s=20)
    assert [check.is_stalled(*look) for look in looks][-1] is is_stalled
