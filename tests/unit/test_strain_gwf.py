"""GWF frames: samples are placed by the time of their frame; data without a frame are missing."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import gwframe
import numpy as np
import pytest

from glitch.errors import FormatError, StrainError, TooLargeError
from glitch.files.confinement import landlock_version
from glitch.strain import Strain, read_strain, views_from_strain
from glitch.strain.formats import gwf

RATE = 2048
START = 1126259446
NOISE = np.random.default_rng(1).normal(size=32 * RATE) * 1e-21


def _frames(
    path: Path,
    values: np.ndarray = NOISE,
    *,
    length_s: float = 4,
    leave_out: tuple[int, ...] = (),
    order: int = 1,
    names: tuple[str, ...] = ("H1:GDS-CALIB_STRAIN",),
) -> Path:
    """Write a GWF file of frames of a few seconds, leaving out some of them."""
    n = round(length_s * RATE)
    with gwframe.FrameWriter(path) as writer:
        for index in list(range(len(values) // n))[::order]:
            if index in leave_out:
                continue
            frame = gwframe.Frame(
                start=START + index * length_s, duration=length_s, name=names[0][:2]
            )
            for number, name in enumerate(names):
                part = values[index * n : (index + 1) * n] * (1 + number)
                frame.add_channel(name, part, sample_rate=RATE)
            writer.write_frame(frame)
    return path


def _read(path: Path, gps_time: float | None = None, **given: str) -> Strain:
    when = None if gps_time is None else Decimal(str(gps_time))
    return read_strain(path, file_name=path.name, gps_time=when, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("length_s", [1, 4])
def test_frames_in_any_order_lie_where_their_times_say(
    tmp_path: Path, order: int, length_s: float
) -> None:
    strain = _read(_frames(tmp_path / "a.gwf", length_s=length_s, order=order), START + 16.5)
    np.testing.assert_array_equal(strain.values, NOISE)
    assert (strain.gps_start, strain.gps_end) == (START, START + 32)


@pytest.mark.parametrize("gps_time", [None, START + 16.25])
def test_a_missing_frame_is_a_hole_and_shifts_nothing(
    tmp_path: Path, gps_time: float | None
) -> None:
    strain = _read(_frames(tmp_path / "a.gwf", leave_out=(2, 3)), gps_time)
    assert strain.gps_start == START
    expected = NOISE.copy()
    expected[8 * RATE : 16 * RATE] = np.nan
    np.testing.assert_array_equal(strain.values, expected)


def test_a_time_beside_a_hole_names_the_good_interval(tmp_path: Path) -> None:
    path = _frames(tmp_path / "a.gwf", leave_out=(2,))
    strain = _read(path, START + 12.5)
    with pytest.raises(StrainError, match=rf"give a time from {START + 13}.25 to {START + 30}.75"):
        views_from_strain([strain], [Decimal(START) + Decimal("12.5")])
    made = views_from_strain([_read(path, START + 22)], [Decimal(START + 22)])[0]
    assert made.views.durations_s == (0.5, 1.0, 2.0, 4.0)


def test_frames_flagged_invalid_are_holes(tmp_path: Path) -> None:
    path = tmp_path / "a.gwf"
    with gwframe.FrameWriter(path) as writer:
        for index in range(8):
            frame = gwframe.Frame(start=START + 4 * index, duration=4, name="H1")
            part = NOISE[index * 4 * RATE : (index + 1) * 4 * RATE].astype(np.float32)
            flagged = np.ma.MaskedArray(part, mask=np.full(part.size, index == 0))
            frame.add_channel("H1:STRAIN_ADC", flagged, sample_rate=RATE, channel_type="adc")
            writer.write_frame(frame)
    values = _read(path, START + 16).values
    assert np.isnan(values[: 4 * RATE]).all()
    assert np.isfinite(values[4 * RATE :]).all()


O4 = ("H1:GDS-CALIB_STRAIN_NOLINES", "H1:GDS-CALIB_STRAIN", "H1:GDS-CALIB_STRAIN_CLEAN")


def test_plain_strain_comes_before_its_cleaned_kinds(tmp_path: Path) -> None:
    path = _frames(tmp_path / "a.gwf", names=O4)
    assert _read(path).channel == "H1:GDS-CALIB_STRAIN"
    assert _read(path, channel="H1:GDS-CALIB_STRAIN_CLEAN").values[0] == 3 * NOISE[0]
    assert _read(path, preferred_channel="H1:GDS-CALIB_STRAIN_NOLINES").channel == O4[0]
    assert _read(path, preferred_channel="H1:ASC-Y_TR_A_NSUM_OUT_DQ").channel == O4[1]
    cleaned = _frames(tmp_path / "b.gwf", names=O4[::2])
    assert _read(cleaned).channel == "H1:GDS-CALIB_STRAIN_CLEAN"


def test_the_detector_chooses_among_channels(tmp_path: Path) -> None:
    path = _frames(tmp_path / "a.gwf", names=("H1:STRAIN", "L1:STRAIN"))
    assert _read(path, ifo="L1").channel == "L1:STRAIN"
    with pytest.raises(FormatError, match=r"several channels: .*'H1:STRAIN', 'L1:STRAIN'"):
        _read(path)
    with pytest.raises(FormatError, match="no channel 'V1:STRAIN'"):
        _read(path, channel="V1:STRAIN")
    virgo = _frames(tmp_path / "b.gwf", names=("V1:DQ_VETO", "V1:Hrec_hoft_16384Hz"))
    assert _read(virgo).channel == "V1:Hrec_hoft_16384Hz"
    rates = ("V1:Hrec_hoft_20000Hz", "V1:Hrec_hoft_16384Hz", "V1:Hrec_hoft_16384Hz_Gated")
    both = _frames(tmp_path / "c.gwf", names=rates)
    assert _read(both).channel == "V1:Hrec_hoft_16384Hz"


def test_a_channel_of_bits_is_no_strain(tmp_path: Path) -> None:
    path = _frames(tmp_path / "a.gwf", names=("H1:ODC-MASTER_CHANNEL_OUT_DQ",))
    with pytest.raises(FormatError, match="holds bits, like a state vector"):
        _read(path)


def test_a_detector_that_the_frame_denies_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StrainError, match="holds strain of H1, but L1 was requested"):
        _read(_frames(tmp_path / "a.gwf"), ifo="L1")


def test_gwf_decoder_that_runs_away_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hang(*_: object, **__: object) -> None:
        raise subprocess.TimeoutExpired("decode", 60)

    path = tmp_path / "a.gwf"
    path.write_bytes(b"IGWD\0" + bytes(100))
    monkeypatch.setattr("subprocess.run", hang)
    with pytest.raises(FormatError, match="truncated or damaged GWF"):
        _read(path)


def test_gwf_decoder_has_limits(tmp_path: Path) -> None:
    script = Path(gwf.__file__).with_name("gwf_decode.py")
    code = (
        f"import runpy; m = runpy.run_path({str(script)!r}); m['_limit'](1 << 28, 5); "
        "bytearray(1 << 30)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert b"MemoryError" in done.stderr


TRYING = """
import socket
class FrameReader:
    def __init__(self, path):
        for forbidden in (lambda: open("/etc/passwd"), lambda: open(path, "a"), socket.socket):
            try:
                forbidden()
            except PermissionError:
                continue
            raise SystemExit(f"{forbidden} was possible")
        raise SystemExit(0)
