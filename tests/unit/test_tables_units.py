"""Tables with times and measures in other units, masked, or with too few digits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import astropy.table
import h5py
import numpy as np
import pytest

from glitch.errors import FormatError, TableError
from glitch.tables import Facts, facts_of, is_text_table, read_text_table
from glitch.tables.hdf5 import trigger_rows, trigger_table

TIME, NANOSECONDS = "1126259462.4", 1126259462400000000


@pytest.mark.parametrize(
    "row",
    [
        {"gps_time_ns": NANOSECONDS},
        {"gps_ns": NANOSECONDS},
        {"geocent_time": NANOSECONDS},
        {"event_time": NANOSECONDS},
        {"event_time": "1.1262594624e18"},
        {"GPS time [ns]": NANOSECONDS},
        {"peak_time": 1126259462, "peak_time_ns": 400000000},
        {"peak_time": 1126259462, "peak_time_ns": NANOSECONDS},
        {"peak_time [s]": 1126259462, "peak_time_ns [ns]": 400000000},
        {"gps [s]": 1126259462, "ns [ns]": 400000000},
        {"gps_time_ns [ns]": NANOSECONDS},
        {"peak_time": 1126259461, "peak_time_ns": 1400000000},
        {"start_time_ns": NANOSECONDS - 10**8, "end_time_ns": NANOSECONDS + 10**8},
        {"gps_time_s": 1126259462.4},
        {"time [ms]": 1126259462400},
        {"date": "2015-09-14", "time": "09:50:45.4"},
        {"Peak time (GPS) [s]": 1126259462.4},
        {"event_time": "1.126259462400000000e+09"},
        {"begin": 1126259462.2, "end": 1126259462.6},
        {"start_gps": 1126259462.2, "stop_gps": 1126259462.6},
        {"startGPS": 1126259462.2, "endGPS": 1126259462.6},
        {"start time": "2015-09-14T09:50:45.2", "end time": "2015-09-14 09:50:45.6"},
    ],
)
def test_times_in_any_unit_are_read(tmp_path: Path, row: dict[str, Any]) -> None:
    assert facts_of(row).gps_time == TIME
    path = tmp_path / "H1-triggers.csv"
    path.write_text(",".join(row) + "\n" + ",".join(map(str, row.values())) + "\n")
    assert is_text_table(path)
    assert [one.facts for one in read_text_table(path, path.name)] == [facts_of(row, ifo="H1")]


def test_a_fraction_alone_is_no_time() -> None:
    assert facts_of({"peak_time_ns": 400000000}).gps_time is None


@pytest.mark.parametrize("text", ["1.12626e+09", "1e9", "1.1262594E9"])
def test_times_of_too_few_digits_are_refused(text: str) -> None:
    with pytest.raises(TableError, match=r"has too few digits for a time in seconds"):
        facts_of({"gps_time": text})


def test_python_reads_numbers_that_are_none() -> None:
    for row in ({"gps_time": "1126259462_4"}, {"snr": "9_5"}):
        with pytest.raises(TableError):
            facts_of(row)


MEASURES = Facts(
    gps_time=TIME, ifo="H1", label="Blip", confidence=0.95, duration=0.25, peak_frequency=1200.0
)
UNITS = {
    "names": "gps_time,ifo,label,confidence [%],duration [ms],peak_frequency (kHz)\n"
    "1126259462.4,H1,Blip,95,250,1.2\n",
    "ends of names": "gps_time_s,ifo,label,confidence_percent,duration_ms,peak_frequency_khz\n"
    "1126259462.4,H1,Blip,95,250,1.2\n",
    "long ends of names": "gps_time_sec,ifo,label,confidence_percent,duration_msec,"
    "peak_frequency_kilohertz\n1126259462.4,H1,Blip,95,250,1.2\n",
    "a row": "gps_time,ifo,label,confidence,duration,peak_frequency\ns,,,%,ms,kHz\n"
    "1126259462.4,H1,Blip,95,250,1.2\n",
    "a row without the times'": "gps_time,ifo,label,confidence,duration,peak_frequency\n"
    ",-,,percent,(milliseconds),kilohertz\n1126259462.4,H1,Blip,95,250,1.2\n",
    "a row of names of columns": "gps_time,ifo,label,confidence,duration,peak_frequency\n"
    "GPS seconds,none,none,%,ms,kHz\n1126259462.4,H1,Blip,95,250,1.2\n",
    "a comment below": "gps_time,ifo,label,confidence,duration,peak_frequency\n"
    "# s,,,%,ms,kHz\n1126259462.4,H1,Blip,95,250,1.2\n",
    "the second of two comments": "# gps_time ifo label confidence duration peak_frequency\n"
    "# s - - % ms kHz\n1126259462.4 H1 Blip 95 250 1.2\n",
    "behind a stroke": "gps_time / s,ifo,label,confidence / %,duration / ms,peak_frequency / kHz\n"
    "1126259462.4,H1,Blip,95,250,1.2\n",
    "ECSV": "# %ECSV 1.0\n# ---\n# datatype:\n# - {name: gps_time, unit: s, datatype: float64}\n"
    "# - {name: duration, unit: ms, datatype: float64}\n"
    "# - {name: peak frequency, unit: kHz, datatype: float64}\n"
    "# - {name: confidence, unit: '%', datatype: float64}\n# schema: astropy-2.0\n"
    'gps_time ifo label confidence duration "peak frequency"\n'
    "1126259462.4 H1 Blip 95 250 1.2\n",
}


@pytest.mark.parametrize("where", UNITS)
def test_measures_in_any_unit_are_read(tmp_path: Path, where: str) -> None:
    path = tmp_path / "a.txt"
    path.write_text(UNITS[where])
    assert [one.facts for one in read_text_table(path, "a.txt")] == [MEASURES]


def test_the_confidence_of_the_label_counts() -> None:
    """The label's confidence counts; Gravity Spy's tables also have LIGO_LW's, which is zero."""
    assert facts_of({"confidence": 0, "ml_confidence": 0.95}).confidence == 0.95


