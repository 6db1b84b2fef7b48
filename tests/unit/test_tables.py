"""Tables as other programs write them: layouts of rows, times, ids, detectors."""

from __future__ import annotations

import gzip
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gwpy.table import EventTable, GravitySpyTable
from hypothesis import given
from hypothesis import strategies as st

from app.decoding.files import kinds_of
from glitch.errors import FormatError, TableError
from glitch.tables import Facts, facts_of, is_text_table, origin_of, read_text_table, refuse_unread
from glitch.tables.reading import text_columns
from glitch.tables.times import why_no_time


def rows_in(path: Path) -> list[Facts]:
    assert is_text_table(path)
    rows = list(read_text_table(path, path.name))
    assert all(row.facts is not None for row in rows), rows
    return [row.facts for row in rows if row.facts is not None]


def _only(path: Path, text: str | bytes) -> Facts:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    [facts] = rows_in(path)
    return facts


ROW = Facts(gps_time="1126259455.15", ifo="H1", snr=9.5)
LAYOUTS = {
    "comments": "# Omicron triggers\n# channel H1:X\ngps_time,ifo,snr\n1126259455.15,H1,9.5\n",
    "marked header": "#gps_time,ifo,snr\n1126259455.15,H1,9.5\n",
    "numpy's header": "# time, ifo, snr\n1126259455.15 H1 9.5\n",
    "tabs": "gps_time\tifo\tsnr\n1126259455.15\tH1\t9.5\n",
    "blanks": "  gps_time   ifo  snr\n 1126259455.15   H1  9.5 \n",
    "semicolons": "gps_time;ifo;snr\n1126259455.15;H1;9.5\n",
    "a mark of byte order": "\ufeffgps_time,ifo,snr\n1126259455.15,H1,9.5\n",
    "names with blanks and units": "GPS time [s],Detector,SNR\n1126259455.15,h1,9.5\n",
    "quotes": '"gps_time","ifo","snr"\r\n"1126259455.15","H1","9.5"\r\n',
    "ECSV": "# %ECSV 1.0\n# ---\n# datatype:\n# - {name: time, datatype: float64}\n"
    "# schema: astropy-2.0\ntime ifo snr\n1126259455.15 H1 9.5\n",
    "ECSV with commas": "# %ECSV 1.0\n# ---\n# delimiter: ','\n"
    "time,ifo,snr\n1126259455.15,H1,9.5\n",
    "start and end": "start,end,ifo,snr\n1126259455.1,1126259455.2,H1,9.5\n",
    "nanoseconds beside": "peak_time,peak_time_ns,ifo,snr\n1126259455,150000000,H1,9.5\n",
    "UTC beside GPS": "time,gps,ifo,snr\n2015-09-14 09:50:38,1126259455.15,H1,9.5\n",
    "more names than a look": f"gps_time{',c' * 9000},ifo,snr\n1126259455.15{',1' * 9000},H1,9.5\n",
    "an index without a name": ",ifo,snr\n1126259455.15,H1,9.5\n",
    "an index without a name and tabs": "ifo\tsnr\n1126259455.15\tH1\t9.5\n",
    "names of two levels": "time,site,loudness\ngps_time,ifo,snr\n1126259455.15,H1,9.5\n",
    "values with units": "gps_time,ifo,snr\n1126259455.15 s,H1,9.5\n",
    "spreadsheets' texts": 'gps_time,ifo,snr\n"=""1126259455.15""",\'H1,\'9.5\n',
    "Unix time in milliseconds": "unix_time_ms,ifo,snr\n1442224238150,H1,9.5\n",
    "UTC alone": "time,ifo,snr\n2015-09-14T09:50:38.15+00:00,H1,9.5\n",
    "UTC of another zone": "UTC time,ifo,snr\n2015-09-14T11:50:38.150000000000+02:00,H1,9.5\n",
    "Unix time": "unix_time,ifo,snr\n1442224238.15,H1,9.5\n",
    "a timestamp": "timestamp,ifo,snr\n2015-09-14T09:50:38.15,H1,9.5\n",
    "UTC with slashes": "date,ifo,snr\n2015/09/14 09:50:38.15,H1,9.5\n",
    "IPAC": "\\catalog=x\n|    time    |snr|ifo |\n|   double   |double|char|\n|    s   |||\n"
    "|null|null|null|\n 1126259455.15 9.5 H1\n",
    "UTC without marks": "datetime,ifo,snr\n20150914T095038.15Z,H1,9.5\n",
    "decimal commas": "gps_time;ifo;snr\n1126259455,15;H1;9,5\n",
    "carriage returns": "gps_time,ifo,snr\r1126259455.15,H1,9.5\r",
    "quoted lines": 'gps_time,"a\nnote",ifo,snr\n1126259455.15,"two\n# lines, x",H1,9.5\n',
    "a title": "Triggers of O1, by hand\ngps_time,ifo,snr\n1126259455.15,H1,9.5\n",
    "percent comments": "% by Matlab\ngps_time,ifo,snr\n1126259455.15,H1,9.5\n",
    "units below": "gps_time,ifo,snr\ns,,\n1126259455.15,H1,9.5\n",
    "Markdown": "| gps_time | ifo | snr |\n|---|---|---|\n| 1126259455.15 | H1 | 9.5 |\n",
    "a rule": "gps_time      ifo snr\n------------- --- ---\n1126259455.15 H1  9.5\n",
    "pandas' names of rows": "        gps_time ifo  snr\n0  1126259455.15  H1  9.5\n",
    "a column a comment": "# time [s]\n# ifo\n# SNR []\n1126259455.15 H1 9.5\n",
    "cWB's numbers": "# 1 - time\n# 2 - ifo\n# 3 - rho\n1126259455.15 H1 9.5\n",
    "start and duration": "start,duration,ifo,snr\n1126259455.05,0.2,H1,9.5\n",
    "seconds and nanoseconds": "gps_seconds,gps_nanoseconds,ifo,snr\n1126259455,150000000,H1,9.5\n",
    "a site's name": "GPS,Observatory,SNR\n1126259455.15,LIGO Hanford,9.5\n",
    "blanks before quotes": '"GPS Time", "IFO", "SNR"\n"1126259455.15", "H1", "9.5"\n',
    "Fortran's exponents": "gps_time ifo snr\n1.12625945515D+09 H1 9.5D0\n",
    "commas for thousands": 'gps_time,ifo,snr\n"1,126,259,455.15",H1,9.5\n',
    "blank rows of a spreadsheet": "gps_time;ifo;snr\n;;\n1126259455.15;H1;9.5\n;;\n; ;\n",
    "points for thousands": "gps_time;ifo;snr\n1.126.259.455,15;H1;9,5\n",
    "blanks for thousands": "gps_time;ifo;snr\n1\u202f126\u00a0259 455,15;H1;9,5\n",
    "ticks for thousands": "gps_time,ifo,snr\n1'126\u2019259'455.15,H1,9.5\n",
    "words without marks": "peakTime,peakTimeNS,ifo,snr\n1126259455,150000000,H1,9.5\n",
    "start and end in words": "% GPS start time, GPS end time, IFO, SNR\n"
    "1126259455.1,1126259455.2,H1,9.5\n",
    "a month in words": "time,ifo,snr\n14 Sep 2015 09:50:38.15 UTC,H1,9.5\n",
    "a date of mails": 'date,ifo,snr\n"Mon, 14 Sep 2015 09:50:38.15 GMT",H1,9.5\n',
    "a date of Unix": "time,ifo,snr\nMon Sep 14 09:50:38.15 UTC 2015,H1,9.5\n",
    "blanks within names": "GPS time   IFO   SNR\n1126259455.15   H1   9.5\n",
    "a bare column of nanoseconds": "gps,ns,ifo,snr\n1126259455,150000000,H1,9.5\n",
    "units in brackets": "time,ifo,snr\n[GPS s],-,[]\n1126259455.15,H1,9.5\n",
    "points within semicolons": "gps_time;ifo;snr;n\n1126259455.15;H1;9.5;1,337\n",
    "a moment in seconds and GPS": "time,gps_seconds,ifo,snr\n9.15,1126259455.15,H1,9.5\n",
    "a day and UTC": "time,utc,ifo,snr\n57279.4,2015-09-14T09:50:38.15,H1,9.5\n",
    "a time for each detector": "gps_time_H1,snr_H1\n1126259455.15,9.5\n",
    "words for a ratio": "Peak GPS Time,IFO,Signal-to-noise ratio\n1126259455.15,H1,9.5\n",
    "pandas' names of two levels, flattened": "\"('t', 'gps_time')\",\"('ifo', '')\","
    "\"('x', 'snr')\"\n1126259455.15,H1,9.5\n",
    "MySQL": "mysql> SELECT * FROM triggers;\n+----------------+-----+-----+\n"
    "| gps_time       | ifo | snr |\n+----------------+-----+-----+\n"
    "|  1126259455.15 | H1  | 9.5 |\n+----------------+-----+-----+\n1 row in set (0.00 sec)\n",
    "tabulate's psql": "+---------------+-----+-----+\n|      gps_time | ifo | snr |\n"
    "|---------------+-----+-----|\n| 1126259455.15 | H1  | 9.5 |\n+---------------+-----+-----+\n",
    "psql": "   gps_time    | ifo | snr\n---------------+-----+-----\n 1126259455.15 | H1  | 9.5\n"
    "(1 row)\n\n",
    "a grid": "+-----+---------------+-----+-----+\n|     |      gps_time | ifo | snr |\n"
    "+=====+===============+=====+=====+\n|   0 | 1126259455.15 | H1  | 9.5 |\n"
    "+-----+---------------+-----+-----+\n",
    "a drawn box": "┌───────────────┬─────┬─────┐\n│   gps_time    │ ifo │ snr │\n"
    "├───────────────┼─────┼─────┤\n│ 1126259455.15 │ H1  │ 9.5 │\n└───────────────┴─────┴─────┘\n",
    "DuckDB": "┌───────────────┬─────────┬────────┐\n│   gps_time    │   ifo   │  snr   │\n"
    "│    double     │ varchar │ double │\n├───────────────┼─────────┼────────┤\n"
    "│ 1126259455.15 │ H1      │    9.5 │\n└───────────────┴─────────┴────────┘\n",
    "a title above blanks": "Triggers of H1, by hand\ngps_time ifo snr weird\n"
    "1126259455.15 H1 9.5 7\n",
    "reStructuredText with names of rows": "==  =============  ===  ===\n"
    "..       gps_time  ifo  snr\n==  =============  ===  ===\n"
    " 0  1126259455.15  H1   9.5\n==  =============  ===  ===\n",
    "a column twice": "gps_time,ifo,snr,snr\n1126259455.15,H1,9.5,9.50\n",
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(tmp_path: Path, layout: str) -> None:
    facts = _only(tmp_path / "a.csv", LAYOUTS[layout])
    assert (facts.gps_time, facts.ifo, facts.snr) == (ROW.gps_time, ROW.ifo, ROW.snr)
    packed = _only(tmp_path / "a.csv.gz", gzip.compress(LAYOUTS[layout].encode()))
    assert packed == facts


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-8-sig", "cp1252"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    text = "gps_time,ifo,snr,label\n1126259455.15,H1,9.5,Scie à ruban\n"
    facts = _only(tmp_path / "a.csv", text.encode(encoding))
    assert (facts.gps_time, facts.label) == (ROW.gps_time, "Scie à ruban")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("gps_time,ifo,snr,snr\n1126259455.1,H1,9,7\n", "Two columns are called snr"),
        ("gps_time,ifo,IFO\n1126259455.1,H1,L1\n", "Two columns are called ifo"),
        ("gps_time,ifo\n1126259455.1,H1,L1\n", "The row is longer than the header"),
    ],
)
def test_a_row_that_says_two_things_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(text)
    [row] = read_text_table(path, "a.csv")
    assert row.facts is None
    assert row.reason.startswith(reason)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("gps_time,ifo\n16.4,H1\n", "gps_time '16.4' is too small"),
        ("time,ifo\n57279.4102,H1\n", "gps_time '57279.4102' is too small"),
        ("time,t0,ifo\n16.4,1126259446,H1\n", "gps_time '16.4' is too small"),
        ("snr,gps_time\n1126259455.15,9.5\n", "gps_time '9.5' is too small"),
        (
            "gps_time;peak_frequency\n1126259455.15;1,337\n",
            "peak_frequency '1,337' is not a number",
        ),
        ("gps_time,snr\n1126259455.15,9_500\n", "snr '9_500' is not a number"),
        ("time,ifo\nSep 14 2015,H1\n", "gps_time 'Sep 14 2015' is not a GPS time"),
    ],
)
def test_numbers_of_other_clocks_and_other_countries_are_refused(
    tmp_path: Path, text: str, reason: str
) -> None:
    (tmp_path / "a.csv").write_text(text)
    [row] = read_text_table(tmp_path / "a.csv", "a.csv")
    assert row.facts is None
    assert row.reason.startswith(reason)


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("time_H1,snr_H1,time_L1,snr_L1\n1126259455.1,9,1126259455.2,8\n", [("H1", 9), ("L1", 8)]),
        ("time_H1,snr_H1,time_L1,snr_L1\n1126259455.1,9,-1,0\n", [("H1", 9)]),
        ("H1_end_time,L1_end_time,H1_snr,L1_snr\n,1126259455.2,,8\n", [("L1", 8)]),
        ("gps_time,ifo,snr,time_H1\n1126259455.2,L1,8,1126259455.1\n", [("L1", 8)]),
        ('gpstime,instruments,snr\n1126259455.1,"H1, H2",24\n', [("H1", None), ("H2", None)]),
        ("gps_time,ifos,rho\n1126259455.1,H1H2,24\n", [("H1", None), ("H2", None)]),
    ],
)
def test_events_of_several_detectors_are_of_those_that_saw_them(
    tmp_path: Path, text: str, seen: list[tuple[str, float | None]]
) -> None:
    (tmp_path / "a.csv").write_text(text)
    rows = rows_in(tmp_path / "a.csv")
    assert [(row.ifo, row.snr) for row in rows] == seen
    times = {"H1": "1126259455.1", "H2": "1126259455.1", "L1": "1126259455.2"}
    assert all(row.gps_time == times[str(row.ifo)] for row in rows)


