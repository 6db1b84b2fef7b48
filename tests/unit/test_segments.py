"""Data-quality segments, as gwpy writes them, against the result of gwpy."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from gwpy.segments import DataQualityDict, DataQualityFlag

from glitch.errors import FormatError
from glitch.tables.segments import Segments, hdf5_segments, is_text_of_segments, text_segments

START = 1126259446
ACTIVE = [(START, START + 14), (START + 20.5, START + 32), (START + 25, START + 40)]
FLAGS = DataQualityDict(
    {
        name: DataQualityFlag(name, active=active, known=[(START, START + 64)])
        for name, active in (("H1:DMT-READY:1", ACTIVE), ("L1:DCH-OTHER:2", ACTIVE[:1]))
    }
)


def _written(folder: Path, kind: str) -> tuple[list[Segments], list[str]]:
    path = folder / f"H1-flags.{kind}"
    if kind == "txt":
        FLAGS["H1:DMT-READY:1"].active.write(path, format="segwizard")
        return text_segments(path, path.name), ["H1:DMT-READY:1"]
    FLAGS.write(path, format={"h5": "hdf5", "xml": "ligolw"}[kind])
    found = hdf5_segments(path, path.name) if kind == "h5" else text_segments(path, path.name)
    return found, list(FLAGS)


@pytest.mark.parametrize("kind", ["txt", "h5", "xml"])
def test_segments_as_gwpy_writes_them(tmp_path: Path, kind: str) -> None:
    if kind == "xml":
        pytest.importorskip("lal", reason="gwpy writes LIGO_LW with lalsuite")
    found, names = _written(tmp_path, kind)
    assert kind == "h5" or is_text_of_segments(tmp_path / f"H1-flags.{kind}")
    assert [flag.ifo for flag in found] == [name[:2] for name in names]
    assert kind == "txt" or [flag.name for flag in found] == names
    for flag, name in zip(found, names, strict=True):
        for tenths in range(-10, 700, 3):
            time = Decimal(START) + Decimal(tenths) / 10
            assert flag.is_active(time) == any(
                start <= time < end for start, end in FLAGS[name].active
            )


def test_a_flag_of_bad_data(tmp_path: Path) -> None:
    path = tmp_path / "bad.h5"
    flag = DataQualityFlag("H1:BAD:1", active=[(START, START + 2)], known=[(START, START + 9)])
    flag.isgood = False
    flag.write(path, format="hdf5")
    [found] = hdf5_segments(path, path.name)
    assert "in a segment of the bad-data flag H1:BAD:1" in str(found.why_not(Decimal(START + 1)))
    assert found.why_not(Decimal(START + 3)) is None


def test_invalid_lists_of_segments_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_text("# time, snr\n1126259450 9.5\n")
    assert not is_text_of_segments(path)
    path.write_text("# seg\tstart\tstop\tduration\n0 1126259446 x 3\n")
    assert is_text_of_segments(path)
    with pytest.raises(FormatError, match="line 2 is not a segment"):
        text_segments(path, path.name)


@pytest.mark.parametrize(
    ("text", "name", "is_good"),
    [
        (f"{START} {START + 14} 14\n{START + 20}.5 {START + 40} 19.5\n", "H1-flags.txt", True),
        (f"# start end length\n0,{START},{START + 14},14\n", "H1-flags.txt", True),
        ('{"segments": [[%d, %d]], "id": "H1_DATA", "dataset": "O1"}', "H1_DATA", True),
        (
            '{"ifo": "H1", "name": "A", "version": 2, "known": [[0, 9]], "active": [[%d, %d]],'
            ' "metadata": {"active_indicates_ifo_badness": true}}',
            "H1:A:2",
            False,
        ),
    ],
)
def test_segments_of_gwosc_and_of_segment_databases(
    tmp_path: Path, text: str, name: str, is_good: bool
) -> None:
    path = tmp_path / "H1-flags.txt"
    path.write_text(text % (START, START + 14) if "%" in text else text)
    assert is_text_of_segments(path)
    [flag] = text_segments(path, path.name)
    assert (flag.name, flag.ifo, flag.is_good) == (name, "H1", is_good)
    assert flag.active[0] == (START, START + 14)


def test_a_flag_as_gwpy_writes_json(tmp_path: Path) -> None:
    path = tmp_path / "flag.json"
    FLAGS["H1:DMT-READY:1"].write(path)
    [flag] = text_segments(path, path.name)
    assert (flag.name, flag.active) == (
        "H1:DMT-READY:1",
        ((START, START + 14), (START + 20.5, START + 40)),
    )


@pytest.mark.parametrize(
    "text",
    [
        f"{START} {START + 14}\n",  # two columns are ambiguous
        f"{START} {START + 14} 9.5\n",
        f"{START} {START + 14} 14\n{START} {START + 1} 14\n",
        '{"gps": 1126259462.4, "extra_attributes": {}}',
    ],
)
def test_other_numbers_are_no_segments(tmp_path: Path, text: str) -> None:
    path = tmp_path / "flags.txt"
    path.write_text(text)
    assert not is_text_of_segments(path)


@pytest.mark.parametrize(
    "content", ['{"active": [[1]]}', '{"active": [' + "[" * 100_000, '{"known": []}']
)
def test_json_that_is_no_flag_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "flag.json"
    path.write_text(content)
    with pytest.raises(FormatError, match="not a flag in JSON"):
        text_segments(path, path.name)
