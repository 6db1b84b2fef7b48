"""Several tables, lists or detectors in one file: all rows are read, or the others are named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from app.batches.table_files import read_table
from glitch.errors import FormatError

TIME = 1126259462.5


def _said(path: Path) -> list[tuple[str | None, str | None]]:
    facts = [row.facts for row in read_table(path, path.name)]
    return [(one.ifo, one.gps_time) for one in facts if one is not None]


def _json(folder: Path, data: Any) -> list[tuple[str | None, str | None]]:
    path = folder / "events.json"
    path.write_text(json.dumps(data))
    return _said(path)


def _hdf5(folder: Path, **columns: np.ndarray) -> Path:
    path = folder / "triggers.h5"
    fields = [(name, column.dtype) for name, column in columns.items()]
    table = np.zeros(len(next(iter(columns.values()))), dtype=fields)
    for name, column in columns.items():
        table[name] = column
    with h5py.File(path, "w") as file:
        file["triggers"] = table
    return path


BOTH = [("H1", "1126259462.5"), ("H1", "1126259463.5"), ("L1", "1126259462.5")]


@pytest.mark.parametrize(
    "data",
    [
        {"H1": [{"time": TIME}, {"time": TIME + 1}], "L1": [{"time": TIME}]},
        {"H1": {"time": [TIME, TIME + 1]}, "L1": {"time": [TIME]}},
        {"triggers": {"H1": [{"time": TIME}, {"time": TIME + 1}], "L1": [{"time": TIME}]}},
    ],
)
def test_json_with_a_list_for_each_detector_keeps_all_of_them(tmp_path: Path, data: Any) -> None:
    """All lists are read, each with its detector."""
    assert _json(tmp_path, data) == BOTH


def test_json_whose_object_tells_the_detector_of_its_list_keeps_it(tmp_path: Path) -> None:
    data = {"ifo": "H1", "gps_start": TIME - 9, "gps_end": TIME + 9, "triggers": [{"time": TIME}]}
    assert _json(tmp_path, data) == BOTH[:1]  # a trigger at the middle of the span


def test_json_with_several_lists_is_refused(tmp_path: Path) -> None:
    data = {"found": [{"time": TIME, "ifo": "H1"}], "vetoed": [{"time": TIME + 1, "ifo": "H1"}]}
    with pytest.raises(FormatError, match="several lists of events \\(found, vetoed\\)"):
        _json(tmp_path, data)


def test_hdf5_of_coincidences_has_a_trigger_in_each_detector(tmp_path: Path) -> None:
    """A coincidence becomes a trigger in each detector, with its time, as from text."""
    path = _hdf5(tmp_path, H1_end_time=np.array([TIME]), L1_end_time=np.array([TIME + 1]))
    assert _said(path) == [BOTH[0], ("L1", "1126259463.5")]
    path = _hdf5(tmp_path, gps_time=np.array([TIME]), ifo=np.array([b"H1,L1"]))
    assert _said(path) == [BOTH[0], BOTH[2]]


def test_hdf5_may_enumerate_its_detectors(tmp_path: Path) -> None:
    kind = h5py.enum_dtype({"H1": 0, "L1": 1})
    path = _hdf5(tmp_path, gps_time=np.array([TIME, TIME]), ifo=np.array([0, 1], dtype=kind))
    assert _said(path) == [BOTH[0], BOTH[2]]


def test_hdf5_may_hold_the_longest_floats(tmp_path: Path) -> None:
    """Times of extended precision are read, and do not end the decoding process."""
    path = _hdf5(tmp_path, gps_time=np.array([TIME], dtype=np.longdouble))
    assert [time for _, time in _said(path)] == ["1126259462.5"]


def test_a_header_that_comes_again_is_no_row(tmp_path: Path) -> None:
    path = tmp_path / "joined.csv"
    path.write_text("gps_time,ifo\n1126259462.5,H1\nGPS time,ifo\n1126259463.5,H1\n")
    rows = list(read_table(path, path.name))
    assert [row.facts is not None for row in rows] == [True, True]


def test_a_header_of_another_table_ends_the_table(tmp_path: Path) -> None:
    """Values below a second header are not read under the names of the first."""
    path = tmp_path / "two.csv"
    path.write_text(
        "gps_time,snr,frequency\n1126259462.5,9,60\ngps_time,frequency,snr\n1126259463.5,60,9\n"
    )
    first, second = read_table(path, path.name)
    assert first.facts is not None
    assert second.facts is None
    assert "Another table begins here" in second.reason


def test_the_count_below_a_printed_table_is_no_row(tmp_path: Path) -> None:
    path = tmp_path / "printed.txt"
    path.write_text("  gps_time   ifo\n------------ ---\n1126259462.5  H1\nLength = 1 rows\n")
    assert _said(path) == BOTH[:1]


def test_ligolw_in_one_line_is_read(tmp_path: Path) -> None:
    """A LIGO_LW file of one line is read, and not taken for a row without names."""
    path = tmp_path / "one.xml"
    path.write_text(
        "<?xml version='1.0'?><LIGO_LW><Table Name='sngl_burst:table'>"
        "<Column Name='peak_time' Type='int_4s'/><Column Name='peak_time_ns' Type='int_4s'/>"
        "<Column Name='ifo' Type='lstring'/><Stream Name='sngl_burst:table' Delimiter=','>"
        '1126259462,500000000,"H1"</Stream></Table></LIGO_LW>'
    )
    assert _said(path) == BOTH[:1]


def test_of_pycbcs_coincidences_those_in_the_foreground_are_read(tmp_path: Path) -> None:
    """Coincidences of the foreground are read; time slides in the same file are ignored."""
    path = tmp_path / "H1L1-STATMAP-1126259000-1000.hdf"
    with h5py.File(path, "w") as file:
        for group, count in (("foreground", 1), ("background", 5), ("background_exc", 4)):
            for ifo in ("H1", "L1"):
                file[f"{group}/{ifo}/time"] = TIME + 100 * (count > 1) + np.arange(count)
                file[f"{group}/{ifo}/trigger_id"] = np.arange(count)
            file[f"{group}/stat"] = np.full(count, 8.0)
    assert _said(path) == [BOTH[0], BOTH[2]]


def test_an_event_of_several_detectors_keeps_the_snr_in_each(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    path.write_text("gps,ifos,snr,snr_H1,L1_snr\n1126259462.5,H1L1,16,13,9\n")
    facts = [row.facts for row in read_table(path, path.name)]
    assert [(one.ifo, one.snr) for one in facts if one] == [("H1", 13.0), ("L1", 9.0)]