def test_units_and_unknown_values_are_read_in_any_notation(tmp_path: Path) -> None:
    text = "time,frequency,duration,snr\n(s),(kHz),[ms],-\n1126259455.15,0.15,100,NA\n"
    facts = _only(tmp_path / "a.csv", text)
    assert (facts.peak_frequency, facts.duration, facts.snr) == (150, 0.1, None)
    text = "time_start,time_peak,time_end,freq_start,freq_peak,freq_end\n1e9,1000000001,1000000003,"
    facts = _only(tmp_path / "b.csv", text.replace("1e9", "1000000000") + "10,20,30\n")
    assert (facts.gps_time, facts.peak_frequency) == ("1000000001", 20)
    assert (facts.duration, facts.bandwidth) == (3, 20)


TEXT_FORMATS = [
    *("ascii", "ascii.ecsv", "ascii.csv", "ascii.tab", "ascii.fixed_width", "ascii.rdb"),
    *("ascii.fixed_width_two_line", "ascii.rst", "ascii.commented_header"),
]


@pytest.mark.parametrize("text_format", TEXT_FORMATS)
def test_what_astropy_writes(tmp_path: Path, text_format: str) -> None:
    table = GravitySpyTable(
        rows=[(1126259455.15, "H1", 9.5, "8FHTgA8MEu", "Blip", 0.97)],
        names=["event_time", "ifo", "snr", "gravityspy_id", "ml_label", "ml_confidence"],
    )
    path = tmp_path / "table.txt"
    table.write(path, format=text_format)
    [facts] = rows_in(path)
    assert facts == Facts(
        gps_time="1126259455.15",
        ifo="H1",
        snr=9.5,
        gravityspy_id="8FHTgA8MEu",
        label="Blip",
        confidence=0.97,
    )
    assert origin_of(text_columns(path)) == "gravityspy"


