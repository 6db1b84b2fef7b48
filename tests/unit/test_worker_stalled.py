"""A worker is stalled if messages wait and none of its threads has worked for a time."""

from __future__ import annotations

import pytest

from worker.stalled import StallCheck


@pytest.mark.parametrize(
    ("looks", "is_stalled"),
    [
        # (time, messages waiting, time of the last work)
        ([(0, 1, 0), (10, 1, 0), (20, 1, 0)], True),
        ([(0, 1, 0), (10, 1, 0), (19, 1, 0)], False),  # not long enough
        ([(0, 1, 0), (10, 0, 0), (20, 1, 0), (30, 1, 0)], False),  # messages were taken in between
        ([(0, 1, 0), (10, 1, 5), (20, 1, 18), (30, 1, 28)], False),  # busy with other messages
        ([(0, 1, 0), (10, 1, 5), (20, 1, 5), (25, 1, 5)], True),
        ([(0, 0, 0), (1000, 0, 0)], False),  # no message
        ([(1000, 1, 0)], False),  # a message has just arrived after a long silence
    ],
)
def test_a_worker_is_stalled_after_its_time(
    looks: list[tuple[float, int, float]], is_stalled: bool
) -> None:
    check = StallCheck(patience_s=20)
    assert [check.is_stalled(*look) for look in looks][-1] is is_stalled
