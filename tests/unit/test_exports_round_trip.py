"""An export of any glitch, read again as a table of a batch, gives the same glitch."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.batches.table_files import agrees, read_table
from app.decoding.pool import running_pool
from app.glitches.exports.service import format_named
from glitch.detectors import DETECTORS
from glitch.tables import Facts
from glitch.tables.exports.columns import COLUMNS
from glitch.tables.exports.formats import csv_lines
from glitch.tables.facts import ORIGINS

_FLAGS = ["H1:DMT-READY:1", "L1:DCH-A.B+C:20", "segments/H1-flags.txt"]
_ODD = ["x-1", "1e5", "1-2", "T" * 60]
# Fields of the glitch, compared below. All others are computed at export and not read back.
_COMPARED = {
    *("event_time", "peak_time", "peak_time_ns", "ifo", "channel", "gravityspy_id", "ml_label"),
    *("ml_confidence", "data_quality", "origin", "snr", "duration", "peak_frequency"),
    *("bandwidth", "q_value"),
}
_OF_NO_CLUSTER = dict.fromkeys(("cluster", "cluster_fdr", "cluster_trust", "cluster_doubt"))
_OF_A_CLUSTER = {
    "cluster": "01932c5e-8f1a-7c3e-9b55-2b9a1c0de001",
    "cluster_fdr": 0.1,
    "cluster_trust": '23 of 57 members carry a time; they were seen in 0.5 + 1 s; <4> & "5"\t6.',
    "cluster_doubt": "Unlabelled glitches lie farther, (2.5 standard deviations): label more.",
}
_WORKED_OUT = {
    *("novelty_score", "p_value", "simulated_class", "simulated_probability", "page"),
    *_OF_A_CLUSTER,
}
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
_NAMES = st.text(_LETTERS, min_size=10, max_size=10).filter(lambda text: not text.isdigit())
_MEASURE = st.none() | st.floats(0, 1e6, allow_nan=False)
_TIMES = st.none() | st.builds(
    lambda second, nano: Decimal(second) + Decimal(nano) / 10**9,
    st.integers(1, 2**31 - 2),
    st.sampled_from([0, 1, 5, 999_999_999, 999_999_990, 500_000_000]) | st.integers(0, 10**9 - 1),
)
# Channels that `POST /embed` accepts, including names of series in HDF5 files.
_CHANNEL = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9 :/_.,()\[\]{}+@#%*=~\-]{0,80}", fullmatch=True)


@st.composite
def _row(draw: st.DrawFn) -> SimpleNamespace:
    ifo = draw(st.none() | st.sampled_from(DETECTORS))
    label = draw(st.none() | st.sampled_from(["Blip", "None_of_the_Above", "Koi_Fish", *_ODD]))
    return SimpleNamespace(
        id=draw(st.uuids(version=4)),
        gravityspy_id=draw(st.none() | _NAMES),
        ifo=ifo,
        gps_time=draw(_TIMES),
        channel=draw(st.none() | _CHANNEL.map(lambda text: f"{ifo}:{text}" if ifo else None)),
        label=label,
        ml_confidence=draw(st.none() | st.floats(0, 1)) if label else None,
        origin=draw(st.sampled_from(ORIGINS)),
        novelty_score=draw(_MEASURE),
        p_value=draw(st.none() | st.floats(0, 1)),
        simulated_class=draw(st.none() | st.sampled_from(["Blip", "Whistle"])),
        simulated_probability=draw(st.none() | st.floats(0, 1)),
        data_quality=draw(st.lists(st.sampled_from(_FLAGS), unique=True).map(sorted)),
        page=draw(st.sampled_from(["http://127.0.0.1:8000/ui/glitches/1", "https://a.b/x,y#1 z"])),
        mean=draw(st.none() | st.just([0.5, -1e-30, 3e38])),
        **{
            name: draw(_MEASURE) for name in ("snr", "duration", "peak_frequency", "bandwidth", "q")
        },
    )


@pytest.mark.parametrize(
    ("channel", "cell"),
    [
        ('=HYPERLINK("http://a.b")', "'=HYPERLINK"),
        ("@SUM(A1:A9)", "'@SUM"),
        ("+1+1", "'+1"),
        ("-2+3", "'-2"),
        ("H1:A=1", "H1:A=1"),
        ("-a_b-1", "-a_b-1"),  # ids may look like this
    ],
)
def test_a_spreadsheet_works_out_no_cell_of_a_csv(channel: str, cell: str) -> None:
    row = dict.fromkeys((*_OF_NO_CLUSTER, "gps_time", "ifo", "duration", "peak_frequency"))
    row |= dict.fromkeys(("bandwidth", "snr", "q", "gravityspy_id", "label", "ml_confidence"))
    row |= dict.fromkeys(("origin", "page", *_WORKED_OUT))
    made = SimpleNamespace(**row, id=uuid4(), channel=channel, data_quality=[channel])
    _, *lines = csv.reader("".join(csv_lines([made])).splitlines())
    fields = dict(zip((column.name for column in COLUMNS), lines[0], strict=True))
    assert fields["channel"].startswith(cell)
    assert fields["data_quality"].startswith(cell)


@pytest.fixture(autouse=True, scope="module")
def decoders() -> Iterator[None]:
    with running_pool(children=1, timeout_s=30):
        yield


@pytest.mark.parametrize("format_name", ["csv", "hdf5", "ligolw"])
@given(
    rows=st.lists(_row(), min_size=1, max_size=5),
    about=st.sampled_from([_OF_NO_CLUSTER, _OF_A_CLUSTER]),
    name=st.sampled_from(["export", "H1-export", "L1_OMICRON_1126259462-4"]),
)
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_export_comes_back_as_it_was(
    tmp_path: Path,
    format_name: str,
    rows: list[SimpleNamespace],
    about: dict[str, str | float | None],
    name: str,
) -> None:
    made = format_named(format_name)
    part, path = tmp_path / "part", tmp_path / f"{name}.{made.suffix}"
    for old in (part, path):
        old.unlink(missing_ok=True)
    exported = [SimpleNamespace(**vars(row), **about) for row in rows]
    assert made.write_part(exported, part) == len(rows)
    made.join([part], path, about)
    found = list(read_table(path, path.name))
    assert [one.reason for one in found] == [""] * len(rows)
    for row, one in zip(rows, found, strict=True):
        facts = one.facts
        assert facts is not None
        assert facts.glitch_id == (row.gravityspy_id or str(row.id))
        assert agrees(facts, row.ifo, row.gps_time)
        if row.gps_time is not None:
            assert abs(Decimal(str(facts.gps_time)) - row.gps_time) < Decimal("1e-9")
        assert facts.label == row.label
        assert facts.confidence == (row.ml_confidence if row.label else None)
        assert facts.channel == (row.channel and row.channel.strip())
        assert facts.origin == row.origin
        if format_name != "ligolw":  # which has no column for flags
            assert (facts.data_quality or "").split() == row.data_quality
        for measure in ("snr", "duration", "peak_frequency", "bandwidth", "q"):
            read, kept = getattr(facts, measure), getattr(row, measure)
            assert read == (None if kept is None else pytest.approx(kept, rel=1e-6)), measure


def test_every_column_of_an_export_is_compared_or_worked_out() -> None:
    assert {column.name for column in COLUMNS} == _COMPARED | _WORKED_OUT


def test_an_id_alone_is_no_agreement() -> None:
    row = Facts(glitch_id=str(uuid4()), ifo="H1", gps_time="5.5")
    assert agrees(row, "H1", Decimal("5.5"))
    assert agrees(row, None, Decimal("5.5"))  # in a file whose name gives the detector of all rows
    assert not agrees(row, "L1", Decimal("5.5"))
    assert not agrees(row, "H1", Decimal("5.6"))
    assert not agrees(row, None, None)