def test_text_as_python_shows_it() -> None:
    row = {"gps_time": TIME, "ifo": "b'H1'", "label": "'Blip'", "snr": "***", "q": "-"}
    assert facts_of(row) == Facts(gps_time=TIME, ifo="H1", label="Blip")


def test_masks_and_units_of_astropys_hdf5(tmp_path: Path) -> None:
    table = astropy.table.Table({"gps_time": [1126259462.4, 1126259463.0], "ifo": [b"H1", b"L1"]})
    table["duration"] = astropy.table.MaskedColumn([250.0, 9.0], mask=[False, True], unit="ms")
    path = tmp_path / "a.h5"
    table.write(path, path="triggers", serialize_meta=True)
    names = trigger_table(path, "a.h5").columns
    rows = trigger_rows(path, "a.h5", names, 0, 2)
    found = [facts_of(dict(zip(names, row, strict=True))) for row in rows]
    assert [one.duration for one in found] == [0.25, None]
    assert [one.ifo for one in found] == ["H1", "L1"]


@pytest.mark.parametrize("is_compound", [True, False])
def test_times_as_short_floats_are_refused(tmp_path: Path, is_compound: bool) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as tree:
        if is_compound:
            dtype = [("time", "f4"), ("snr", "f8")]
            tree["triggers"] = np.array([(1126259462.4, 9.5)], dtype=dtype)
        else:
            tree["H1/time"] = np.array([1126259462.4], dtype="f4")
            tree["H1/snr"] = [9.5]
    with pytest.raises(FormatError, match="32-bit floats, which hold a GPS time only to 64 s"):
        trigger_table(path, "a.h5")


def test_snax_has_a_table_for_each_channel_and_stretch(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as tree:
        for channel in ("H1:GDS-CALIB_STRAIN", "H1:LSC-REFL_OUT_DQ"):
            for start in (1126259400, 1126259420):
                rows = np.array([(start + 2.5, 9.5)], dtype=[("time", "f8"), ("snr", "f8")])
                tree[f"{channel}/{start}_{start + 20}"] = rows
    table = trigger_table(path, "a.h5")
    assert (table.channel, table.ifo, table.count) == ("H1:GDS-CALIB_STRAIN", "H1", 2)
    assert trigger_rows(path, "a.h5", ["time"], 0, 9) == [[1126259402.5], [1126259422.5]]


def test_coincidences_are_a_trigger_in_each_detector(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("h1_end_time,l1_end_time,h1_snr,l1_snr\n1126259462.4,1126259462.39,9,8\n")
    rows = [one.facts for one in read_text_table(path, "a.csv")]
    assert rows == [
        Facts(gps_time=TIME, ifo="H1", snr=9.0),
        Facts(gps_time="1126259462.39", ifo="L1", snr=8.0),
    ]


def test_a_column_a_comment_whose_last_names_a_time(tmp_path: Path) -> None:
    path = tmp_path / "H1-o.txt"
    path.write_text(
        "# central time [s]\n# snr []\n# starting time [s]\n# ending time [s]\n"
        "1126259462.4 9.5 1126259462.2 1126259462.6\n"
    )
    [row] = read_text_table(path, path.name)
    assert row.facts is not None
    assert (row.facts.gps_time, row.facts.snr, row.facts.duration) == (TIME, 9.5, 0.4)


def test_units_of_the_columns_of_an_hdf5_group(tmp_path: Path) -> None:
    path = tmp_path / "H1-triggers.h5"
    with h5py.File(path, "w") as tree:
        for name, value, unit in (
            ("peak_time", 1126259462, "s"),
            ("peak_time_ns", 400000000, "ns"),
            ("duration", 250.0, "ms"),
            ("snr", 9.5, ""),
        ):
            tree[f"events/{name}"] = [value]
            tree[f"events/{name}"].attrs["unit"] = unit
    table = trigger_table(path, path.name)
    [row] = trigger_rows(path, path.name, list(table.columns), 0, 1)
    facts = facts_of(dict(zip(table.columns, row, strict=True)))
    assert (facts.gps_time, facts.duration, facts.snr) == (TIME, 0.25, 9.5)


def test_a_length_in_samples_is_not_known_and_one_in_hours_is() -> None:
    assert facts_of({"gps_time": TIME, "duration [samples]": 400}).duration is None
    assert facts_of({"gps_time": TIME, "duration (h)": 0.5}).duration == 1800


def test_a_typeset_minus_is_one() -> None:
    assert facts_of({"gps_time": TIME, "snr": "\N{MINUS SIGN}999", "duration": "0.1"}).snr is None


def test_a_unit_of_several_words() -> None:
    """A logarithm of hertz was read as hertz, and milliseconds of another kind as seconds."""
    row = {
        "gps_time": TIME,
        "frequency (log10 Hz)": 2,
        "snr [dB re 1]": 20,
        "duration [ms rms]": 40,
    }
    found = facts_of(row)
    assert (found.peak_frequency, found.snr, found.duration) == (None, None, 0.04)