def test_a_tar_beginning_with_a_table_is_not_a_table(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(b"zen.csv".ljust(512, b"\0") + b"gps_time,ifo\n1126259455.1,H1\n")
    assert not is_text_table(path)


def test_numbers_without_names_are_no_table(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("1126259455.1,9.5\n1126259456.1,9.5\n")
    assert not is_text_table(path)
    path.write_text("snr,label\n9.5,Blip\n")
    with pytest.raises(FormatError, match="must name the columns"):
        list(read_text_table(path, "a.csv"))


@pytest.mark.parametrize("header", ["time,strain", "# gps_time,H1", "GPS time [s],H1:X-STRAIN"])
def test_strain_with_named_columns_is_no_table_of_triggers(tmp_path: Path, header: str) -> None:
    path = tmp_path / "a.csv"
    rows = [f"{1126259446 + n / 4096:.9f},{(n * 37 % 101) * 1e-23}" for n in range(500)]
    path.write_text("\n".join([header, *rows, ""]))
    assert not is_text_table(path)
    path.write_text("\n".join([header.replace("strain", "snr"), *rows[::100], ""]))
    assert is_text_table(path)  # a few rows are not a series


def test_a_short_row_and_a_cut_gzip_spoil_no_other(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("gps_time,ifo,snr\n1126259455.1,H1,9\n1126259456\n1126259457.1,H1,x\n")
    rows = list(read_text_table(path, "a.csv"))
    assert [row.name for row in rows] == ["a.csv row 2", "a.csv row 3", "a.csv row 4"]
    assert [row.facts is None for row in rows] == [False, True, True]
    assert rows[2].reason.startswith("snr 'x' is not a number")
    body = "gps_time,ifo\n" + "".join(f"{1126259455 + n}.{n % 97},H1\n" for n in range(1500))
    path.write_bytes(gzip.compress(body.encode())[:-600])
    assert "damaged from here on" in [*read_text_table(path, "a.csv")][-1].reason
    path.write_bytes(gzip.compress(body[:1000].encode())[:-40])  # all within the first part read
    assert is_text_table(path)
    first, *_, last = read_text_table(path, "a.csv")
    assert (first.facts is None, "damaged from here on" in last.reason) == (False, True)


@pytest.mark.parametrize("line", ["", "# 1", "----"])
def test_lines_without_a_row_are_not_read_for_ever(tmp_path: Path, line: str) -> None:
    path, idle = tmp_path / "a.csv.gz", f"{line}\n" * 60_000
    text = f"gps_time,ifo\n{idle}1126259455.1,H1\n{idle}1126259456.1,H1\n{idle}{idle}"
    path.write_bytes(gzip.compress(text.encode(), 1))
    rows = list(read_text_table(path, "a.csv"))
    assert [row.facts is not None for row in rows] == [True, True, False]
    assert "over 100,000 lines hold no row" in rows[-1].reason


@pytest.mark.parametrize(
    ("row", "gravityspy_id", "glitch_id"),
    [
        ({"id": 1}, None, None),
        ({"id": "8FHTgA8MEu"}, "8FHTgA8MEu", None),
        ({"id": "1234567890"}, None, None),
        ({"id": "sngl_burst:event_id:0"}, None, None),
        ({"gravityspy_id": "0"}, None, None),
        ({"gravityspy_id": "8FHTgA8MEu", "id": 7}, "8FHTgA8MEu", None),
        ({"uniqueID": b"8FHTgA8MEu"}, "8FHTgA8MEu", None),
        (
            {"gravityspy_id": "01a220db-6685-7789-a4da-ddfc772da7eb"},
            None,
            "01a220db-6685-7789-a4da-ddfc772da7eb",
        ),
    ],
)
def test_a_row_number_is_no_gravity_spy_id(
    row: dict[str, Any], gravityspy_id: str | None, glitch_id: str | None
) -> None:
    facts = facts_of(row)
    assert (facts.gravityspy_id, facts.glitch_id) == (gravityspy_id, glitch_id)


@pytest.mark.parametrize(
    ("row", "gps_time"),
    [
        (
            {"event_time": 1126259457.0, "peak_time": 1126259456, "peak_time_ns": 999999990},
            "1126259456.99999999",
        ),
        ({"event_time": 1126259457.0, "peak_time": 1126259400, "peak_time_ns": 5}, "1126259457"),
        ({"event_time": 1126259457.0, "peak_time_ns": 999999990}, "1126259457"),
        ({"peak_time": 1126259456, "peak_time_ns": 5}, "1126259456.000000005"),
        ({"end_time": 1126259456, "end_time_ns": 250000000}, "1126259456.25"),
        ({"start_time": 1126259456, "end_time": 1126259457}, "1126259456.5"),
        ({"t_start": 1126259456, "t_0": 1126259456.25, "t_end": 1126259457}, "1126259456.25"),
        ({"start": 1126259456, "loudest_at": 1126259456.25, "end": 1126259457}, "1126259456.25"),
        ({"start": 1126259456, "snr": 9, "written": 1126259470, "end": 1126259457}, "1126259456.5"),
        ({"time": 1126259456.5, "tstart": 1126259456.0, "tend": 1126259459.0}, "1126259456.5"),
        ({"event_time": float("nan"), "peak_time": 0, "peak_time_ns": 0}, None),
        ({"time": "2016-12-31 23:59:60"}, "1167264017"),
    ],
)
def test_times(row: dict[str, Any], gps_time: str | None) -> None:
    assert facts_of(row).gps_time == gps_time


def test_impossible_values_are_named() -> None:
    for row, message in (
        ({"gps_time": "yesterday"}, "gps_time 'yesterday' is not a GPS time"),
        ({"gps_time": "2015-02-30 00:00:00"}, "is not a GPS time"),
        ({"gps_time": -5}, "gps_time '-5' is not a GPS time"),
        ({"ifo": "X1"}, "no detector 'X1'"),
    ):
        with pytest.raises(TableError, match=message):
            facts_of(row)


@pytest.mark.parametrize("text", ["11/28/2026", "28.11.2026 12:00:00", "1-2-2020"])
def test_a_date_with_an_ambiguous_month_must_begin_with_the_year(text: str) -> None:
    assert "write the year first" in why_no_time(text)


@pytest.mark.parametrize("label", ["True", "false", "3", "-1", 2, 1.0, np.True_])
def test_a_number_or_a_truth_is_no_class(label: object) -> None:
    with pytest.raises(
        TableError, match="is not the name of a class: write the names of the classes"
    ):
        facts_of({"gps_time": "1126259455.15", "label": label})
    assert facts_of({"gps_time": "1126259455.15", "label": "1080Lines"}).label == "1080Lines"


def test_values_in_other_units_are_those_that_are_kept() -> None:
    facts = facts_of({"peak_frequency": "0.2 kHz", "duration [s]": "20ms", "snr": 8})
    assert (facts.peak_frequency, facts.duration) == (200.0, 0.02)
    with pytest.raises(TableError, match="snr '8 dB' is not a number"):
        facts_of({"snr": "8 dB"})


@pytest.mark.parametrize("first", ["0", "17", "a", "2015-09-14"])
def test_rows_of_an_index_without_a_name_have_no_times(tmp_path: Path, first: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f",ifo,snr\n{first},H1,9.5\n")
    with pytest.raises(FormatError, match="none of the columns"):
        list(read_text_table(path, path.name))


def test_placeholders_for_unknown_values_are_unknown() -> None:
    facts = facts_of({"snr": "inf", "duration": -999, "q": "--", "peak_frequency": float("nan")})
    assert facts == Facts()


def test_ends_of_a_tile_give_its_extent() -> None:
    facts = facts_of(
        {"time": 1e9 + 5, "tstart": 1e9 + 4, "tend": 1e9 + 6.5, "fstart": 10.0, "fend": 30.0}
    )
    assert (facts.duration, facts.bandwidth) == (2.5, 20.0)


@pytest.mark.parametrize(
    ("text", "ifo"),
    [
        ("Livingston Observatory", "L1"),
        ("lho_4k", "H1"),
        ("Virgo (V1)", "V1"),
        ("K1:CAL-CS_PROC_DARM_STRAIN_DBL_DQ", "K1"),
    ],
)
def test_a_detector_in_other_words_is_known(text: str, ifo: str) -> None:
    assert facts_of({"detector": text}).ifo == ifo


def test_the_channel_names_the_detector_of_a_row_without_one() -> None:
    assert facts_of({"channel": "L1:GDS-CALIB_STRAIN"}).ifo == "L1"
    assert facts_of({"channel": "GDS-CALIB_STRAIN"}, ifo="V1").ifo == "V1"


@given(st.binary(max_size=400) | st.text(max_size=200).map(str.encode))
def test_no_bytes_make_a_reader_stumble(content: bytes) -> None:
    with tempfile.NamedTemporaryFile(suffix=".csv") as file:
        path = Path(file.name)
        path.write_bytes(content)
        if is_text_table(path):
            with suppress(FormatError):
                list(read_text_table(path, "a.csv"))


def test_a_stream_that_its_delimiter_does_not_split(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    path.write_text(
        "<LIGO_LW><Table Name='sngl_burst'><Column Name='ifo'/><Column Name='peak_time'/>"
        "<Stream Name='sngl_burst' Delimiter=','>\"H1\"\t1126259455</Stream></Table></LIGO_LW>"
    )
    with pytest.raises(FormatError, match=r"a\.xml: its table is not separated by"):
        list(read_text_table(path, "a.xml"))


CWB = """# correlation threshold = 0.000000
# network rho threshold = 0.000000
# -/+ - not passed/passed final selection cuts
#  1 - effective correlated amplitude rho
#  2 - central frequency
#  3 - bandwidth
#  4 - duration
#  5 - time for L1 detector
#  6 - time for H1 detector
#  7 - sSNR for L1 detector
#  8 - sSNR for H1 detector
+ - 72.5067 123 67 0.023 1420000000.2036 1420000000.2059 2.8e+03 2.5e+03
- - 18.1662 109 66 0.172 1420000001.1299 1420000001.1361 2.5e+02 1.6e+02
"""


def test_an_event_of_coherent_waveburst_is_a_trigger_in_each_detector(tmp_path: Path) -> None:
    path = tmp_path / "EVENTS.txt"
    path.write_text(CWB)
    rows = rows_in(path)
    assert [row.ifo for row in rows] == ["L1", "H1", "L1", "H1"]
    table = EventTable.read(path, format="ascii.cwb")
    for place, ifo in enumerate(("L1", "H1")):
        for row, expected in zip(rows[place::2], table, strict=True):
            assert float(str(row.gps_time)) == expected[f"time for {ifo} detector"]
            assert row.snr == pytest.approx(expected[f"sSNR for {ifo} detector"] ** 0.5)
            assert row.peak_frequency == expected["central frequency"]
            assert (row.bandwidth, row.duration) == (expected["bandwidth"], expected["duration"])


def test_a_list_of_gps_times_needs_no_header(tmp_path: Path) -> None:
    path = tmp_path / "H1_times.txt"
    path.write_text("# for omega scans\n1126259455.15\n\n1126259460\n")
    assert [(one.gps_time, one.ifo) for one in rows_in(path)] == [
        ("1126259455.15", "H1"),
        ("1126259460", "H1"),
    ]


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("1126259461.9 1126259462.1 1126259462.0 120.5 3e-20 88.2 4 12.1\n", 8),  # KleineWelle
        ("1126259462.0\t120.5\t8.1\n1126259464.3\t220.5\t9.1\n", 3),
        ("# made by a script\n\n1126259462.0,H1,8.1\n", 3),
        ("H1,1126259462.0\nL1,1126259464.3\n", 2),
    ],
)
def test_columns_without_names_are_refused(tmp_path: Path, text: str, count: int) -> None:
    path = tmp_path / "L1.trg"
    path.write_text(text)
    for read in (refuse_unread, kinds_of):
        with pytest.raises(FormatError, match=rf"L1.trg has {count} columns without names: write"):
            read(path, path.name)
    path.write_text("a b gps_time c d e f snr\n" + text)
    refuse_unread(path, path.name)


@pytest.mark.parametrize(
    "text", ["1126259462.0 1e-21\n1126259462.1 2e-21\n", "1e-21\n", "path,label\na.png,Blip\n", ""]
)
def test_strain_and_named_columns_are_not_refused_as_unread(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.txt"
    path.write_text(text)
    refuse_unread(path, path.name)
