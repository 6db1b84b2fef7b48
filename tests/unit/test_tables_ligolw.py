"""LIGO_LW tables: old and new ids, damaged files, and files that are costly to read."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from gwpy.table import EventTable

from glitch.errors import FormatError, GlitchError
from glitch.tables import Facts, read_text_table
from tests.unit.test_tables import rows_in

OLD = """<?xml version='1.0' encoding='utf-8'?>
<LIGO_LW>
  <Table Name="process:table"><Column Name="process:comment" Type="lstring"/>
    <Stream Name="process:table" Delimiter="," Type="Local">"a, \\"quoted\\" one",</Stream></Table>
  <Table Name="sngl_burstgroup:sngl_burst:table">
    <Column Name="sngl_burstgroup:sngl_burst:event_id" Type="ilwd:char"/>
    <Column Name="sngl_burstgroup:sngl_burst:ifo" Type="lstring"/>
    <Column Name="sngl_burstgroup:sngl_burst:peak_time" Type="int_4s"/>
    <Column Name="sngl_burstgroup:sngl_burst:peak_time_ns" Type="int_4s"/>
    <Column Name="sngl_burstgroup:sngl_burst:snr" Type="real_4"/>
    <Stream Name="sngl_burstgroup:sngl_burst:table" Delimiter="," Type="Local">
      "sngl_burst:event_id:0","H1",1126259455,150000000,9.5,
      "sngl_burst:event_id:1","H1",1126259456,5,19.5
    </Stream></Table>
</LIGO_LW>"""


def test_ligolw_with_old_ids(tmp_path: Path) -> None:
    path = tmp_path / "a.xml.gz"
    path.write_bytes(gzip.compress(OLD.encode()))
    assert rows_in(path) == [
        Facts(gps_time="1126259455.15", ifo="H1", snr=9.5),
        Facts(gps_time="1126259456.000000005", ifo="H1", snr=19.5),
    ]


def test_ligolw_of_inspirals(tmp_path: Path) -> None:
    text = OLD.replace("sngl_burst", "sngl_inspiral").replace("peak_time", "end_time")
    path = tmp_path / "a.xml"
    path.write_text(text)
    assert [row.gps_time for row in rows_in(path)] == ["1126259455.15", "1126259456.000000005"]


def test_a_document_of_bursts_and_inspirals_gives_both(tmp_path: Path) -> None:
    inspirals = OLD.replace("sngl_burst", "sngl_inspiral").replace("peak_time", "end_time")
    path = tmp_path / "a.xml"
    path.write_text(OLD.replace("</LIGO_LW>", inspirals.partition("<LIGO_LW>")[2]))
    assert [row.gps_time for row in rows_in(path)] == ["1126259455.15", "1126259456.000000005"] * 2


def test_ligolw_as_gwpy_writes_it(tmp_path: Path) -> None:
    names = ["ifo", "peak_time", "peak_time_ns", "snr", "peak_frequency"]
    table = EventTable(rows=[("H1", 1126259455, 150000000, 9.5, 150.5)], names=names)
    path = tmp_path / "a.xml"
    table.write(path, format="ligolw", tablename="sngl_burst")
    assert rows_in(path) == [
        Facts(gps_time="1126259455.15", ifo="H1", snr=9.5, peak_frequency=150.5)
    ]


def test_a_last_value_that_is_null(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    path.write_text(OLD.replace("5,19.5\n", "5,\n"))
    assert [row.snr for row in rows_in(path)] == [9.5, None]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (OLD[:-40], "not well-formed XML"),
        (OLD.replace("sngl_burst", "sim_burst"), "holds no table of triggers"),
        (OLD.replace(",19.5\n", "\n"), "the last row of its table is incomplete"),
        (OLD.replace("<LIGO_LW>", '<!DOCTYPE LIGO_LW [<!ENTITY a "b">]><LIGO_LW>'), "entities"),
    ],
)
def test_damaged_ligolw(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "a.xml"
    path.write_text(text)
    with pytest.raises(FormatError, match=message):
        list(read_text_table(path, "a.xml"))


STREAM = (
    '<LIGO_LW><Table Name="sngl_burst:table"><Column Name="peak_time" Type="int_4s"/>'
    '<Column Name="ifo" Type="lstring"/><Stream Delimiter="," Type="Local">'
)


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("text", "message"),
    [
        # days instead of 10 ms with a careless pattern
        pytest.param(STREAM + " " * 90_000, "well-formed", id="blanks"),
        pytest.param(STREAM + '"' + "\\" * 90_001, "well-formed", id="backslashes"),
        pytest.param(STREAM.replace("ifo", " " * 300_000), "no element found", id="name"),
        pytest.param("<LIGO_LW>" + "<a>" * 1000, "100 deep", id="deep"),
        pytest.param("<LIGO_LW><!--" + "a" * 2_000_000, "a tag or comment", id="comment"),
        pytest.param("<LIGO_LW><a b='" + "a" * 2_000_000, "a tag or comment", id="attribute"),
        pytest.param(
            f"<!DOCTYPE LIGO_LW [<!ATTLIST a b CDATA '{'c' * 999}'>]><LIGO_LW><a/>",
            "more attributes",
            id="default",
        ),
    ],
)
def test_ligolw_that_costs_more_than_it_has(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "a.xml"
    path.write_text(text)
    with pytest.raises(GlitchError, match=message):
        list(read_text_table(path, path.name))


@pytest.mark.parametrize("table", ["coinc_inspiral", "multi_burst"])
@pytest.mark.parametrize("packed", [False, True])
def test_events_of_several_detectors_count_where_there_is_no_table_of_single_ones(
    tmp_path: Path, table: str, packed: bool
) -> None:
    text = (
        OLD.replace("sngl_burst", table)
        .replace('"H1"', '"H1,L1"')
        .replace("peak_time", "end_time" if table == "coinc_inspiral" else "peak_time")
    )
    path = tmp_path / ("a.xml.gz" if packed else "a.xml")
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    found = rows_in(path)
    assert [(one.ifo, one.gps_time, one.snr) for one in found] == [
        ("H1", "1126259455.15", None),
        ("L1", "1126259455.15", None),
        ("H1", "1126259456.000000005", None),
        ("L1", "1126259456.000000005", None),
    ]
    both = text.replace("</LIGO_LW>", "") + OLD.partition("<LIGO_LW>")[2]
    path.write_text(both)
    assert [one.snr for one in rows_in(path)] == [9.5, 19.5]
