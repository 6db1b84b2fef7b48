"""Triggers in ROOT trees, as uproot writes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import uproot

from glitch.errors import FormatError
from glitch.tables.root import root_rows, root_table

TIMES = np.array([1126259462.25, 1126259463.5, 1126259464.0])


def test_one_tree_of_triggers_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x.root"
    with uproot.recreate(path) as file:
        file.mktree(
            "deep/triggers",
            {
                "time": TIMES,
                "snr": np.float32([8, 9, 10]),
                "pair": np.ones((3, 2)),  # not a column: two numbers in each row
            },
        )
        file.mktree("segments", {"start": TIMES, "end": TIMES + 1})
    table = root_table(path, "x.root")
    assert (table.count, table.columns) == (3, ("time", "snr"))
    assert root_rows(path, "x.root", ["snr", "time"], 1, 9) == [[9, TIMES[1]], [10, TIMES[2]]]


def test_an_rntuple_is_read(tmp_path: Path) -> None:
    """uproot 5.7 and later write an RNTuple."""
    path = tmp_path / "x.root"
    with uproot.recreate(path) as file:
        columns = {"time": TIMES, "snr": np.float32([8, 9, 10]), "pair": np.ones((3, 2))}
        file.mkrntuple("triggers", columns)
    table = root_table(path, "x.root")
    assert (table.count, sorted(table.columns)) == (3, ["snr", "time"])
    assert root_rows(path, "x.root", ["snr", "time"], 1, 9) == [[9, TIMES[1]], [10, TIMES[2]]]


@pytest.mark.parametrize("make", ["mktree", "mkrntuple"])
def test_times_as_short_floats_are_refused(tmp_path: Path, make: str) -> None:
    path = tmp_path / "x.root"
    columns = {"time": TIMES.astype("f4"), "snr": np.float32([8, 9, 10])}
    with uproot.recreate(path) as file:
        getattr(file, make)("triggers", columns)
    with pytest.raises(FormatError, match=r"x\.root: The times in 'time' are 32-bit floats"):
        root_table(path, "x.root")


@pytest.mark.parametrize(
    ("trees", "reason"),
    [
        (("one", "two"), "several tables of triggers \\('one', 'two'\\): send each as a file"),
        ((), "no tree of triggers"),
    ],
)
def test_trees_that_are_not_one(tmp_path: Path, trees: tuple[str, ...], reason: str) -> None:
    path = tmp_path / "x.root"
    with uproot.recreate(path) as file:
        file.mktree("segments", {"start": TIMES, "end": TIMES + 1})
        for name in trees:
            file.mktree(name, {"time": TIMES, "snr": TIMES})
    with pytest.raises(FormatError, match=reason):
        root_table(path, "x.root")


@pytest.mark.parametrize("kept", [4, 100, 400, 1500])
def test_cut_files_are_reported_as_damaged(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "x.root"
    with uproot.recreate(path) as file:
        file.mktree("triggers", {"time": TIMES, "snr": TIMES})
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(FormatError, match="truncated or damaged"):
        root_rows(path, "x.root", ["time"], 0, 3)
