"""Times of tables by clocks other than GPS, or with the fraction of a second in another column."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from app.batches.table_files import read_table
from glitch.errors import FormatError
from glitch.gps import parse_utc
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
        ("gps_time,ms,snr", "1126259462.4,700,13"),  # its own fraction counts
    ],
)
def test_a_part_of_a_second_is_added_to_the_whole_seconds(
    tmp_path: Path, header: str, cells: str
) -> None:
    """A fraction in a column of its own is added, like nanoseconds."""
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
def test_a_possible_part_of_a_second_is_refused_as_ambiguous(
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
    """Other clocks are refused; read as UTC or GPS, they would be wrong by seconds or hours."""
    with pytest.raises(FormatError, match="is not supported: give GPS seconds"):
        _row(tmp_path, f"time ({clock}),ifo", "2015-09-14 09:50:45.4,H1")


@pytest.mark.parametrize("clock", ["PST", "[JST]", "TAI", "MJD", "UTC+9"])
def test_a_clock_in_a_row_of_units_counts(tmp_path: Path, clock: str) -> None:
    """A row of units below the header is not a trigger, and its clock is that of the times."""
    with pytest.raises(FormatError, match="is not supported: give GPS seconds"):
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


def test_values_in_units_without_a_factor_are_unknown(tmp_path: Path) -> None:
    facts = _facts(
        tmp_path,
        "gps_time,snr [dB],frequency [Hz] (log10),bandwidth [octaves],duration [ms]",
        "1126259462.4,22,2.1,2,50",
    )
    assert (facts.snr, facts.peak_frequency, facts.bandwidth) == (None, None, None)
    assert facts.duration == 0.05


@pytest.mark.parametrize("name", ["offset", "peak_offset", "time_offset"])
def test_an_offset_with_whole_seconds_is_refused_as_ambiguous(tmp_path: Path, name: str) -> None:
    """The offset may be the fraction of the time, so the row is refused with a question."""
    row = _row(tmp_path, f"gps,{name},snr", "1126259462,0.4,13")
    assert "0.4 s in another column may be its fraction" in row.reason
    assert _facts(tmp_path, f"gps,{name},snr", f"{TIME},0.4,13").gps_time == TIME


@pytest.mark.parametrize(
    ("header", "cells"),
    [
        ("unix_time,unix_time_us,snr", "1442224245,400000,13"),
        ("unix_usec,unix_sec,snr", "400000,1442224245,13"),
        ("unix_sec,unix_nsec,snr", "1442224245,400000000,13"),
        ("unix_seconds,unix_microseconds,snr", "1442224245,400000,13"),
        ("gps_time_us,gps_time,snr", "400000,1126259462,13"),
        ("gps_time,gps_time_microseconds,snr", "1126259462,400000,13"),
        ("utc,snr", "2015-09-14 9:50:45.4 AM,13"),
        ("date,time,snr", "2015-09-14,09:50:45.4 a.m.,13"),
        ("date,time,half,snr", "2015-09-14,09:50:45.4,AM,13"),
    ],
)
def test_parts_of_a_second_beside_unix_time_and_halves_of_the_day(
    tmp_path: Path, header: str, cells: str
) -> None:
    assert _facts(tmp_path, header, cells).gps_time == TIME


def test_an_afternoon_is_twelve_hours_later(tmp_path: Path) -> None:
    for text in ("2015-09-14 9:50:45.4 PM", '"Sep 14, 2015 9:50:45.4 PM"'):
        assert _facts(tmp_path, "utc,snr", f"{text},13").gps_time == "1126302662.4"
    assert _facts(tmp_path, "utc,snr", "2015-09-14 12:00:00 AM,13").gps_time == "1126224017"
    assert "is not a GPS time" in _row(tmp_path, "utc,snr", "2015-09-14 13:50:45 PM,13").reason


@pytest.mark.parametrize(
    ("header", "cells"),
    [
        ("gps_time,utc", f"{TIME},2016-09-14T09:50:45"),
        ("gps_time,unix_time", f"{TIME},1542224245"),
        ("gps_time,peak_time", f"{TIME},1126269462.4"),
        ("gps_time,start_time,end_time", f"{TIME},1126259562,1126259572"),
        ("start,duration,end", "1126259462,2,1126259472"),
        ("time,event_index,sample_rate", "1126259446,1000,4096"),
    ],
)
def test_columns_that_state_different_times_are_refused(
    tmp_path: Path, header: str, cells: str
) -> None:
    """The row is refused with a question, instead of using the first of the columns."""
    row = _row(tmp_path, f"{header},snr", f"{cells},13")
    assert row.facts is None
    assert "different times" in row.reason or "give the time of" in row.reason


@pytest.mark.parametrize(
    ("header", "cells"),
    [
        ("gps_time,utc,unix_time", f"{TIME},2015-09-14 09:50:45,1442224245.4"),
        ("gps_time,utc", f"{TIME},2015-09-14 09:50"),
        ("gps_time,timestamp", f"{TIME},2019-01-01 00:00:00"),  # when the row was written
        ("gps_time,t0", f"{TIME},1126256640"),
        ("gps_time,tstart,tend,duration", f"{TIME},1126259462,1126259463,0.1"),
        ("gps_time,segment_start,segment_end", f"{TIME},1126250000,1126259999"),
        ("event_index,time", f"17,{TIME}"),  # a number of the event, not of a sample
    ],
)
def test_columns_that_agree_or_are_of_something_else_are_no_contradiction(
    tmp_path: Path, header: str, cells: str
) -> None:
    assert _facts(tmp_path, f"{header},snr", f"{cells},13").gps_time == TIME


@pytest.mark.parametrize(
    ("form", "scale", "cell"),
    [
        ("gps", "tai", TIME),
        ("isot", "utc", "2015-09-14T09:50:45.400"),
        ("unix", "utc", "1442224245.4"),
    ],
)
def test_times_of_astropy_are_read_by_their_format(
    tmp_path: Path, form: str, scale: str, cell: str
) -> None:
    """An ECSV file of astropy's ``Time`` states its clock in its header, not in a unit."""
    assert _facts(tmp_path, _ecsv(form, scale), f"{cell} 13").gps_time == TIME


