"""Runs of pixels in a line."""

import numpy as np
import pytest

from glitch.images.runs import runs_of


@pytest.mark.parametrize(
    ("line", "apart", "runs"),
    [
        ("", 1, []),
        ("...", 1, []),
        ("###", 1, [(0, 3)]),
        ("#.##..#", 1, [(0, 1), (2, 4), (6, 7)]),
        ("#.##..#", 2, [(0, 4), (6, 7)]),
        ("#.##..#", 2.5, [(0, 7)]),
        (".#...#.", 3, [(1, 2), (5, 6)]),
    ],
)
def test_runs_are_joined_over_narrower_gaps(
    line: str, apart: float, runs: list[tuple[int, int]]
) -> None:
    assert runs_of(np.array([one == "#" for one in line], dtype=np.bool_), apart) == runs
