"""Files with faults from public bug reports: one test per folder, named after it."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from glitch.detectors import detector_of_file_name
from glitch.errors import GlitchError
from glitch.gps import parse_utc
from glitch.strain import StrainViews, read_strain, views_from_strain
from glitch.tables import Facts, read_text_table
from glitch.tables.hdf5 import trigger_rows, trigger_table
from glitch.tables.reading import origin_of, text_columns
from training.data.datasets.trigger_rows import read_rows
from training.data.pack import PackError

pytestmark = pytest.mark.real_data

GW150914 = "1126259462.4"
LOUD = "1266281982.66"


@pytest.fixture
def faults(shared_data: Path) -> Path:
    folder = shared_data / "faults"
    if not folder.is_dir():
        pytest.skip("needs ../shared/data/faults")
    return folder


def _only(faults: Path, folder: str) -> Path:
    [path] = [one for one in (faults / folder).iterdir() if one.name != "README"]
    return path


def _views(path: Path, gps_time: str, **options: str) -> tuple[StrainViews, str | None, str | None]:
    when = Decimal(gps_time)
    strain = read_strain(path, file_name=path.name, gps_time=when, **options)  # type: ignore[arg-type]
    return views_from_strain([strain], [when])[0], strain.ifo, strain.channel


@pytest.mark.parametrize(
    ("folder", "gps_time", "snr"),
    [
        ("gwf_gap_no_interval", GW150914, 13.03),
        ("gwf_invalid_flag_called_damaged", GW150914, 13.03),
        ("gwf_short_gap_shifts_time", LOUD, 261.4),
        ("gwosc_txt_gz", GW150914, 13.03),
        ("h2_read_as_v1", GW150914, 13.03),
        ("nan_after_lock_loss", LOUD, 261.4),
        ("zero_filled_gap_accepted", GW150914, 13.03),
    ],
)
def test_the_snr_of_the_file_without_the_fault(
    faults: Path, folder: str, gps_time: str, snr: float
) -> None:
    made, ifo, _ = _views(_only(faults, folder), gps_time)
    assert made.snr == pytest.approx(snr, rel=0.04)
    assert abs(made.peak_gps_time - Decimal(gps_time)) < Decimal("0.05")
    assert ifo == ("H2" if folder.startswith("h2") else "H1")


def test_hdf5_channel_catch22(faults: Path) -> None:
    path = _only(faults, "hdf5_channel_catch22")
    with pytest.raises(GlitchError, match="one of 'H1/1126259446', 'L1/1126259446'"):
        _views(path, GW150914)
    assert _views(path, GW150914, channel="H1/1126259446")[0].snr == pytest.approx(13.03, rel=0.01)
    assert _views(path, GW150914, ifo="L1")[1] == "L1"


def test_times_printed_to_ms(faults: Path) -> None:
    path = _only(faults, "times_printed_to_ms")
    assert _views(path, "1126259452.4")[0].views.durations_s == (0.5, 1.0, 2.0, 4.0)
    with pytest.raises(GlitchError, match=r"spans 1126259446 to 1126259458\.\d+: give one from"):
        _views(path, GW150914)


def test_strain_dir_names(faults: Path) -> None:
    found = {
        path.name[:2]: detector_of_file_name(path.name)
        for path in (faults / "strain_dir_names").iterdir()
        if path.name != "README"
    }
    assert found == {"H-": "H2", "V-": "V1"}


def _table(path: Path) -> list[Facts]:
    return [row.facts for row in read_text_table(path, path.name) if row.facts is not None]


@pytest.mark.parametrize(
    ("name", "gps_time"),
    [
        ("comment.csv", "1126259455.15"),
        ("hash.csv", "1126259455.35"),
        ("tabs.tsv", "1126259455.55"),
        ("ws.txt", "1126259455.45"),
        ("gs_gwpy.txt", "968654544.125"),
    ],
)
def test_table_layouts(faults: Path, name: str, gps_time: str) -> None:
    [facts] = _table(faults / "table_layouts" / name)
    assert facts.gps_time == gps_time


def test_utc_time_column_hides_gps(faults: Path) -> None:
    [facts] = _table(faults / "utc_time_column_hides_gps" / "utc.csv")
    assert facts.gps_time == "1126259457.1"


def test_integer_id_column(faults: Path) -> None:
    for name in ("ids1.csv", "ids2.csv"):
        rows = _table(faults / "integer_id_column" / name)
        assert [row.gravityspy_id for row in rows] == [None] * 3


def test_event_time_plus_peak_ns(faults: Path) -> None:
    [facts] = _table(faults / "event_time_plus_peak_ns" / "pt3.csv")
    assert facts.gps_time == "1126259456.99999999"


def test_own_export_reingested(faults: Path) -> None:
    path = faults / "own_export_reingested" / "exp.h5"
    table = trigger_table(path, path.name)
    rows = trigger_rows(path, path.name, table.columns, 0, table.count)
    assert "gravityspy_id" in table.columns
    assert len(rows) == 14


def test_ligolw_never_read(faults: Path) -> None:
    new = _table(faults / "ligolw_never_read" / "omi_new.xml")
    assert [row.gps_time for row in new] == ["968654559.125", "968654561.000000005"]
    own = _table(faults / "ligolw_never_read" / "own_export.xml")
    assert len(own) == 14
    assert {row.origin for row in own} == {"upload"}


def test_origin_guessed_wrong(faults: Path) -> None:
    folder = faults / "origin_guessed_wrong"
    assert origin_of(text_columns(folder / "gs.csv.gz")) == "gravityspy"
    table = trigger_table(folder / "gs_gwpy.h5", "gs_gwpy.h5")
    assert origin_of(list(table.columns)) == "gravityspy"


def test_leap_second_utc() -> None:
    assert parse_utc("2016-12-31 23:59:60") == 1167264017
    assert parse_utc("2015-09-14T09:50:45+00:00") == 1126259462


def test_training_csv_crashes(faults: Path) -> None:
    folder = faults / "training_csv_crashes"
    assert read_rows(folder / "bom.csv").rows[0].gps_time == Decimal("1266281945.5")
    found = read_rows(folder / "_nolabel.csv")
    assert {row.label for row in found.rows} == {"Blip", "Whistle"}
    assert found.left_out
    with pytest.raises(PackError, match=r"line \d+: the row has no GPS time"):
        read_rows(folder / "_nan.csv")