@pytest.mark.parametrize(
    ("form", "scale", "cell"),
    [
        ("isot", "tai", "2015-09-14T09:51:21.400"),
        ("mjd", "utc", "57279.41"),
        ("cxcsec", "tt", "558611512.584"),
    ],
)
def test_times_of_astropy_by_other_clocks_are_refused(
    tmp_path: Path, form: str, scale: str, cell: str
) -> None:
    with pytest.raises(FormatError, match="the time system of the column"):
        _row(tmp_path, _ecsv(form, scale), f"{cell} 13")


def _ecsv(form: str, scale: str) -> str:
    """Return the header that astropy 7 writes for a column of ``Time``."""
    return (
        "# %ECSV 1.0\n# ---\n# datatype:\n# - {name: time, datatype: string}\n# meta: !!omap\n"
        "# - __serialized_columns__:\n#     time:\n#       __class__: astropy.time.core.Time\n"
        f"#       format: {form}\n#       in_subfmt: '*'\n#       precision: 3\n"
        f"#       scale: {scale}\n"
        "#       value: !astropy.table.SerializedColumn {name: time}\n"
        "# schema: astropy-2.0\ntime snr"
    )


@pytest.mark.parametrize(
    ("header", "cells"), [("date,time", "04/09/2015,09:50:45"), ("start,end", "4/9/2015 9:50,x")]
)
def test_a_date_whose_month_is_unclear_is_asked_about(
    tmp_path: Path, header: str, cells: str
) -> None:
    row = _row(tmp_path, f"{header},snr", f"{cells},13")
    assert row.facts is None
    assert "which number is the month" in row.reason


@pytest.mark.parametrize(
    ("text", "gps"),
    [
        ("2016-12-31 23:59:60", Decimal(1167264017)),
        ("2015-12-31 23:59:60", None),
        ("2015-09-14T09:50:45+00:00", Decimal(1126259462)),
        ("2015-09-14 09:50:45.4 UTC", Decimal("1126259462.4")),
        ("2015-02-30", None),
        ("1979-12-31", None),
    ],
)
def test_utc(text: str, gps: Decimal | None) -> None:
    assert parse_utc(text) == gps
