"""Strain files of each type are read correctly, and bad ones are refused with the reason."""

import gzip
import io
import zipfile
from decimal import Decimal
from pathlib import Path

import gwframe
import h5py
import numpy as np
import pytest
from gwpy.timeseries import TimeSeries

from glitch.errors import FormatError, GlitchError, StrainError, TooLargeError
from glitch.strain import Strain, is_strain_file, read_strain
from glitch.strain.formats.text import MAX_TEXT_BYTES

RATE = 1024
GPS = Decimal(1126259446)
NOISE = np.random.default_rng(0).normal(size=16 * RATE) * 1e-21


def _read(path: Path, **given: object) -> Strain:
    if "sample_rate_hz" in given:
        given["sample_rate_hz"] = float(given["sample_rate_hz"])  # type: ignore[arg-type]
    return read_strain(path, file_name=path.name, **given)  # type: ignore[arg-type]


def _gwosc(path: Path, values: np.ndarray = NOISE, mask: np.ndarray | None = None) -> Path:
    with h5py.File(path, "w") as file:
        strain = file.create_dataset("strain/Strain", data=values, chunks=True, compression=1)
        strain.attrs["Xstart"] = int(GPS)
        strain.attrs["Xspacing"] = 1 / RATE
        file["meta/Detector"] = b"H1"
        file["meta/GPSstart"] = int(GPS)
        file["quality/simple/DQmask"] = np.full(16, 127) if mask is None else mask
    return path


def _write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_gwosc_file(tmp_path: Path) -> None:
    strain = _read(_gwosc(tmp_path / "a.hdf5"))
    assert (strain.sample_rate_hz, strain.gps_start, strain.ifo) == (RATE, GPS, "H1")
    assert strain.gps_end == GPS + 16
    np.testing.assert_array_equal(strain.values, NOISE)


def test_gwosc_mask_marks_missing_data(tmp_path: Path) -> None:
    mask = np.full(16, 127)
    mask[3] = 0
    values = _read(_gwosc(tmp_path / "a.hdf5", mask=mask)).values
    assert np.isnan(values[3 * RATE : 4 * RATE]).all()
    assert np.isfinite(values).sum() == 15 * RATE


