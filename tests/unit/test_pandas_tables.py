"""Tables of triggers in the layouts of pandas' ``to_hdf``, written here without pandas."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from glitch.errors import FormatError
from glitch.tables import facts_of
from glitch.tables.hdf5 import holds_triggers, trigger_rows, trigger_table

TIMES = [1187008881.375, 1187008900.25, 1187008950.5]
FREQUENCIES = [100.0, 200.0, 300.0]


def _fixed(path: Path, *, has_text: bool = False) -> None:
    with h5py.File(path, "w") as file:
        group = file.create_group("df")
        group.attrs["pandas_type"] = np.bytes_(b"frame")
        group["axis0"] = np.array([b"GPStime", b"peakFreq", b"n"])
        group["axis1"] = np.arange(3)
        group["block0_items"] = np.array([b"GPStime", b"peakFreq"])
        group["block0_values"] = np.array([TIMES, FREQUENCIES]).T
        group["block1_items"] = np.array([b"n"])
        group["block1_values"] = np.array([[1], [2], [3]])
        if has_text:
            group["block2_items"] = np.array([b"ifo"])
            values = group.create_dataset("block2_values", (1,), h5py.vlen_dtype(np.uint8))
            values[0] = np.frombuffer(pickle.dumps(np.array(["L1"] * 3, dtype=object)), np.uint8)


def _appendable(path: Path, kind: bytes) -> None:
    rows = np.zeros(
        3, [("index", "<i8"), ("values_block_0", "<f8", (2,)), ("values_block_1", "S2", (1,))]
    )
    rows["values_block_0"] = np.array([TIMES, FREQUENCIES]).T
    rows["values_block_1"] = b"L1"
    with h5py.File(path, "w") as file:
        group = file.create_group("df")
        group.attrs["pandas_type"] = np.bytes_(b"frame_table")
        group["table"] = rows
        group["table"].attrs["values_block_0_kind"] = np.bytes_(kind)
        group["table"].attrs["values_block_1_kind"] = np.bytes_(pickle.dumps(["ifo"], 0))


def test_the_fixed_layout_is_read(tmp_path: Path) -> None:
    path = tmp_path / "triggers.h5"
    _fixed(path)
    assert holds_triggers(path)
    table = trigger_table(path, path.name)
    assert (table.columns, table.count) == (("GPStime", "peakFreq", "n"), 3)
    rows = trigger_rows(path, path.name, ["n", "GPStime"], 1, 5)
    assert rows == [[2, TIMES[1]], [3, TIMES[2]]]


def test_pickled_columns_of_the_fixed_layout_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "triggers.h5"
    _fixed(path, has_text=True)
    assert holds_triggers(path)
    with pytest.raises(FormatError, match=r"pickled the columns 'ifo' of 'df'.*format='table'"):
        trigger_table(path, path.name)


def test_the_table_layout_is_read(tmp_path: Path) -> None:
    path = tmp_path / "triggers.h5"
    _appendable(path, pickle.dumps(["GPStime", "peakFreq"], 0))
    table = trigger_table(path, path.name)
    assert (table.columns, table.count) == (("GPStime", "peakFreq", "ifo"), 3)
    assert trigger_rows(path, path.name, ["ifo", "peakFreq"], 2, 1) == [[b"L1", 300.0]]


class _Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, ("touched",)


@pytest.mark.parametrize("kind", [b"(lp0\nVGPStime\np1", b"", pickle.dumps(_Bomb(), 0)])
def test_names_are_taken_from_a_pickle_that_never_runs(
    kind: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "triggers.h5"
    _appendable(path, kind)
    assert not holds_triggers(path)
    assert not (tmp_path / "touched").exists()


def test_a_missing_plugin_is_named_instead_of_damage(tmp_path: Path) -> None:
    path = tmp_path / "triggers.h5"
    made = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    made.set_chunk((3,))
    # the number of blosc, which PyTables has built in
    made.set_filter(32001, h5py.h5z.FLAG_OPTIONAL)
    with h5py.File(path, "w") as file:
        rows = np.array(
            list(zip(TIMES, FREQUENCIES, strict=True)), [("gps_time", "<f8"), ("snr", "<f8")]
        )
        kind = h5py.h5t.py_create(rows.dtype, logical=True)
        space = h5py.h5s.create_simple((3,), (3,))
        own = h5py.h5d.create(file.id, b"triggers", kind, space, made)
        h5py.Dataset(own)[...] = rows
    with pytest.raises(FormatError, match=r"compressed with .*32001.*write it with gzip"):
        trigger_rows(path, path.name, ["gps_time"], 0, 3)


def _with_index(path: Path, name: bytes, kind: bytes, index: list[float] | list[int]) -> None:
    """Write a frame of the fixed layout, with times as its index."""
    with h5py.File(path, "w") as file:
        group = file.create_group("df")
        group.attrs["pandas_type"] = np.bytes_(b"frame")
        group["axis1"] = np.array(index)
        group["axis1"].attrs["name"] = np.bytes_(name)
        group["axis1"].attrs["kind"] = np.bytes_(kind)
        group["block0_items"] = np.array([b"peakFreq"])
        group["block0_values"] = np.array([FREQUENCIES]).T


def _with_appendable_index(
    path: Path, name: bytes, kind: bytes, index: list[float] | list[int]
) -> None:
    """Write a frame of the table layout, with times as its index."""
    values = np.array(index)
    rows = np.zeros(3, [("index", values.dtype), ("values_block_0", "<f8", (1,))])
    rows["index"], rows["values_block_0"] = values, np.array([FREQUENCIES]).T
    info = {1: {"names": [None], "type": "Index"}, "index": {}}
    if name != b"N.":
        info["index"] = {"index_name": name.decode()}
    with h5py.File(path, "w") as file:
        group = file.create_group("df")
        group.attrs["pandas_type"] = np.bytes_(b"frame_table")
        group.attrs["info"] = np.bytes_(pickle.dumps(info, 0))
        group["table"] = rows
        group["table"].attrs["index_kind"] = np.bytes_(kind)
        group["table"].attrs["values_block_0_kind"] = np.bytes_(pickle.dumps(["peakFreq"], 0))


@pytest.mark.parametrize("write", [_with_index, _with_appendable_index])
@pytest.mark.parametrize(
    ("name", "kind", "scale"),
    [
        (b"GPStime", b"float", 1),
        (b"N.", b"float", 1),
        (b"time", b"datetime64[ns]", 10**9),
        (b"N.", b"datetime64[us]", 10**6),
        (b"utc", b"datetime64[ns, UTC]", 10**9),
    ],
)
def test_times_may_be_the_index(
    tmp_path: Path, write: Callable[..., None], name: bytes, kind: bytes, scale: int
) -> None:
    path = tmp_path / "triggers.h5"
    unix = [round((time + 315964782) * 1000) * scale // 1000 for time in TIMES]
    write(path, name, kind, TIMES if scale == 1 else unix)
    assert holds_triggers(path)
    table = trigger_table(path, path.name)
    rows = trigger_rows(path, path.name, list(table.columns), 0, 3)
    facts = [facts_of(dict(zip(table.columns, row, strict=True))) for row in rows]
    assert [float(one.gps_time or 0) for one in facts] == TIMES
    assert [one.peak_frequency for one in facts] == FREQUENCIES


@pytest.mark.parametrize("write", [_with_index, _with_appendable_index])
def test_numbers_of_rows_are_no_times(tmp_path: Path, write: Callable[..., None]) -> None:
    path = tmp_path / "triggers.h5"
    write(path, b"N.", b"integer", [0, 1, 2])
    assert not holds_triggers(path)


def test_dates_in_columns_are_unix_time_and_never_gps(tmp_path: Path) -> None:
    """Dates in columns are Unix time; read as GPS time, dates of 2007 would be of 2017."""
    path = tmp_path / "triggers.h5"
    _fixed(path)
    with h5py.File(path, "r+") as file:
        del file["df/block1_items"], file["df/block1_values"]
        file["df/block1_items"] = np.array([b"time"])
        file["df/block1_values"] = np.full((3, 1), 1_167_609_600 * 10**9)
        file["df/block1_values"].attrs["value_type"] = np.bytes_(b"datetime64[ns]")
        file["df/block0_items"][0] = b"n"
    columns = trigger_table(path, path.name).columns
    assert "unix_time [ns]" in columns
    assert "time" not in columns
    [[value]] = trigger_rows(path, path.name, ["unix_time [ns]"], 0, 1)
    assert facts_of({"unix_time [ns]": value}).gps_time == "851644814"


def test_an_index_of_several_levels_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "triggers.h5"
    _fixed(path)
    with h5py.File(path, "r+") as file:
        file.move("df/axis1", "df/axis1_level0")
    assert holds_triggers(path)
    with pytest.raises(FormatError, match=r"several levels: .*reset_index\(\)"):
        trigger_table(path, path.name)
