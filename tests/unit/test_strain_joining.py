"""Joining adjacent strain files; refusing files that do not fit together."""

from __future__ import annotations

import os
from decimal import Decimal
from pathlib import Path

import h5py
import numpy as np
import pytest

from app.batches.payload import OfTrigger
from app.batches.reading import StrainRoots
from app.batches.strain_index import KNOWN, UPLOADED, Place, StrainIndex
from glitch.errors import FormatError, StrainError
from glitch.strain import StrainFile, read_joined_strain, read_strain
from glitch.tables import Facts

RATE, START = 4096, 1_187_008_800
WHOLE = 1e-21 * np.random.default_rng(3).standard_normal(96 * RATE)


def write(folder: Path, first_s: float, last_s: float, **changes: object) -> StrainFile:
    facts = {"rate": RATE, "ifo": "H1"} | changes
    path = folder / f"H-H1_TEST-{START + first_s}-{last_s - first_s}.hdf5"
    with h5py.File(path, "w") as file:
        values = WHOLE[round(first_s * RATE) : round(last_s * RATE)] * facts.get("gain", 1)
        values[: round(float(facts.get("blank_s", 0)) * RATE)] = facts.get("blank", np.nan)  # type: ignore[arg-type]
        data = file.create_dataset("strain/Strain", data=values)
        data.attrs["Xstart"], data.attrs["Xspacing"] = START + first_s, 1 / float(facts["rate"])  # type: ignore[arg-type]
        file["meta/GPSstart"], file["meta/Detector"] = START + first_s, facts["ifo"]
    return StrainFile(path, path.name)


@pytest.mark.parametrize(
    ("spans", "at"),
    [
        ([(0, 32), (32, 96)], 33.0),
        ([(0, 48), (48, 96)], 47.5),
        ([(0, 16), (16, 32), (32, 36), (36, 96)], 34.0625),
        ([(0, 40), (36, 96)], 38.0),  # overlapping
    ],
)
def test_joined_files_are_one_file(
    tmp_path: Path, spans: list[tuple[float, float]], at: float
) -> None:
    time = START + Decimal(str(at))
    files = [write(tmp_path, *span) for span in spans]
    joined = read_joined_strain(files, gps_time=time)
    whole = write(tmp_path, 0, 96)
    alone = read_strain(whole.path, file_name=whole.name, gps_time=time)
    np.testing.assert_array_equal(joined.values, alone.values)
    assert (joined.gps_start, joined.ifo, joined.sample_rate_hz) == (alone.gps_start, "H1", RATE)


@pytest.mark.parametrize("blank", [np.nan, 0.0])
def test_missing_samples_are_taken_from_an_overlapping_file(tmp_path: Path, blank: float) -> None:
    files = [write(tmp_path, 0, 40), write(tmp_path, 36, 96, blank=blank, blank_s=2)]
    time = START + Decimal(38)
    joined = read_joined_strain(files, gps_time=time)
    whole = write(tmp_path, 0, 96)
    alone = read_strain(whole.path, file_name=whole.name, gps_time=time)
    np.testing.assert_array_equal(joined.values, alone.values)


@pytest.mark.parametrize("changes", [{"rate": 8192}, {"ifo": "L1"}])
def test_a_following_file_that_does_not_fit_is_left_out_far_from_the_edge(
    tmp_path: Path, changes: dict[str, object]
) -> None:
    files = [write(tmp_path, 0, 16), write(tmp_path, 16, 32), write(tmp_path, 32, 96, **changes)]
    joined = read_joined_strain(files, gps_time=Decimal(START + 20))
    np.testing.assert_array_equal(joined.values, WHOLE[: 32 * RATE])
    assert (joined.gps_start, joined.ifo, joined.sample_rate_hz) == (START, "H1", RATE)


@pytest.mark.parametrize(
    ("spans", "changes", "reason"),
    [
        ([(0, 32), (32.5, 96)], {}, "gap of 0.5 s"),
        ([(0, 32), (32, 96)], {"rate": 8192}, "sample rate of 8192"),
        ([(0, 32), (32, 96)], {"ifo": "L1"}, "detector of L1"),
        ([(0, 32), (32.0001, 96)], {}, "does not start on a sample"),
        ([(0, 34), (32, 96)], {"gain": 1.01}, "hold different samples of the same 2 s"),
    ],
)
def test_files_that_do_not_fit_together_are_refused(
    tmp_path: Path, spans: list[tuple[float, float]], changes: dict[str, object], reason: str
) -> None:
    files = [write(tmp_path, *spans[0]), write(tmp_path, *spans[1], **changes)]
    with pytest.raises(StrainError, match=reason):
        read_joined_strain(files, gps_time=Decimal(START + 31))


