"""Times of tables by other clocks than GPS seconds, or with their parts of a second apart."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.batches.table_files import read_table
from glitch.errors import FormatError
from glitch.tables import Facts, TableRow

TIME = "1126259462.4"


def _row(folder: Path, header: str, cells: str) -> TableRow:
    path = folder / "triggers.csv"
    path.write_text(f"{header}\n{cells}\n")
    (row,) = read_table(path, path.name)
    return row


def _facts(folder: Path, header: str, cells: str) -> Facts:
    facts = _row(folder, header, cells).facts
    assert facts is not None
    return facts


@pytest.mark.parametrize(
    ("header", "cells"),
    [
        ("gps,ms,snr", "1126259462,400,13"),
        ("gps,us,snr", "1126259462,400000,13"),
        ("gps_seconds,gps_microseconds,snr", "1126259462,400000,13"),
        ("gps_sec,gps_usec,snr", "1126259462,400000,13"),
        ("event_time,event_time_frac,snr", "1126259462,.4,13"),
        ("gps_time,peak_time_ns,snr", "1126259462,400000000,13"),
        ("gps_time,peak_time_ns,start_time_ns", "1126259462,400000000,200000000"),
        ("date,time,snr", "20150914,09:50:45.4,13"),
        ("utc,ns,snr", "2015-09-14T09:50:45,400000000,13"),
        ("timestamp,ms,snr", "2015-09-14T09:50:45,400,13"),
        ("unix_time,ns,snr", "1442224245,400000000,13"),
        ("gps_time,ms,snr", "1126259462.4,700,13"),  # which has its own
    ],
)
def test_a_part_of_a_second_counts_with_the_whole_ones_beside_it(
    tmp_path: Path, header: str, cells: str
) -> None:
    """It was left out, as nanoseconds were not."""
    assert _facts(tmp_path, header, cells).gps_time == TIME


@pytest.mark.parametrize(
    ("header", "cells"),
    [
        ("gps_time,fraction,snr", "1126259462,0.4,13"),
        ("gps_time,time_ms,snr", "1126259462,400,13"),
        ("time_ms,gps_time,snr", "400,1126259462,13"),
        ("gps_time,ms,snr", "1126259462,1400,13"),
        ("gps_time,start_time_ns,snr", "1126259462,400000000,13"),
        ("end_time,peak_time_ns,snr", "1126259462,400000000,13"),
        ("gps_time,peak_time_ns,event_time_ns", "1126259462,400000000,500000000"),
    ],
)
def test_what_may_be_a_part_of_a_second_is_asked_about(
    tmp_path: Path, header: str, cells: str
) -> None:
    row = _row(tmp_path, header, cells)
    assert row.facts is None
    assert "in whole seconds (1126259462)" in row.reason
    assert "write the time in one column" in row.reason


def test_whole_seconds_alone_are_a_time(tmp_path: Path) -> None:
    facts = _facts(tmp_path, "gps_time,peak,fraction,snr", "1126259462,0.7,0,13")
    assert facts.gps_time == "1126259462"


@pytest.mark.parametrize(
    ("header", "cells"),
    [
        ("time (unix),ifo", "1442224245.4,V1"),
        ("time [UNIX s],ifo", "1442224245.4,V1"),
        ("time [unix ms],ifo", "1442224245400,V1"),
        ("time [seconds since 1970-01-01],ifo", "1442224245.4,V1"),
        ("time [UTC],ifo", "2015-09-14 09:50:45.4,V1"),
        ("GPS time (s),ifo", "1126259462.4,V1"),
        ("time (GPS s),ifo", "1126259462.4,V1"),
        ("time [PST],gps,ifo", "2015-09-14 02:50:45.4,1126259462.4,H1"),
    ],
)
def test_the_clock_in_a_name_is_heeded(tmp_path: Path, header: str, cells: str) -> None:
    assert _facts(tmp_path, header, cells).gps_time == TIME


@pytest.mark.parametrize("clock", ["PST", "JST", "CEST", "local", "TAI", "MJD", "days", "UTC+9"])
def test_times_by_another_clock_are_refused(tmp_path: Path, clock: str) -> None:
    """They were taken as UTC, hours or leap seconds off, or as GPS seconds."""
    with pytest.raises(FormatError, match="is not read here: give GPS seconds"):
        _row(tmp_path, f"time ({clock}),ifo", "2015-09-14 09:50:45.4,H1")


@pytest.mark.parametrize("clock", ["PST", "[JST]", "TAI", "MJD", "UTC+9"])
def test_a_clock_in_a_row_of_units_counts(tmp_path: Path, clock: str) -> None:
    """That row was told to be no trigger, and the times below it were taken as UTC."""
    with pytest.raises(FormatError, match="is not read here: give GPS seconds"):
        _row(tmp_path, f"time,snr,ifo\n{clock},,", "2015-09-14 02:50:45.4,13,H1")
    facts = _facts(tmp_path, "time,snr,ifo\nUnix,-,-", "1442224245.4,13,H1")
    assert facts.gps_time == TIME


@pytest.mark.parametrize(("unit", "digits"), [("ms", 3), ("us", 6)])
def test_a_time_too_large_for_seconds_names_the_unit(
    tmp_path: Path, unit: str, digits: int
) -> None:
    row = _row(tmp_path, "gps_time,snr", f"1126259462{'0' * digits},13")
    assert f"call its column gps_time_{unit}" in row.reason
    assert _facts(tmp_path, f"gps_time_{unit},snr", f"1126259462{'0' * digits},13").gps_time


def test_what_no_factor_makes_a_plain_measure_is_not_known(tmp_path: Path) -> None:
    facts = _facts(
        tmp_path,
        "gps_time,snr [dB],frequency [Hz] (log10),bandwidth [octaves],duration [ms]",
        "1126259462.4,22,2.1,2,50",
    )
    assert (facts.snr, facts.peak_frequency, facts.bandwidth) == (None, None, None)
    assert facts.duration == 0.05


@pytest.mark.parametrize("name", ["offset", "peak_offset", "time_offset"])
def test_an_offset_beside_whole_seconds_is_asked_about(tmp_path: Path, name: str) -> None:
    """It was left out, and the time cut to the second."""
    row = _row(tmp_path, f"gps,{name},snr", "1126259462,0.4,13")
    assert "it cannot be told whether 0.4 s beside it is the rest of it" in row.reason
    assert _facts(tmp_path, f"gps,{name},snr", f"{TIME},0.4,13").gps_time == TIME
