"""What text files of strain say about their rate, start and times, in many phrasings."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from glitch.errors import FormatError, StrainError
from glitch.strain import Strain, is_strain_file, read_strain
from glitch.strain.source import decimal_seconds
from glitch.tables import is_text_table
from glitch.tables.columns import plain_number

RATE = 1024
GPS = 1126259446
EVENT = Decimal("1126259455.3")
NOISE = np.random.default_rng(0).normal(size=16 * RATE) * 1e-21
BEGIN = datetime(2015, 9, 14, 9, 50, 29, tzinfo=UTC)  # the date of that GPS time


def _read(path: Path, text: str, **options: float) -> Strain:
    path.write_text(text)
    assert is_strain_file(path, path.name)
    return read_strain(path, file_name=path.name, gps_time=EVENT, **options)  # type: ignore[arg-type]


def _column(values: np.ndarray = NOISE) -> str:
    return "".join(f"{value:.9e}\n" for value in values)


@pytest.mark.parametrize(
    "comment",
    [
        "# band-passed 20-1500 Hz, sampled at 1024 Hz\n# starting GPS 1126259446",
        "# sample_rate = 1024\n# t0 = 1126259446.0",
        "# Sampling rate of H1: 1.024 kHz; GPS start time (s): 1126259446",
        "# number of samples: 16384\n# fs=1024\n# epoch: 1126259446",
        "# 1024 samples per second, low-passed at 2048 Hz\n# begins 2015-09-14T09:50:29Z",
        "# H1, 1024 Hz\n# gps_start 1126259446",
    ],
)
def test_comments_tell_rate_and_start_beside_other_numbers(tmp_path: Path, comment: str) -> None:
    strain = _read(tmp_path / "a.txt", f"{comment}\n{_column()}")
    assert (strain.sample_rate_hz, strain.gps_start) == (RATE, GPS)
    np.testing.assert_allclose(strain.values, NOISE, rtol=1e-8)


@pytest.mark.parametrize(
    "comment",
    [
        *("low-pass 2048 Hz", "up to 2048 Hz", "fs=1024, downsampled from a rate of 2048 Hz"),
        "sample rate: 4 kHz",  # GWOSC means 4096 Hz by this
    ],
)
def test_a_frequency_of_something_else_is_no_sample_rate(tmp_path: Path, comment: str) -> None:
    text = f"# {comment}\n{_column()}"
    with pytest.raises(StrainError, match="does not say its sample rate"):
        _read(tmp_path / "a.txt", text)
    assert _read(tmp_path / "a.txt", text, sample_rate_hz=float(RATE)).sample_rate_hz == RATE


def test_a_time_that_may_be_the_start_is_refused_as_ambiguous(tmp_path: Path) -> None:
    with pytest.raises(StrainError, match="says GPS time 1126259446, but not whether it starts"):
        _read(tmp_path / "a.txt", f"# 1126259446, 1024 samples per second\n{_column()}")
    of_file = f"# created 2026-11-29T10:00:00, 1024 samples per second\n{_column()}"
    assert _read(tmp_path / "a.txt", of_file).gps_start == EVENT - 8
    of_glitch = f"# glitch at {EVENT}, 1024 samples per second\n{_column()}"
    assert _read(tmp_path / "a.txt", of_glitch).gps_start == EVENT - 8


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("time,strain", "{utc},{value}"),
        ("", "{utc}Z,{value}"),
        ("# time strain", "{utc} {value}"),
        ("time;strain", "{utc}+00:00;{value}"),
        (",time,strain", "{number},{utc},{value}"),
    ],
)
@pytest.mark.parametrize("mark", ["T", " "])
def test_times_in_utc(tmp_path: Path, header: str, row: str, mark: str) -> None:
    path = tmp_path / "a.csv"
    lines = [
        row.format(
            utc=(BEGIN + timedelta(seconds=number / RATE)).strftime(f"%Y-%m-%d{mark}%H:%M:%S.%f"),
            value=f"{value:.9e}",
            number=number,
        )
        for number, value in enumerate(NOISE)
    ]
    strain = _read(path, "\n".join([header, *lines]))
    assert (strain.sample_rate_hz, strain.gps_start) == (RATE, GPS)
    np.testing.assert_allclose(strain.values, NOISE, rtol=1e-8)
    assert not is_text_table(path)  # not a table with a trigger in each line


@pytest.mark.parametrize("make", [lambda text: text.replace("\n", "\r"), lambda text: text])
def test_units_below_names_and_lines_of_old_macs(
    tmp_path: Path, make: Callable[[str], str]
) -> None:
    rows = "".join(f"{GPS + n / RATE:.6f},{value:.9e}\n" for n, value in enumerate(NOISE))
    path = tmp_path / "a.csv"
    path.write_bytes(make(f"GPS time [s],strain\n[s],[]\n{rows}").encode())
    strain = read_strain(path, file_name="a.csv", gps_time=EVENT)
    assert (strain.sample_rate_hz, strain.gps_start) == (RATE, GPS)


def test_no_text_makes_its_reader_try_for_long(tmp_path: Path) -> None:
    """No pattern takes long: lines of a few kB must not keep a decoder busy for half a minute."""
    path = tmp_path / "a.txt"
    path.write_text("GPS time,strain\n(" + "," * 5000 + "x\n" + _column())
    started = time.process_time()
    with pytest.raises(FormatError):
        read_strain(path, file_name="a.txt", gps_time=EVENT)
    path.write_text(f"GPS time,strain{' ' * 30_000}x\n" + _column())
    with pytest.raises(StrainError, match="sample rate"):
        read_strain(path, file_name="a.txt", gps_time=EVENT)
    assert decimal_seconds("1" * 30_000 + "x") is None
    assert decimal_seconds("1" + " " * 30_000 + "x") is None
    assert plain_number(digits := "1" * 30_000 + "x") == digits
    assert time.process_time() - started < 2


def test_numbers_of_rows_are_no_times(tmp_path: Path) -> None:
    text = ",0\n" + "".join(f"{n},{value:.9e}\n" for n, value in enumerate(NOISE))
    strain = _read(tmp_path / "a.csv", text, sample_rate_hz=float(RATE))
    assert strain.gps_start == EVENT - 8
    np.testing.assert_allclose(strain.values, NOISE, rtol=1e-8)


def test_times_that_count_from_a_stated_start(tmp_path: Path) -> None:
    rows = "".join(f"{n / RATE - 8:.6f} {value:.9e}\n" for n, value in enumerate(NOISE))
    strain = _read(tmp_path / "a.txt", f"# t0 = {GPS + 8}\n{rows}")
    assert strain.gps_start == GPS


@pytest.mark.parametrize(
    "comment", ["starting GPS {0} duration 64", "start {0} end 1126259510", "start {0}, 9 samples"]
)
def test_comments_that_the_samples_contradict_are_refused(tmp_path: Path, comment: str) -> None:
    """If the length is wrong, the stated start may be that before the beginning was removed."""
    path = tmp_path / "H1.txt"
    lines = [f"# 1024 samples per second {comment.format(1126259446)}"]
    path.write_text("\n".join([*lines, *(f"{one:.6e}" for one in np.arange(16 * 1024.0) % 7)]))
    with pytest.raises(StrainError, match=r"but holds 16(,384)? s"):
        read_strain(path, file_name=path.name, gps_time=Decimal("1126259454.3"))