def test_the_index_finds_those_that_abut() -> None:
    index = StrainIndex()
    for start, end in ((0, 16), (16, 32), (32, 64), (64, 128), (130, 194)):
        name = f"{start}-{end}"
        index.add("H1", Decimal(start), Decimal(end), Place(KNOWN, name, name))

    def names(at: float) -> tuple[list[str], bool]:
        stretch = index.find("H1", Decimal(str(at)))
        assert stretch is not None
        return [place.name for place in stretch.places], stretch.is_whole

    assert names(96) == (["64-128"], True)
    assert names(40) == (["0-16", "16-32", "32-64", "64-128"], True)
    assert names(33) == (["0-16", "16-32", "32-64", "64-128"], True)
    assert names(20) == (["0-16", "16-32", "32-64"], False)  # no strain before 0
    assert names(120) == (["64-128"], False)  # a gap of 2 s
    assert names(131) == (["130-194"], False)
    near_the_gap = index.find("H1", Decimal(127))
    assert near_the_gap is not None
    assert near_the_gap.gap == "No other strain of H1 is adjacent to 64 to 128."
    assert index.find("H1", Decimal(129)) is None
    assert index.find("L1", Decimal(40)) is None


def test_strain_of_the_batch_counts_before_the_operators_and_one_kind_stays_together() -> None:
    index = StrainIndex()
    for root, kind, start, end in (
        (KNOWN, "C00", 0, 200),
        (UPLOADED, "MINE", 40, 100),
        (UPLOADED, "MINE", 100, 160),
        (UPLOADED, "OTHER", 80, 180),
    ):
        name = f"H-H1_{kind}-{START + start}-{end - start}.gwf"
        index.add("H1", Decimal(START + start), Decimal(START + end), Place(root, name, name))

    def span(place: Place) -> tuple[str, int]:
        _, kind, start, _ = place.name.split("-")
        return kind[3:], int(start) - START

    def names(at: int) -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
        stretch = index.find("H1", Decimal(START + at))
        assert stretch is not None
        return [span(one) for one in stretch.places], [span(one) for one in stretch.others]

    assert names(20) == ([("C00", 0)], [])
    assert names(41) == ([("C00", 0)], [])  # too near the edge of the strain of the batch
    operator_spans = [("MINE", 40), ("MINE", 100)]
    assert names(75) == (operator_spans, [("OTHER", 80)])
    assert names(130) == ([("OTHER", 80)], operator_spans)


def test_the_index_names_the_nearest_stretch_of_a_time_outside() -> None:
    index = StrainIndex()
    # a short one within a long one
    for start, end in ((100, 200), (110, 120), (300, 310), (305, 400)):
        index.add("H1", Decimal(start), Decimal(end), Place(KNOWN, str(start), str(start)))
    for at, nearest in ((50, "100 to 200"), (230, "100 to 200"), (290, "300 to 310"), (500, "305")):
        reason = index.why_not("H1", Decimal(at))
        assert f"the nearest stretch is {nearest}" in reason
    assert "strain of: H1" in index.why_not("L1", Decimal(50))


def test_odd_entries_of_a_strain_folder_spoil_no_other(tmp_path: Path) -> None:
    """Pipes, which block a reader, links, and names not in UTF-8 do not affect other files."""
    known, span = tmp_path / "strain", f"{START}-32.gwf"
    (tmp_path / "elsewhere").touch()
    for site, folder in (("H1", b"latin \xff"), ("H2", "a \u00fc\nb".encode())):
        inside = known / os.fsdecode(folder)
        inside.mkdir(parents=True)
        (inside / f"H-{site}_TEST-{span}").touch()
    (known / f"L-L1_TEST-{span}").symlink_to(tmp_path / "elsewhere")
    (known / f"V-V1_TEST-{span}").symlink_to("nowhere")
    (known / "a.lcf").symlink_to("nowhere")
    for name in (f"K-K1_TEST-{span}", "b.ffl", "c.cache"):
        os.mkfifo(known / name)
    index = StrainIndex()
    index.add_folder(known)
    assert not index.holds("H1")  # a database cannot store its path
    roots = StrainRoots(tmp_path, known, (), None, None, "cpu")
    for ifo, is_readable in (("H2", True), ("L1", True), ("V1", False), ("K1", False)):
        stretch = index.find(ifo, Decimal(START + 16))
        assert stretch is not None
        trigger = OfTrigger(facts=Facts(), strain=stretch.places)
        if is_readable:
            [file], _ = roots.files(trigger)
            assert file.path.is_file()
        else:
            with pytest.raises(FormatError, match=f"{ifo}_TEST-{START}.* cannot be read"):
                roots.files(trigger)