def test_gwpy_file(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    series = TimeSeries(NOISE, sample_rate=RATE, t0=float(GPS), name="L1:STRAIN", channel="L1:S")
    series.write(path, path="mine", format="hdf5")
    strain = _read(path)
    assert (strain.ifo, strain.gps_start, strain.sample_rate_hz) == ("L1", GPS, RATE)
    np.testing.assert_array_equal(strain.values, NOISE)


def test_several_series_ask_for_a_channel(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    for name in ("H1:A", "H1:B"):
        TimeSeries(NOISE, sample_rate=RATE, name=name).write(
            path, path=name[-1], append=True, format="hdf5"
        )
    with pytest.raises(FormatError, match="several series: give channel"):
        _read(path)
    assert _read(path, channel="B").values.size == NOISE.size
    with pytest.raises(FormatError, match="no strain called 'C'"):
        _read(path, channel="C")


def test_pycbc_file(tmp_path: Path) -> None:
    path = tmp_path / "x.hdf"
    with h5py.File(path, "w") as file:
        file["data"] = NOISE
        file["data"].attrs.update({"delta_t": 1 / RATE, "start_time": 1238205077.5})
    strain = _read(path)
    assert (strain.gps_start, strain.sample_rate_hz) == (Decimal("1238205077.5"), RATE)


def test_only_64_s_around_the_gps_time_are_read(tmp_path: Path) -> None:
    values = np.arange(200.0 * RATE)
    path = tmp_path / "long.hdf5"
    with h5py.File(path, "w") as file:
        file["strain/Strain"] = values
        file["strain/Strain"].attrs.update({"Xstart": 1000, "Xspacing": 1 / RATE})
    strain = _read(path, gps_time=Decimal("1100.25"))
    assert (strain.gps_start, strain.duration_s) == (Decimal("1068.25"), 64)
    assert strain.values[0] == 68.25 * RATE


@pytest.mark.parametrize("separator", [",", " ", "\t"])
def test_text_of_two_columns(tmp_path: Path, separator: str) -> None:
    lines = (f"{float(GPS) + i / RATE:.6f}{separator}{v!r}" for i, v in enumerate(NOISE.tolist()))
    strain = _read(_write(tmp_path / "L1-x.csv", "time,strain\n" + "\n".join(lines)))
    assert (strain.sample_rate_hz, strain.gps_start, strain.ifo) == (RATE, GPS, "L1")
    np.testing.assert_array_equal(strain.values, NOISE)


def test_text_of_one_column_with_gwosc_header(tmp_path: Path) -> None:
    head = (
        "# Gravitational wave strain for GW150914_H1 at 1024 Hz (see http://losc.ligo.org)\n"
        f"# This file has {RATE} samples per second\n# starting GPS {GPS}.0 duration 16\n"
    )
    body = "\n".join(map(repr, NOISE.tolist()))
    strain = _read(_write(tmp_path / "a.txt", head + body))
    assert (strain.sample_rate_hz, strain.gps_start, strain.ifo) == (RATE, GPS, "H1")


def _lines(times: np.ndarray, decimals: int = 6) -> str:
    values = NOISE[: times.size].tolist()
    return "\n".join(f"{t:.{decimals}f} {v!r}" for t, v in zip(times, values, strict=True))


def _rows(values: np.ndarray = NOISE) -> list[tuple[str, str]]:
    times = float(GPS) + np.arange(values.size) / RATE
    return [(f"{time:.7f}", f"{value:.9e}") for time, value in zip(times, values, strict=True)]


@pytest.mark.parametrize("word", ["--", "masked", "nan", "NA", "NULL", "None", ""])
def test_words_for_no_value_are_missing_samples(tmp_path: Path, word: str) -> None:
    rows = _rows()
    rows[100:120] = [(time, word) for time, _ in rows[100:120]]
    text = "time,strain\n" + "\n".join(",".join(row) for row in rows)
    strain = _read(_write(tmp_path / "H1.csv", text))
    assert np.flatnonzero(np.isnan(strain.values)).tolist() == list(range(100, 120))
    np.testing.assert_allclose(strain.values[120:], NOISE[120:], rtol=1e-8)


@pytest.mark.parametrize(
    ("header", "row"),
    [
        (",time,strain", "{number},{time},{value}"),
        ("strain,time", "{value},{time}"),
        ("# index time strain", "{number} {time} {value}"),
        ("time,L1,H1", "{time},0.5,{value}"),
        ("time,strain,quality", "{time},{value},1"),
        ("time;strain", "{time_comma};{value_comma}"),
        ("time\tstrain", "{time_comma}\t{value_comma}"),
        ("# no names", "{time_comma};{value_comma}"),
        ('"time","strain"', '"{time}","{value}"'),
        ("time strain", "{time} {value_d}"),
    ],
)
def test_columns_are_recognised_by_name_and_numbers_in_any_spelling(
    tmp_path: Path, header: str, row: str
) -> None:
    lines = [
        row.format(
            number=number,
            time=time,
            value=value,
            time_comma=time.replace(".", ","),
            value_comma=value.replace(".", ","),
            value_d=value.replace("e", "D"),
        )
        for number, (time, value) in enumerate(_rows())
    ]
    path = _write(tmp_path / "x.csv", "\n".join([header, *lines]))
    assert is_strain_file(path, path.name)
    strain = _read(path, ifo="H1")
    assert (strain.sample_rate_hz, strain.gps_start, strain.ifo) == (RATE, GPS, "H1")
    np.testing.assert_allclose(strain.values, NOISE, rtol=1e-8)


def test_a_channel_chooses_among_columns_of_text(tmp_path: Path) -> None:
    lines = [f"{time} 0.5 {value}" for time, value in _rows()]
    path = _write(tmp_path / "x.txt", "\n".join(["# time L1 H1", *lines]))
    with pytest.raises(FormatError, match="give channel, one of 'l1', 'h1'"):
        _read(path)
    strain = _read(path, channel="H1")
    assert strain.ifo == "H1"
    np.testing.assert_allclose(strain.values, NOISE, rtol=1e-8)
    triggers = _write(tmp_path / "t.csv", f"gps_time,snr,peak_frequency\n{GPS},13.0,120\n")
    with pytest.raises(FormatError, match="Send a table of triggers as a batch"):
        _read(triggers)


@pytest.mark.parametrize("shape", [(1, -1), (-1, 1)])
def test_a_matrix_of_one_row_or_column_is_a_row_of_samples(
    tmp_path: Path, shape: tuple[int, int]
) -> None:
    values = NOISE.reshape(shape)
    np.save(tmp_path / "a.npy", values)
    np.savez(tmp_path / "a.npz", strain=values, sample_rate_hz=RATE, gps_start=int(GPS))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["strain"] = values
        file["strain"].attrs.update({"x0": int(GPS), "dx": 1 / RATE})
    for name in ("a.npy", "a.npz", "a.h5"):
        strain = _read(tmp_path / name, sample_rate_hz=RATE)
        np.testing.assert_array_equal(strain.values, NOISE)
    part = _read(tmp_path / "a.h5", gps_time=GPS + 8)
    np.testing.assert_array_equal(part.values, NOISE)


@pytest.mark.parametrize("name", ["strain", "data", "values", "h", "h(t)"])
def test_usual_names_of_strain_are_the_same_in_npz_and_hdf5(tmp_path: Path, name: str) -> None:
    others = {"mask": np.ones(9), "psd": NOISE[:99], "z": NOISE * 2}
    np.savez(tmp_path / "a.npz", **others | {name: NOISE[:99]})  # type: ignore[arg-type]
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for key, values in (others | {name: NOISE[:99]}).items():
            file[key] = values
    for path in (tmp_path / "a.npz", tmp_path / "a.h5"):
        strain = _read(path, sample_rate_hz=RATE)
        np.testing.assert_array_equal(strain.values, NOISE[:99])


def test_a_gap_in_text_is_missing_samples(tmp_path: Path) -> None:
    times = float(GPS) + np.arange(2000) / RATE
    times[1000:] += 1.5
    strain = _read(_write(tmp_path / "a.txt", _lines(times)))
    assert (strain.gps_start, strain.sample_rate_hz) == (GPS, RATE)
    np.testing.assert_array_equal(strain.values[:1000], NOISE[:1000])
    assert np.isnan(strain.values[1000:2536]).all()
    np.testing.assert_array_equal(strain.values[2536:], NOISE[1000:2000])


def test_times_off_an_even_series_are_refused(tmp_path: Path) -> None:
    times = float(GPS) + np.arange(2000) / RATE
    times[1000:] += 0.5 / RATE
    with pytest.raises(StrainError, match="not evenly sampled: near row 1001"):
        _read(_write(tmp_path / "a.txt", _lines(times)))
    triggers = _write(tmp_path / "t.txt", f"{GPS} 13.0\n{GPS + 11} 9.5\n{GPS + 17} 8\n")
    with pytest.raises(StrainError, match="table of triggers, name its columns in its first line"):
        _read(triggers)
    with pytest.raises(StrainError, match="row 1001 lies before the one above it"):
        _read(_write(tmp_path / "b.txt", _lines(np.concatenate([times[:1000], times[:1000]]))))


@pytest.mark.parametrize("decimals", [2, 3])
def test_times_printed_coarsely_have_no_gap(tmp_path: Path, decimals: int) -> None:
    times = float(GPS) + np.arange(NOISE.size) / RATE
    path = _write(tmp_path / "a.txt", _lines(times, decimals))
    strain = _read(path)
    assert (strain.gps_start, strain.sample_rate_hz) == (GPS, RATE)
    np.testing.assert_array_equal(strain.values, NOISE)
    cut = _write(tmp_path / "cut.txt", _lines(times, decimals) + "\n11262")
    np.testing.assert_array_equal(_read(cut).values, NOISE)
    times[1000:] += 1.5
    with pytest.raises(StrainError, match=r"its times jump by 1.5.*too coarsely to see where"):
        _read(_write(tmp_path / "b.txt", _lines(times, decimals)), sample_rate_hz=RATE)
    with pytest.raises(StrainError, match="too coarsely to tell the sample rate"):
        _read(_write(tmp_path / "c.txt", _lines(times[:900], 0)))


def test_gzipped_text_as_gwosc_publishes_it(tmp_path: Path) -> None:
    head = f"# Gravitational wave strain for H1\n# This file has {RATE} samples per second\n"
    body = f"# starting GPS {GPS} duration 16\n" + "\n".join(map(repr, NOISE.tolist()))
    packed = gzip.compress((head + body).encode())
    path = _write(tmp_path / "H-H1_LOSC_4_V1-1126259446-16.txt.gz", packed)
    assert is_strain_file(path, path.name)
    strain = _read(path)
    assert (strain.sample_rate_hz, strain.gps_start, strain.ifo) == (RATE, GPS, "H1")
    np.testing.assert_array_equal(strain.values, NOISE)
    cut = _write(tmp_path / "cut.txt.gz", packed[: len(packed) // 2])
    with pytest.raises(FormatError, match="truncated or damaged gzipped text"):
        _read(cut)
    bomb = _write(tmp_path / "bomb.txt.gz", gzip.compress(b"1.0\n" * (MAX_TEXT_BYTES // 4 + 1)))
    with pytest.raises(TooLargeError, match="bytes of text"):
        _read(bomb, sample_rate_hz=RATE)


def test_npy_is_centred_on_the_gps_time(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, NOISE.astype(np.float32))
    strain = _read(path, sample_rate_hz=RATE, gps_time=GPS, ifo="V1")
    assert (strain.gps_start, strain.ifo) == (GPS - 8, "V1")
    assert strain.values.dtype == np.float64
    assert _read(path, sample_rate_hz=RATE).gps_start == -8


def test_a_name_says_when_an_npy_starts_unless_it_was_cut(tmp_path: Path) -> None:
    path = tmp_path / f"H-H1_X-{GPS}-16.npy"
    np.save(path, NOISE)
    strain = _read(path, sample_rate_hz=RATE, gps_time=GPS + 5)
    assert (strain.gps_start, strain.ifo) == (GPS, "H1")
    np.save(path, NOISE[: 10 * RATE])
    assert _read(path, sample_rate_hz=RATE, gps_time=GPS + 5).gps_start == GPS


@pytest.mark.parametrize(
    "metadata",
    [
        {"fs": RATE, "t0": int(GPS)},
        {"dt": 1 / RATE, "epoch": float(GPS)},
        {"times": float(GPS) + np.arange(NOISE.size) / RATE},
        {"sample_rate": RATE, "start_time": "2015-09-14T09:50:29"},
    ],
)
def test_names_of_npz(tmp_path: Path, metadata: dict[str, object]) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, strain=NOISE, detector="L1", **metadata)  # type: ignore[arg-type]
    strain = _read(path, gps_time=GPS + 5)
    assert (strain.gps_start, strain.sample_rate_hz, strain.ifo) == (GPS, RATE, "L1")


def test_npz(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez_compressed(
        path, strain=NOISE, sample_rate_hz=RATE, gps_start="1126259446.123456789", ifo="H1"
    )
    strain = _read(path)
    assert (strain.gps_start, strain.ifo) == (Decimal("1126259446.123456789"), "H1")
    part = _read(path, gps_time=strain.gps_start + 5)
    np.testing.assert_array_equal(part.values, NOISE)


def test_gwf(tmp_path: Path) -> None:
    path = tmp_path / "a.gwf"
    gwframe.write(path, NOISE, start=float(GPS), sample_rate=RATE, name="L1:GDS-CALIB_STRAIN")
    strain = _read(path, gps_time=GPS + 8)
    assert (strain.channel, strain.ifo) == ("L1:GDS-CALIB_STRAIN", "L1")
    assert (strain.gps_start, strain.sample_rate_hz) == (GPS, RATE)
    np.testing.assert_array_equal(strain.values, NOISE)
    with pytest.raises(FormatError, match="no channel 'H1:X'"):
        _read(path, channel="H1:X")
    with pytest.raises(FormatError, match="truncated or damaged GWF"):
        _read(_write(tmp_path / "b.gwf", path.read_bytes()[:5000]))


def _npy(values: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, values, allow_pickle=True)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.hdf5", b"", "is empty"),
        ("a.hdf5", b"\x00\x01 not a file", "not a strain file in a supported format"),
        ("a.txt", "Dear sir,\nplease find the strain\n", "not a strain file in a supported format"),
        ("a.csv", "1,2,3\n4,5,6\n", "one column"),
        ("a.csv", "1.0\n2.0\nthree\n", "cannot be read as columns"),
        ("a.npy", _npy(np.array([{"a": 1}], dtype=object)), "pickled Python objects"),
        ("a.npy", _npy(np.ones(9000) * 1j), "complex numbers"),
        ("a.npy", _npy(np.array(["a", "b"])), "not numbers"),
        ("a.npy", _npy(np.ones((3, 9000))), r"shape \(3, 9000\)"),
        ("a.npy", _npy(np.ones(9000))[:5000], "truncated or damaged"),
        ("a.npy", b"\x93NUMPY\x01\x00garbage", "truncated or damaged"),
        ("a.npz", b"PK\x03\x04 no archive", "truncated or damaged"),
        ("a.hdf5", b"\x89HDF\r\n\x1a\n" + bytes(64), "truncated or damaged HDF5"),
    ],
)
def test_bad_files(tmp_path: Path, name: str, content: str | bytes, message: str) -> None:
    with pytest.raises(GlitchError, match=message):
        _read(_write(tmp_path / name, content), sample_rate_hz=RATE)


def test_truncated_hdf5_and_npz(tmp_path: Path) -> None:
    whole = _gwosc(tmp_path / "a.hdf5").read_bytes()
    with pytest.raises(FormatError, match="truncated or damaged HDF5"):
        _read(_write(tmp_path / "b.hdf5", whole[: len(whole) // 2]))
    np.savez(tmp_path / "a.npz", strain=NOISE, sample_rate_hz=RATE)
    whole = (tmp_path / "a.npz").read_bytes()
    with pytest.raises(FormatError, match="truncated or damaged"):
        _read(_write(tmp_path / "b.npz", whole[:-300]))
    broken = bytearray(whole)
    broken[5000:5100] = bytes(100)
    with pytest.raises(FormatError, match="truncated or damaged"):
        _read(_write(tmp_path / "c.npz", bytes(broken)))


def test_pickle_in_npz(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", strain=np.array([print], dtype=object))
    with pytest.raises(FormatError, match="pickled Python objects"):
        _read(tmp_path / "a.npz")


def test_size_bombs_are_refused_before_decoding(tmp_path: Path) -> None:
    bomb = tmp_path / "a.npz"
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f8", "fortran_order": False, "shape": (1 << 36,)}
    )
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("strain.npy", header.getvalue() + bytes(1 << 20))
        archive.getinfo("strain.npy").file_size = 1 << 39
    with pytest.raises(TooLargeError, match="would decode to"):
        _read(bomb, sample_rate_hz=RATE)
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        strain = file.create_dataset("strain/Strain", (1 << 40,), "f8", chunks=(1 << 27,))
        strain.attrs.update({"Xstart": 0, "Xspacing": 1 / RATE})
    with pytest.raises(TooLargeError, match="chunks of"):
        _read(tmp_path / "a.hdf5", gps_time=Decimal(100))
    with h5py.File(tmp_path / "b.hdf5", "w") as file:
        strain = file.create_dataset("strain/Strain", (1 << 40,), "f8", chunks=(1 << 16,))
        strain.attrs.update({"Xstart": 0, "Xspacing": 1 / RATE})
    with pytest.raises(TooLargeError, match="Give gps_time"):
        _read(tmp_path / "b.hdf5")
    assert _read(tmp_path / "b.hdf5", gps_time=Decimal(10**6)).values.size == 64 * RATE


def test_links_to_other_files_are_not_followed(tmp_path: Path) -> None:
    _gwosc(tmp_path / "secret.hdf5")
    with h5py.File(tmp_path / "link.hdf5", "w") as file:
        file["strain/Strain"] = h5py.ExternalLink("secret.hdf5", "strain/Strain")
    with pytest.raises(FormatError, match="holds no strain"):
        _read(tmp_path / "link.hdf5")
    raw = _write(tmp_path / "raw.bin", bytes(8 * 9000))
    with h5py.File(tmp_path / "external.hdf5", "w") as file:
        strain = file.create_dataset(
            "strain/Strain", (9000,), "f8", external=[(str(raw), 0, 8 * 9000)]
        )
        strain.attrs.update({"Xstart": 0, "Xspacing": 1 / RATE})
    with pytest.raises(FormatError, match="in another file"):
        _read(tmp_path / "external.hdf5")


@pytest.mark.parametrize("rate", [100.0, 1e9, float("nan"), 1024.5, -4096.0])
def test_absurd_sample_rates_are_refused(tmp_path: Path, rate: float) -> None:
    np.save(tmp_path / "a.npy", NOISE)
    with pytest.raises(StrainError, match="sample rate"):
        _read(tmp_path / "a.npy", sample_rate_hz=rate)


def test_missing_and_contradicting_sample_rate(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", NOISE)
    with pytest.raises(StrainError, match="give sample_rate_hz"):
        _read(tmp_path / "a.npy")
    with pytest.raises(StrainError, match="correct sample_rate_hz, or leave it out"):
        _read(_gwosc(tmp_path / "a.hdf5"), sample_rate_hz=2048)


def test_no_samples(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.empty(0))
    with pytest.raises(StrainError, match="holds no samples"):
        _read(tmp_path / "a.npy", sample_rate_hz=RATE)


@pytest.mark.parametrize(("offset", "where"), [("-5", "outside"), ("0.5", "too near"), ("99", "o")])
def test_gps_time_must_lie_inside(tmp_path: Path, offset: str, where: str) -> None:
    usable = "give one from 1126259447.25 to 1126259460.75"
    with pytest.raises(StrainError, match=f"{where}.*{usable}"):
        _read(_gwosc(tmp_path / "a.hdf5"), gps_time=GPS + Decimal(offset))


def test_one_second_is_too_short(tmp_path: Path) -> None:
    path = _gwosc(tmp_path / "a.hdf5", NOISE[:RATE], np.array([127]))
    with pytest.raises(StrainError, match=r"holds 1 s of strain: at least 8 s"):
        _read(path, gps_time=GPS + Decimal("0.5"))


def test_file_names_are_shown_without_tricks(tmp_path: Path) -> None:
    path = _write(tmp_path / "a", b"")
    with pytest.raises(FormatError) as caught:
        read_strain(path, file_name="../../etc/\x1b[31m" + "x" * 500 + "é.gwf")
    assert "etc" not in str(caught.value)
    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 120


def test_which_files_are_strain(tmp_path: Path) -> None:
    def is_strain(path: Path) -> bool:
        return is_strain_file(path, path.name)

    assert is_strain(_gwosc(tmp_path / "a.hdf5"))
    assert is_strain(_write(tmp_path / "a.csv", "1.0,2.0\n"))
    assert is_strain(_write(tmp_path / "a.gwf", b"IGWD\0"))
    assert is_strain(_write(tmp_path / "broken.hdf5", b"\x89HDF\r\n\x1a\n"))
    assert not is_strain(_write(tmp_path / "a.png", b"\x89PNG\r\n\x1a\n"))
    assert not is_strain(_write(tmp_path / "empty", b""))
    np.save(tmp_path / "views.npy", np.ones((4, 8, 8)))
    assert not is_strain(tmp_path / "views.npy")
    np.savez(tmp_path / "views.npz", views=np.ones((4, 8, 8)))
    assert not is_strain(tmp_path / "views.npz")
    np.savez(tmp_path / "a.npz", strain=NOISE)
    assert is_strain(tmp_path / "a.npz")
    with h5py.File(tmp_path / "views.h5", "w") as file:
        file["views"] = np.ones((4, 8, 8))
    assert not is_strain(tmp_path / "views.h5")


def test_an_npz_with_one_unnamed_array_is_strain(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", NOISE)
    assert is_strain_file(tmp_path / "a.npz", "a.npz")
    strain = _read(tmp_path / "a.npz", sample_rate_hz=RATE, gps_time=GPS)
    np.testing.assert_array_equal(strain.values, NOISE)
    np.savez(tmp_path / "b.npz", NOISE, NOISE)
    assert not is_strain_file(tmp_path / "b.npz", "b.npz")