"""


@pytest.mark.skipif(not landlock_version(), reason="this kernel has no Landlock")
def test_gwf_decoder_opens_its_file_and_no_other(tmp_path: Path) -> None:
    (tmp_path / "gwframe.py").write_text(TRYING)
    frames, script = _frames(tmp_path / "a.gwf"), Path(gwf.__file__).with_name("gwf_decode.py")
    request = {"path": str(frames), "scratch": "", "memory_bytes": 3 << 30, "cpu_s": 30}
    done = subprocess.run(
        [sys.executable, str(script), json.dumps(request)],
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_gwf_decoder_gets_no_secret_and_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The decoder has no secrets, and an unpacked file is deleted even if the decoder is killed."""
    seen: dict[str, str] = {}

    def ended(command: list[str], *, env: dict[str, str], **_: object) -> None:
        seen.update(env)
        seen["path"] = json.loads(command[-1])["path"]
        assert Path(seen["path"]).read_bytes() == frames
        raise subprocess.TimeoutExpired("decode", 60)

    frames = _frames(tmp_path / "a.gwf").read_bytes()
    path = tmp_path / "a.gwf.gz"
    path.write_bytes(gzip.compress(frames))
    monkeypatch.setenv("DATABASE_URL", "postgresql://user:secret@host/db")
    monkeypatch.setattr("subprocess.run", ended)
    with pytest.raises(FormatError, match="truncated or damaged GWF"):
        _read(path)
    assert "DATABASE_URL" not in seen
    assert not Path(seen["path"]).exists()


def test_gzipped_frames_are_read_within_bounds(tmp_path: Path) -> None:
    frames, path = _frames(tmp_path / "a.gwf"), tmp_path / "a.gwf.gz"
    path.write_bytes(gzip.compress(frames.read_bytes()))
    np.testing.assert_array_equal(_read(path, START + 16.5).values, NOISE)
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(FormatError, match=r"'a\.gwf\.gz' is gzipped, and truncated or damaged"):
        _read(path, START + 16.5)
    bomb = b"IGWD\0" + bytes((1 << 29) + 1)
    path.write_bytes(gzip.compress(bomb, 1))
    with pytest.raises(TooLargeError, match="holds over 512 MiB once unpacked: cut it"):
        _read(path, START + 16.5)


def test_frames_of_the_same_time_must_hold_the_same_samples(tmp_path: Path) -> None:
    def of_two(factor: float) -> Path:
        path = tmp_path / f"{factor}.gwf"
        with gwframe.FrameWriter(path) as writer:
            for first_s in (0, 8):  # the second begins within the first
                frame = gwframe.Frame(start=START + first_s, duration=16, name="H1")
                part = NOISE[first_s * RATE : (first_s + 16) * RATE]
                frame.add_channel("H1:STRAIN", part * (factor if first_s else 1), sample_rate=RATE)
                writer.write_frame(frame)
        return path

    np.testing.assert_array_equal(_read(of_two(1), START + 12).values, NOISE[: 24 * RATE])
    with pytest.raises(FormatError, match="different samples of the same time in frames of H1:STR"):
        _read(of_two(2), START + 12)
