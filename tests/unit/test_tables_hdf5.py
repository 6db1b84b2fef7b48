"""Trigger tables in HDF5: any path, a dataset for each column, several detectors, long text."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from gwpy.table import EventTable

from app.batches.table_files import read_table
from glitch.errors import TooLargeError
from glitch.tables import Facts, facts_of
from glitch.tables.hdf5 import holds_triggers, trigger_rows, trigger_table

ROW = Facts(gps_time="1126259455.15", ifo="H1", snr=9.5)


def _hdf5_facts(path: Path) -> list[Facts]:
    assert holds_triggers(path)
    table = trigger_table(path, path.name)
    rows = trigger_rows(path, path.name, table.columns, 0, table.count)
    return [facts_of(dict(zip(table.columns, row, strict=True)), ifo=table.ifo) for row in rows]


def test_hdf5_tables_at_any_path(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    table = EventTable(
        rows=[(1126259455.15, 9.5, "H1")], names=["time", "snr", "ifo"], dtype=[float, float, "S2"]
    )
    table.write(path, format="hdf5", path="deep/mine")
    assert _hdf5_facts(path) == [ROW]


def test_hdf5_with_a_dataset_a_column_as_pycbc(tmp_path: Path) -> None:
    path = tmp_path / "a.hdf"
    with h5py.File(path, "w") as file:
        file["H1/end_time"] = np.array([1126259455.15])
        file["H1/snr"] = np.array([9.5])
        file["H1/template_id"] = np.array([3])
    assert _hdf5_facts(path) == [ROW]


def test_views_with_columns_beside_them_are_no_table_of_triggers(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["views"] = np.zeros((2, 4, 8, 8))
        file["gps_time"], file["snr"] = np.ones(2), np.ones(2)
    assert not holds_triggers(path)


def _of_detectors(tree: h5py.File, nested: str) -> None:
    """Write PyCBC's layout: a group for each detector, with segments and gates in it."""
    for ifo, time in (("H1", 1126259455.15), ("L1", 1126259460.25)):
        group = tree.create_group(f"{ifo}{nested}")
        group["end_time"], group["snr"] = [time, time + 1], np.array([9.5, 8], "f4")
        group["template_id"], group["psd"], group["gates"] = [3, 4], np.ones(9), np.ones((1, 3))
        group["search/start_time"], group["search/end_time"] = [1126259440.0], [1126259500.0]


@pytest.mark.parametrize("nested", ["", "/triggers"])
def test_hdf5_of_several_detectors(tmp_path: Path, nested: str) -> None:
    path = tmp_path / "H1L1-Live-1126259450-8.hdf"
    with h5py.File(path, "w") as tree:
        _of_detectors(tree, nested)
        tree["foreground/H1/end_time"], tree["foreground/H1/snr"] = [1126259455.15], [9.5]
    table = trigger_table(path, path.name)
    columns = ["end_time", "ifo", "snr"]
    assert trigger_rows(path, path.name, columns, 1, 2) == [
        [1126259456.15, "H1", 8.0],
        [1126259460.25, "L1", 9.5],
    ]
    assert table.count == 4


@pytest.mark.parametrize("is_compound", [True, False])
def test_hdf5_with_text_of_any_length(tmp_path: Path, is_compound: bool) -> None:
    path = tmp_path / "a.h5"
    text, names = h5py.string_dtype(), ["time", "ifo", "label"]
    with h5py.File(path, "w") as tree:
        if is_compound:
            kind = np.dtype([("time", "f8"), ("ifo", text), ("label", text)])
            tree["events"] = np.array([(1126259455.15, "H1", "é" * 2000)], kind)
        else:
            tree["time"] = [1126259455.15]
            tree.create_dataset("ifo", data=["H1"], dtype=text)
            tree.create_dataset("label", data=["é" * 2000], dtype=text)
    assert holds_triggers(path)
    [row] = trigger_rows(path, "a.h5", names, 0, 9)
    facts = facts_of(dict(zip(names, row, strict=True)))
    assert (facts.gps_time, facts.ifo) == ("1126259455.15", "H1")
    assert set(facts.label or "") == {"é"}


@pytest.mark.parametrize("is_compound", [True, False])
def test_rows_that_are_declared_and_not_there_are_refused(
    tmp_path: Path, is_compound: bool
) -> None:
    """A table that declares many more rows than it holds is refused.

    It was made resizable and not filled, or is meant to fill a disk.
    """
    path, count = tmp_path / "a.h5", 9_000_000
    with h5py.File(path, "w") as file:
        if is_compound:
            kind = [("time", "f8"), ("snr", "f8")]
            file.create_dataset("triggers", (count,), kind, chunks=(1000,))
        else:
            for name in ("time", "snr"):
                file.create_dataset(f"triggers/{name}", (count,), "f8", chunks=(1000,))
    with pytest.raises(TooLargeError, match=f"declares {count:,} rows, more than"):
        next(read_table(path, "a.h5"))


@pytest.mark.parametrize("shape", [(-1, 1), (1, -1)])
def test_columns_that_are_matrices_of_one_row_or_column(
    tmp_path: Path, shape: tuple[int, int]
) -> None:
    """A column may be a matrix of one row or column, as Matlab and often h5py write it."""
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["gps_time"] = np.array([1126259455.15, 1126259460.25]).reshape(shape)
        file["snr"] = np.array([9.5, 8.5]).reshape(shape)
        file["ifo"] = np.array([b"H1", b"H1"]).reshape(shape)
    assert _hdf5_facts(path) == [ROW, Facts(gps_time="1126259460.25", ifo="H1", snr=8.5)]
