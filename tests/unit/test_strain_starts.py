"""The start of strain in arrays, under each name that files give it, and times of samples."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import h5py
import numpy as np
import pytest

from glitch.errors import FormatError, GlitchError, StrainError
from glitch.strain import Strain, read_strain
from glitch.tables.hdf5 import holds_triggers

RATE = 1024
GPS = 1126259446
EVENT = Decimal("1126259455.3")
NOISE = np.random.default_rng(0).normal(size=16 * RATE) * 1e-21
TIMES = GPS + np.arange(NOISE.size) / RATE


def _of_kind(kind: str, path: Path, meta: dict[str, object]) -> Strain:
    """Write a file of this type with these single values, and read it."""
    if kind == "npz":
        np.savez(path, strain=NOISE, sample_rate_hz=RATE, **meta)  # type: ignore[arg-type]
        path = path.with_name(path.name + ".npz")
    else:
        with h5py.File(path, "w") as file:
            series = file.create_dataset("H1/strain", data=NOISE)
            series.attrs["sample_rate"] = RATE
            for name, value in meta.items():
                if kind == "datasets":
                    file["H1"][name] = value
                else:
                    {"attributes": series, "root": file}[kind].attrs[name] = value
    return read_strain(path, file_name=path.name, gps_time=EVENT)


KINDS = pytest.mark.parametrize("kind", ["npz", "attributes", "root", "datasets"])


@KINDS
@pytest.mark.parametrize(
    "meta",
    [
        *({name: GPS} for name in ("start", "t_start", "segment_start", "gpsStart", "begin_gps")),
        {"start_time_s": str(GPS)},
        {"utc_start": "2015-09-14T09:50:29"},
        {"start": f"GPS {GPS}"},
        {"start": GPS, "event_time": float(EVENT)},
    ],
    ids="+".join,
)
def test_starts_under_names_that_are_not_foreseen(
    tmp_path: Path, kind: str, meta: dict[str, object]
) -> None:
    strain = _of_kind(kind, tmp_path / "a", meta)
    assert strain.gps_start == GPS
    np.testing.assert_array_equal(strain.values, NOISE)


@KINDS
def test_a_stated_time_is_ambiguous_unless_it_is_that_of_the_glitch(
    tmp_path: Path, kind: str
) -> None:
    with pytest.raises(StrainError, match="says gps 1126259446, but not whether it starts then"):
        _of_kind(kind, tmp_path / "a", {"gps": GPS})
    assert _of_kind(kind, tmp_path / "b", {"gps": float(EVENT)}).gps_start == EVENT - 8
    assert _of_kind(kind, tmp_path / "c", {"creation_time": 1.4e9}).gps_start == EVENT - 8


def test_a_start_of_numpy_and_one_that_is_no_time(tmp_path: Path) -> None:
    start = np.datetime64("2015-09-14T09:50:29", "ns")
    assert _of_kind("npz", tmp_path / "a", {"t0": start}).gps_start == GPS
    with pytest.raises(FormatError, match="says when it starts"):
        _of_kind("npz", tmp_path / "b", {"t0": "Monday"})


@KINDS
def test_a_start_in_a_short_float_is_refused_and_nanoseconds_beside_one_count(
    tmp_path: Path, kind: str
) -> None:
    with pytest.raises(StrainError, match="as a 32-bit float, which holds GPS times only to 64 s"):
        _of_kind(kind, tmp_path / "a", {"t0": np.float32(GPS)})
    for names in (("t0", "t0_ns"), ("epoch_s", "epoch_ns"), ("gps_start", "gps_start_ns")):
        meta = dict(zip(names, (int(GPS), 500_000_000), strict=True))
        assert _of_kind(kind, tmp_path / names[0], meta).gps_start == GPS + Decimal("0.5")


def test_times_relative_to_a_stated_start_are_read(tmp_path: Path) -> None:
    relative = TIMES - TIMES[0] - 8
    np.savez(tmp_path / "a.npz", strain=NOISE, t=relative, t0=GPS + 8)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["strain"], file["t"] = NOISE, relative
        file.attrs["t0"] = GPS + 8
    for name in ("a.npz", "a.h5"):
        strain = read_strain(tmp_path / name, file_name=name, gps_time=EVENT)
        assert (strain.gps_start, strain.sample_rate_hz) == (GPS, RATE)


def test_times_less_precise_than_the_stated_start_are_ignored(tmp_path: Path) -> None:
    times = TIMES.astype("f4")  # float32 rounds these to 64 s
    np.savez(tmp_path / "a.npz", strain=NOISE, time=times, t0=GPS, fs=RATE)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["strain"], file["time"] = NOISE, times
        file.attrs.update(t0=GPS, fs=RATE)
    for name in ("a.npz", "a.h5"):
        strain = read_strain(tmp_path / name, file_name=name, gps_time=EVENT)
        assert (strain.gps_start, strain.sample_rate_hz) == (GPS, RATE)


def _save(path: Path, pair: np.ndarray) -> None:
    if path.suffix == ".npy":
        np.save(path, pair)
    elif path.suffix == ".npz":
        np.savez(path, strain=pair, ifo="L1")
    else:
        with h5py.File(path, "w") as file:
            file["strain"] = pair


PAIRS = pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.h5"])


@PAIRS
@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize("is_across", [True, False])
def test_times_and_strain_in_one_array(
    tmp_path: Path, name: str, is_first: bool, is_across: bool
) -> None:
    pair = np.vstack([TIMES, NOISE] if is_first else [NOISE, TIMES])
    _save(tmp_path / name, pair if is_across else pair.T)
    strain = read_strain(tmp_path / name, file_name=name, gps_time=EVENT)
    assert (strain.gps_start, strain.sample_rate_hz) == (GPS, RATE)
    np.testing.assert_array_equal(strain.values, NOISE)
    assert strain.ifo == ("L1" if name == "a.npz" else None)


@PAIRS
@pytest.mark.parametrize(
    ("pair", "reason"),
    [
        (np.vstack([NOISE, NOISE[::-1]]), "times and strain cannot be told apart"),
        (np.vstack([TIMES, TIMES]), "times and strain cannot be told apart"),
        (np.vstack([TIMES, NOISE, NOISE]), "send one row of strain"),
        (np.vstack([TIMES, NOISE]).astype("f4"), "times and strain cannot be told apart"),
        (np.zeros((2, (1 << 22) + 1), dtype="i1"), "at most 4,194,304 samples are read"),
    ],
    ids=["two detectors", "twice the times", "three rows", "times of 32 bits", "too long"],
)
def test_an_array_that_may_be_anything_is_refused(
    tmp_path: Path, name: str, pair: np.ndarray, reason: str
) -> None:
    _save(tmp_path / name, pair)
    with pytest.raises(GlitchError, match=reason):
        read_strain(tmp_path / name, file_name=name, gps_time=EVENT)


def test_a_compound_of_times_and_strain_is_no_table_of_triggers(tmp_path: Path) -> None:
    rows = np.zeros(NOISE.size, dtype=[("time", "f8"), ("strain", "f8")])
    rows["time"], rows["strain"] = TIMES, NOISE
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["strain"] = rows
    assert not holds_triggers(path)
    with pytest.raises(FormatError, match="holds a table of time, strain: save its times"):
        read_strain(path, file_name="a.h5", gps_time=EVENT)
    with h5py.File(path, "w") as file:
        file["times_of_triggers"] = rows[:: 4 * RATE]
    assert holds_triggers(path)


@pytest.mark.parametrize("kept", ["meta/Duration", "quality/simple/DQmask"])
@pytest.mark.parametrize("first_s", [0, 4])
def test_a_gwosc_file_with_only_its_strain_cut_is_refused(
    tmp_path: Path, kept: str, first_s: int
) -> None:
    """A GWOSC file with only its strain cropped is refused.

    The stated start and the mask belong to the whole strain.
    """
    path = tmp_path / "cut.hdf5"
    with h5py.File(path, "w") as file:
        cut = file.create_dataset(
            "strain/Strain", data=NOISE[first_s * RATE : (first_s + 10) * RATE]
        )
        cut.attrs["Xspacing"] = 1 / RATE
        file["meta/GPSstart"] = GPS
        file[kept] = 16 if kept == "meta/Duration" else np.full(16, 127)
    with pytest.raises(StrainError, match=rf"10 s of strain, but {kept} is of 16 s.*with gwpy"):
        read_strain(path, file_name=path.name, gps_time=EVENT)


OF_DETECTORS = pytest.mark.parametrize(
    ("names", "options", "detector"),
    [
        (("H1",), {}, "H1"),
        (("H1:GDS-CALIB_STRAIN",), {}, "H1"),
        (("l1_strain",), {}, "L1"),
        (("hoft",), {}, None),
        (("h",), {"ifo": "V1"}, "V1"),
        (("H1", "L1"), {"ifo": "L1"}, "L1"),
        (("H1", "L1"), {"channel": "L1"}, "L1"),
    ],
)


@OF_DETECTORS
def test_arrays_called_after_detectors_are_strain(
    tmp_path: Path, names: tuple[str, ...], options: dict[str, str], detector: str | None
) -> None:
    meta = {"fs": RATE, "t0": GPS}
    arrays = {name: (at + 1) * NOISE for at, name in enumerate(names)}
    np.savez(tmp_path / "a.npz", **arrays, **meta)  # type: ignore[arg-type]
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        for name, value in {**arrays, **meta}.items():
            file[name] = value
    for path in (tmp_path / "a.npz", tmp_path / "a.hdf5"):
        if len(names) > 1:
            with pytest.raises(FormatError, match="give channel, one of 'H1', 'L1'") as caught:
                read_strain(path, file_name=path.name, gps_time=EVENT)
            assert caught.value.field == "channel"
        strain = read_strain(path, file_name=path.name, gps_time=EVENT, **options)  # type: ignore[arg-type]
        assert (strain.ifo, strain.gps_start, strain.sample_rate_hz) == (detector, GPS, RATE)
        np.testing.assert_array_equal(strain.values, len(names) * NOISE)


def test_hdf5_saved_by_matlab_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    with h5py.File(path, "w", userblock_size=512) as file:
        file["strain"] = NOISE[:, None]
        file["fs"], file["t0"] = np.array([[float(RATE)]]), np.array([[float(GPS)]])
    with path.open("r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64 HDF5 schema 1.00 .")
    strain = read_strain(path, file_name=path.name, gps_time=EVENT)
    assert (strain.gps_start, strain.sample_rate_hz, strain.is_start_assumed) == (GPS, RATE, False)
    np.testing.assert_array_equal(strain.values, NOISE)


@KINDS
@pytest.mark.parametrize(
    "meta",
    [{"start_time_ms": GPS * 1000}, {"t0_ms": GPS * 1000}, {"gps_start_us": GPS * 10**6}],
    ids="+".join,
)
def test_starts_in_parts_of_a_second(tmp_path: Path, kind: str, meta: dict[str, object]) -> None:
    """Starts in milliseconds or microseconds are read."""
    assert _of_kind(kind, tmp_path / "a", meta).gps_start == GPS


@KINDS
@pytest.mark.parametrize(
    "meta", [{"start_mjd": 57279.41}, {"segment_start": GPS * 1000}], ids="+".join
)
def test_starts_that_are_no_gps_time_are_refused(
    tmp_path: Path, kind: str, meta: dict[str, object]
) -> None:
    with pytest.raises(FormatError, match=f"says when it starts .{next(iter(meta))} "):
        _of_kind(kind, tmp_path / "a", meta)


@pytest.mark.parametrize(
    ("unit", "factor"), [("milliseconds", 1e3), ("microseconds", 1e6), ("nanoseconds", 1e9)]
)
def test_times_of_samples_in_another_unit_name_it(tmp_path: Path, unit: str, factor: float) -> None:
    """The unit of times is recognised and named, instead of a wrong rate or a table of triggers."""
    times = np.arange(NOISE.size) / RATE * factor
    np.savez(tmp_path / "a.npz", strain=NOISE, time=times)
    np.savetxt(tmp_path / "a.txt", np.column_stack([times, NOISE]), fmt=("%.6f", "%.9e"))
    for name in ("a.npz", "a.txt"):
        with pytest.raises(StrainError, match=f"seem to be in {unit}.*write them in seconds"):
            read_strain(tmp_path / name, file_name=name, gps_time=EVENT)


@KINDS
@pytest.mark.parametrize("name", ["start_time_ms", "segment_start", "duration", "peak_index"])
def test_an_unknown_start_is_assumed(tmp_path: Path, kind: str, name: str) -> None:
    assert _of_kind(kind, tmp_path / "a", {name: float("nan")}).is_start_assumed


@KINDS
@pytest.mark.parametrize(
    "meta",
    [
        *({name: GPS + 8.0} for name in ("gps_center", "centre_time", "t_mid", "midpoint_gps")),
        *({name: GPS + 16} for name in ("gps_end", "t_end", "end_time", "stop_gps")),
    ],
    ids="+".join,
)
def test_a_series_that_states_its_middle_or_its_end_is_placed_by_it(
    tmp_path: Path, kind: str, meta: dict[str, object]
) -> None:
    """A series is placed by its stated middle or end."""
    strain = _of_kind(kind, tmp_path / "a", meta)
    assert (strain.gps_start, strain.is_start_assumed) == (GPS, False)


@KINDS
def test_a_series_without_a_start_has_its_middle_at_the_event_that_it_names(
    tmp_path: Path, kind: str
) -> None:
    """A series without a start is centred on the event that it names, not on the time asked for."""
    strain = _of_kind(kind, tmp_path / "a", {"event_time": float(EVENT) - 0.5})
    assert (strain.gps_start, strain.is_start_assumed) == (EVENT - Decimal("8.5"), True)


def _with_times(folder: Path, times: np.ndarray, name: str = "times", **meta: float) -> list[Path]:
    """Write an npz and an HDF5 file of strain with its times and these single values."""
    np.savez(folder / "a.npz", strain=NOISE, **{name: times}, **meta)  # type: ignore[arg-type]
    with h5py.File(folder / "a.h5", "w") as file:
        for one, value in {"strain": NOISE, name: times, **meta}.items():
            file[one] = value
    return [folder / "a.npz", folder / "a.h5"]


@pytest.mark.parametrize("name", ["timestamps", "tvec", "time_array", "x", "Time", "gps_time_s"])
@pytest.mark.parametrize("n_more", [0, 1])
def test_an_array_of_gps_times_counts_whatever_its_name(
    tmp_path: Path, name: str, n_more: int
) -> None:
    """An array of GPS times with any name places the strain, which is not assumed to be centred."""
    times = GPS + np.arange(NOISE.size + n_more) / RATE
    for path in _with_times(tmp_path, times, name, sample_rate=RATE):
        strain = read_strain(path, file_name=path.name, gps_time=EVENT)
        assert (strain.gps_start, strain.is_start_assumed) == (GPS, False)
        np.testing.assert_array_equal(strain.values, NOISE)


@pytest.mark.parametrize(
    "meta", [{"t0": GPS + 8.0}, {"epoch": GPS + 8}, {"epoch": 0}, {"start_time": GPS - 100}]
)
def test_the_time_of_each_sample_counts_before_another_stated_start(
    tmp_path: Path, meta: dict[str, float]
) -> None:
    """Times of samples count first: ``t0`` may be the event, and a start that before cropping."""
    for path in _with_times(tmp_path, TIMES, sample_rate=RATE, **meta):
        assert read_strain(path, file_name=path.name, gps_time=EVENT).gps_start == GPS


@pytest.mark.parametrize(
    ("times", "meta", "reason"),
    [
        (TIMES, {"fs": 2 * RATE}, "says 2048 Hz, but its times give 1024 samples a second"),
        (TIMES * 1e3, {"fs": RATE}, "seem to be in milliseconds"),
        ((TIMES - GPS - 8) * 1e3, {"fs": RATE, "t0": GPS + 8}, "seem to be in milliseconds"),
        (TIMES - GPS - 8, {"fs": RATE, "gps_start": GPS}, "its times begin at -8 s"),
    ],
)
def test_times_that_contradict_the_stated_start_or_rate_are_refused(
    tmp_path: Path, times: np.ndarray, meta: dict[str, float], reason: str
) -> None:
    for path in _with_times(tmp_path, times, **meta):
        with pytest.raises(StrainError, match=reason):
            read_strain(path, file_name=path.name, gps_time=EVENT)


def test_numbers_of_the_samples_beside_strain_are_no_times(tmp_path: Path) -> None:
    for path in _with_times(tmp_path, np.arange(NOISE.size), fs=RATE, t0=GPS):
        assert read_strain(path, file_name=path.name, gps_time=EVENT).gps_start == GPS


def test_text_that_states_its_middle_or_a_rate_that_its_times_deny(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    np.savetxt(path, NOISE, header=f"sample rate {RATE} Hz, centred on GPS {GPS + 8}")
    strain = read_strain(path, file_name=path.name, gps_time=EVENT)
    assert (strain.gps_start, strain.is_start_assumed) == (GPS, False)
    times = (TIMES - GPS) * 1e3  # as seconds, they would fill only every thousandth sample
    np.savetxt(
        path,
        np.column_stack([times, NOISE]),
        fmt=("%.6f", "%.9e"),
        header=f"sample rate {RATE} Hz, start {GPS}",
    )
    with pytest.raises(StrainError, match="seem to be in milliseconds"):
        read_strain(path, file_name=path.name, gps_time=EVENT)


@pytest.mark.parametrize(
    ("attribute", "start", "reason"),
    [(64 * RATE, GPS, "Npoints is of 64 s"), (16 * RATE, GPS + 5, "as meta/GPSstart, at")],
)
def test_a_file_of_gwosc_that_denies_itself_is_refused(
    tmp_path: Path, attribute: int, start: int, reason: str
) -> None:
    path = tmp_path / "a.hdf5"
    with h5py.File(path, "w") as file:
        strain = file.create_dataset("strain/Strain", data=NOISE)
        strain.attrs.update(Xspacing=1 / RATE, Xstart=GPS, Npoints=attribute)
        file["meta/GPSstart"] = start
    with pytest.raises(StrainError, match=reason):
        read_strain(path, file_name=path.name, gps_time=EVENT)


@pytest.mark.parametrize("kind", ["npz", "attributes"])
@pytest.mark.parametrize(
    ("name", "detector"),
    [
        ("E1", "E1"),
        ("C1", "C1"),
        ("LHO_4k", "H1"),
        ("LIGO-Livingston Observatory", "L1"),
        ("ET", None),
        ("X1", None),
        ("Cosmic Explorer", None),
    ],
)
def test_the_stated_detector_has_priority_and_must_be_known(
    tmp_path: Path, kind: str, name: str, detector: str | None
) -> None:
    """The detector stated in a file has priority over the one in its name, and must be known."""
    values: dict[str, object] = {"gps_start": GPS, "detector": name}
    if detector is None:
        with pytest.raises(
            StrainError, match=f"states the detector '{name}', which is unknown: give ifo, one of"
        ):
            _of_kind(kind, tmp_path / "V1_a", values)
    else:
        assert _of_kind(kind, tmp_path / "V1_a", values).ifo == detector


@KINDS
def test_a_start_and_end_that_do_not_fit_the_series_are_refused_as_ambiguous(
    tmp_path: Path, kind: str
) -> None:
    """They may be those of a longer segment from which the series was cut, so it is refused."""
    meta: dict[str, object] = {"segment_start": GPS - 50, "segment_end": GPS + 50}
    with pytest.raises(StrainError, match=r"starts at 1126259396 and segment_end 1126259496, but"):
        _of_kind(kind, tmp_path / "a", meta)
    meta = {"segment_start": GPS, "segment_end": GPS + 16}
    assert _of_kind(kind, tmp_path / "b", meta).gps_start == GPS


@KINDS
@pytest.mark.parametrize(
    "meta",
    [
        {"gps_start": GPS, "gps_end": GPS + 64},
        {"t0": GPS, "duration": 32},
        {"gps_start": GPS, "n_samples": 4096},
        {"t0": GPS, "segment": [GPS, GPS + 64]},
        {"segment": [GPS, GPS + 64]},
        {"duration": 32},
    ],
    ids="+".join,
)
def test_an_end_or_a_length_that_the_samples_do_not_have_is_refused(
    tmp_path: Path, kind: str, meta: dict[str, object]
) -> None:
    """A stated end or length that the samples contradict is refused: so may the start be wrong."""
    with pytest.raises(StrainError, match=r"but holds 16(,384)? s"):
        _of_kind(kind, tmp_path / "a", meta)


@KINDS
@pytest.mark.parametrize(
    "meta",
    [
        {"segment": [GPS, GPS + 16]},
        {"gps_start": GPS, "gps_end": GPS + 16, "duration": 16},
        {"gps_start": GPS, "duration": 0.3, "segment_start": GPS - 50, "segment_end": GPS + 50},
        {"gps_start": GPS, "tstart": GPS + 9, "tend": GPS + 10},
        {"gps_start": GPS, "trigger_window": [GPS + 9, GPS + 10]},
    ],
    ids="+".join,
)
def test_a_span_that_fits_and_those_of_something_else_are_no_contradiction(
    tmp_path: Path, kind: str, meta: dict[str, object]
) -> None:
    assert _of_kind(kind, tmp_path / "a", meta).gps_start == GPS


@KINDS
def test_the_sample_of_the_glitch_places_strain_without_a_start(tmp_path: Path, kind: str) -> None:
    """The position of the glitch among the samples places strain without a start."""
    strain = _of_kind(kind, tmp_path / "a", {"event_index": 10 * RATE})
    assert (strain.gps_start, strain.is_start_assumed) == (EVENT - 10, True)
    with pytest.raises(StrainError, match="says event_index 20000, which cannot be the position"):
        _of_kind(kind, tmp_path / "b", {"event_index": 20_000})
    with pytest.raises(StrainError, match=r"says peak_time 3.5, which may be the seconds from"):
        _of_kind(kind, tmp_path / "c", {"peak_time": 3.5})
    with pytest.raises(StrainError, match=r"says start -4, which may be the seconds from"):
        _of_kind(kind, tmp_path / "d", {"start": -4.0})
    for number, meta in enumerate(({"peak_time": 8.0}, {"start": -8.0})):
        assert _of_kind(kind, tmp_path / str(number), dict(meta)).gps_start == EVENT - 8


def test_times_of_another_shape_beside_strain(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["strain"], file["times"] = NOISE[None], TIMES[:, None]
    strain = read_strain(tmp_path / "a.h5", file_name="a.h5", gps_time=EVENT)
    assert (strain.gps_start, strain.sample_rate_hz) == (GPS, RATE)
