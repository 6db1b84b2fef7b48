"""HDF5 files of several series: which one is read, with which rate, start and detector."""

from __future__ import annotations

import time
from decimal import Decimal
from pathlib import Path

import h5py
import numpy as np
import pytest

from glitch.errors import FormatError, StrainError
from glitch.strain import Strain, read_strain
from glitch.strain.reading import open_strain
from glitch.strain.series import check_gps_time
from glitch.strain.source import Request

RATE = 1024
GPS = 1126259446
NOISE = np.random.default_rng(3).normal(size=16 * RATE) * 1e-21


def _read(path: Path, gps_time: float | None = None, **given: str) -> Strain:
    when = None if gps_time is None else Decimal(str(gps_time))
    return read_strain(path, file_name=path.name, gps_time=when, **given)  # type: ignore[arg-type]


def _pycbc(file: h5py.File, path: str, values: np.ndarray, start: float = GPS) -> None:
    file[path] = values
    file[path].attrs.update({"delta_t": 1 / RATE, "start_time": float(start)})


@pytest.fixture
def several(tmp_path: Path) -> Path:
    """PyCBC's challenge layout: a group for each detector, with a segment for each start."""
    path = tmp_path / "mdc.hdf"
    with h5py.File(path, "w") as file:
        _pycbc(file, f"H1/{GPS}", NOISE)
        _pycbc(file, f"L1/{GPS}", 2 * NOISE)
        _pycbc(file, f"L1/{GPS + 100}", 3 * NOISE, GPS + 100)
    return path


def test_every_listed_name_is_accepted(several: Path) -> None:
    with pytest.raises(FormatError, match="several series: give channel, one of ") as caught:
        _read(several)
    listed = str(caught.value).split("'")[3::2]
    assert listed == [f"H1/{GPS}", f"L1/{GPS}", f"L1/{GPS + 100}"]
    for factor, name in enumerate(listed, 1):
        strain = _read(several, channel=name)
        np.testing.assert_array_equal(strain.values, factor * NOISE)
        assert strain.ifo == name[:2]


def test_a_rate_and_a_spacing_that_differ_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.hdf5"
    with h5py.File(path, "w") as file:
        _pycbc(file, "s", NOISE)
        file["s"].attrs["sample_rate"] = RATE
    assert _read(path).sample_rate_hz == RATE
    with h5py.File(path, "r+") as file:
        file["s"].attrs["sample_rate"] = 4 * RATE
    with pytest.raises(StrainError, match="says 4096 Hz and a spacing that gives 1024 Hz"):
        _read(path)
    np.savez(tmp_path / "a.npz", strain=NOISE, dt=1 / RATE, fs=4 * RATE)
    with pytest.raises(StrainError, match="says 4096 Hz and a spacing that gives 1024 Hz"):
        _read(tmp_path / "a.npz")


def test_a_rate_in_khz_is_taken_where_it_is_given_in_hz(tmp_path: Path) -> None:
    path = tmp_path / "a.hdf5"
    with h5py.File(path, "w") as file:
        file["s"] = NOISE
        file["s"].attrs.update({"sample_rate": RATE / 1000, "start_time": float(GPS)})
    with pytest.raises(
        StrainError, match=r"not 1\.024: .*give sample_rate_hz where that is in kHz"
    ):
        _read(path)
    assert _read(path, sample_rate_hz=float(RATE)).sample_rate_hz == RATE  # type: ignore[arg-type]


def test_a_spacing_of_few_digits_gives_way_to_the_rate_that_is_given(tmp_path: Path) -> None:
    path = tmp_path / "a.hdf5"
    for step, is_enough in ((0.000976562, True), (0.000977, False)):  # 1/1024, rounded
        with h5py.File(path, "w") as file:
            file["s"] = NOISE
            file["s"].attrs.update({"dx": step, "x0": float(GPS)})
        if not is_enough:
            with pytest.raises(StrainError, match=r"not 1023\.54: .*in kHz or rounded"):
                _read(path)
        options = {} if is_enough else {"sample_rate_hz": float(RATE)}
        assert _read(path, **options).sample_rate_hz == RATE  # type: ignore[arg-type]


def test_detector_and_time_choose(several: Path) -> None:
    assert _read(several, ifo="H1").values[0] == NOISE[0]
    assert _read(several, GPS + 8, ifo="L1").values[0] == 2 * NOISE[0]
    strain = _read(several, GPS + 108)
    assert (strain.values[0], strain.gps_start) == (3 * NOISE[0], GPS + 100)
    with pytest.raises(StrainError, match="holds strain of H1, but V1 was requested"):
        _read(several, channel=f"H1/{GPS}", ifo="V1")


def test_series_names_with_brackets_and_commas_are_read(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    names = ["raw strain [H1], first", "raw strain [H1] (second)"]
    with h5py.File(path, "w") as file:
        for factor, name in enumerate(names, 1):
            _pycbc(file, name, factor * NOISE)
    assert _read(path, channel=names[1]).values[0] == 2 * NOISE[0]
    assert _read(path, channel=names[0]).ifo == "H1"


def test_long_numbers_in_names_keep_nobody_for_long(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        for name in ("a", "b"):
            _pycbc(file, name + "0" * 30_000 + "!", NOISE)
    started = time.process_time()
    with pytest.raises(FormatError, match="several series"):
        _read(path)
    assert time.process_time() - started < 2


@pytest.mark.parametrize("on", ["group attributes", "group datasets", "file attributes"])
def test_rate_and_start_around_a_series_apply_to_it(tmp_path: Path, on: str) -> None:
    path = tmp_path / "x.h5"
    attributes = {"sampling_frequency": float(RATE), "start_time": GPS + 0.5}
    with h5py.File(path, "w") as file:
        for ifo in ("H1", "L1"):
            group = file.create_group(ifo)
            group["time_domain_strain"] = NOISE
            if on == "group datasets":
                group["sampling_frequency"], group["start_time"] = attributes.values()
            elif on == "group attributes":
                group.attrs.update(attributes)
        if on == "file attributes":
            file.attrs.update(attributes)
    strain = _read(path, ifo="L1")
    assert (strain.ifo, strain.sample_rate_hz) == ("L1", RATE)
    assert strain.gps_start == Decimal(GPS) + Decimal("0.5")


def test_masks_and_spectra_are_not_read_as_strain(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        for name, step, values in (
            ("H1:STRAIN", 1 / RATE, NOISE),
            ("H1:DQMASK", 1.0, np.ones(16)),
            ("H1:PSD", 0.5, np.ones(1024)),
        ):
            file[name] = values
            file[name].attrs.update({"dx": step, "x0": GPS, "name": name, "xunit": "s"})
        file["H1:PSD"].attrs["xunit"] = "Hz"
    strain = _read(path)
    assert (strain.channel, strain.values.size) == ("H1:STRAIN", NOISE.size)


def test_plain_strain_is_preferred_and_a_triggers_channel_before_it(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        for factor, name in enumerate(("H1:STRAIN_CLEAN", "H1:STRAIN"), 1):
            file[name] = factor * NOISE
            file[name].attrs.update({"dx": 1 / RATE, "x0": GPS, "channel": name})
    assert _read(path).channel == "H1:STRAIN"
    assert _read(path, preferred_channel="H1:STRAIN_CLEAN").channel == "H1:STRAIN_CLEAN"
    assert _read(path, channel="strain").channel == "H1:STRAIN"


STRETCHES = {
    "gwpy": [("H1:X-STRAIN_1", {"channel": "H1:X-STRAIN"}), ("two", {"channel": "H1:X-STRAIN"})],
    "PyCBC": [(f"H1/{GPS}", {}), (f"H1/{GPS + 8}", {})],
}


def _stretches(path: Path, writer: str, starts: tuple[int, int] = (0, 8), gain: float = 1) -> Path:
    (first, attributes), (second, other_attributes) = STRETCHES[writer]
    with h5py.File(path, "w") as file:
        _pycbc(file, first, NOISE[: 8 * RATE], GPS)
        at = starts[1]
        _pycbc(file, second, gain * NOISE[at * RATE : (at + 8) * RATE], GPS + at)
        file[first].attrs.update(attributes)
        file[second].attrs.update(other_attributes)
    return path


@pytest.mark.parametrize("writer", STRETCHES)
@pytest.mark.parametrize("start", [8, 6])
def test_stretches_of_one_channel_are_one_series(tmp_path: Path, writer: str, start: int) -> None:
    strain = _read(_stretches(tmp_path / "a.h5", writer, (0, start)), GPS + 7.5)
    np.testing.assert_array_equal(strain.values, NOISE[: (start + 8) * RATE])
    assert (strain.gps_start, strain.ifo) == (GPS, "H1")


def test_between_stretches_lies_a_hole(tmp_path: Path) -> None:
    path = _stretches(tmp_path / "a.h5", "gwpy")
    with h5py.File(path, "r+") as file:
        file["two"].attrs["start_time"] = float(GPS + 9)
    assert _read(path, GPS + 4).values.size == 8 * RATE
    values = _read(path).values
    assert np.flatnonzero(np.isnan(values)).tolist() == list(range(8 * RATE, 9 * RATE))
    np.testing.assert_array_equal(values[9 * RATE :], NOISE[8 * RATE :])


def test_stretches_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    path = _stretches(tmp_path / "a.h5", "gwpy", (0, 6), gain=1.01)
    with pytest.raises(FormatError, match="hold different samples of the same time"):
        _read(path, GPS + 7.5)
    assert _read(path, GPS + 8, channel="two").gps_start == GPS + 6


@pytest.mark.parametrize(
    ("name", "attributes", "ifo"),
    [
        ("strain", {"ifo": "L1"}, "L1"),
        ("strain", {"detector": b"LIGO Livingston"}, "L1"),
        ("V1/strain", {}, "V1"),
    ],
)
def test_the_detector_stated_by_a_series_has_priority(
    tmp_path: Path, name: str, attributes: dict[str, object], ifo: str
) -> None:
    """The detector of a series has priority over that of the file and of its name."""
    path = tmp_path / f"H-H1_X-{GPS}-16.h5"
    with h5py.File(path, "w") as file:
        _pycbc(file, name, NOISE)
        file[name].attrs.update(attributes)
        file.attrs["ifo"] = "K1"
    assert _read(path).ifo == ifo
    with h5py.File(path, "r+") as file:
        for key in attributes:
            del file[name].attrs[key]
    assert _read(path).ifo == ("V1" if "/" in name else "K1")


@pytest.mark.parametrize(
    "attributes",
    [
        {"x0": GPS * 1000.0, "dx": 1000 / RATE, "xunit": "ms"},
        {"x0": float(GPS), "dx": 1 / RATE, "xunit": "second"},
        {"epoch": GPS * 10**9, "sample_rate": RATE},
        {"t0": "2015-09-14T09:50:29", "sample_rate": f"{RATE} Hz"},
        {"t0": f"{GPS} s", "sample_rate": str(RATE)},
    ],
)
def test_starts_and_rates_of_any_type_are_read(
    tmp_path: Path, attributes: dict[str, object]
) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["H1:X-STRAIN"] = NOISE
        file["H1:X-STRAIN"].attrs.update(attributes)
    strain = _read(path, GPS + 5)
    assert (strain.gps_start, strain.sample_rate_hz) == (GPS, RATE)


def test_a_start_that_cannot_be_read_is_not_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["strain"] = NOISE
        file["strain"].attrs.update({"t0": "14 September", "sample_rate": RATE})
    with pytest.raises(
        FormatError, match=r"says when it starts \(t0\), but that is not a GPS time"
    ):
        _read(path, GPS + 5)


def test_a_column_of_times_beside_a_series(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["strain"], file["time"] = NOISE, GPS + np.arange(NOISE.size) / RATE
    strain = _read(path, GPS + 5)
    assert (strain.gps_start, strain.sample_rate_hz) == (GPS, RATE)
    with h5py.File(path, "r+") as file:
        file["time"][8 * RATE] -= 1
    with pytest.raises(StrainError, match="the time in row 8193 lies before the one above it"):
        _read(path, GPS + 5)


@pytest.mark.parametrize("kind", ["h5", "npz"])
@pytest.mark.parametrize("stated", [{}, {"fs": RATE}, {"fs": RATE, "t0": GPS}, {"t0": GPS - 7}])
@pytest.mark.parametrize("gap_s", [1 / RATE, 0.1, 3.0])
def test_a_gap_in_the_times_beside_a_series_stays_missing(
    tmp_path: Path, kind: str, stated: dict[str, float], gap_s: float
) -> None:
    """The length of the times was taken for the rate: the glitch was sought at a wrong time."""
    times = GPS + np.arange(NOISE.size) / RATE
    is_there = (times < GPS + 4) | (times >= GPS + 4 + gap_s)
    path = tmp_path / f"a.{kind}"
    stamps = times[is_there] - (stated["t0"] if stated.get("t0") == GPS - 7 else 0)
    if kind == "npz":
        np.savez(path, strain=NOISE[is_there], times=stamps, **stated)  # type: ignore[arg-type]
    else:
        with h5py.File(path, "w") as file:
            file["strain"], file["times"] = NOISE[is_there], stamps
            file["strain"].attrs.update(stated)
    strain = _read(path, GPS + 10)
    assert (strain.gps_start, strain.sample_rate_hz) == (GPS, RATE)
    np.testing.assert_array_equal(strain.values, np.where(is_there, NOISE, np.nan))


def test_a_stretch_may_begin_within_a_second_that_is_marked_missing(tmp_path: Path) -> None:
    path = tmp_path / "a.hdf5"
    with h5py.File(path, "w") as file:
        strain = file.create_dataset("strain/Strain", data=np.arange(4.0 * RATE))
        strain.attrs["Xspacing"] = 1 / RATE
        file["meta/GPSstart"] = 1_000_000_000
        file["quality/simple/DQmask"] = np.array([127, 0, 127, 126])
    with open_strain(path, Request(path.name)) as (source, _):
        part = source.read(RATE + 100, 4 * RATE)
    assert np.flatnonzero(np.isfinite(part)).tolist() == list(range(RATE - 100, 2 * RATE - 100))
    assert part[RATE - 100] == 2 * RATE


@pytest.mark.parametrize("mark", ["bits", "type", "name"])
def test_a_state_vector_is_no_strain(tmp_path: Path, mark: str) -> None:
    """A state vector is refused: at the sample rate of strain, its bits could be whitened."""
    states = np.random.default_rng(4).integers(0, 8, NOISE.size)
    path = tmp_path / "a.hdf5"
    with h5py.File(path, "w") as file:
        _pycbc(file, "state", states.astype("u4") if mark == "type" else states)
        if mark == "bits":
            file["state"].attrs["bits"] = ["ready", "locked", "observing"]
        if mark == "name":
            file["state"].attrs["name"] = "H1:ODC-MASTER_CHANNEL_OUT_DQ"
    with pytest.raises(FormatError, match="holds bits, like a state vector"):
        _read(path)
    with h5py.File(path, "a") as file:
        _pycbc(file, "h", NOISE)
    np.testing.assert_array_equal(_read(path).values, NOISE)


_LAL_TIME = np.dtype([("gpsSeconds", "<i4"), ("gpsNanoSeconds", "<i4")])
_LAL_EPOCHS: tuple[dict[str, object], ...] = (
    {"epoch": np.array((GPS, 500_000_000), _LAL_TIME)[()]},
    {"gpsSeconds": GPS, "gpsNanoSeconds": 500_000_000},
)


@pytest.mark.parametrize("is_group", [False, True])
@pytest.mark.parametrize("epoch", _LAL_EPOCHS)
def test_series_of_lal(tmp_path: Path, epoch: dict[str, object], *, is_group: bool) -> None:
    """LAL writes the start as seconds and nanoseconds, with attributes of its own names."""
    path = tmp_path / "lal.h5"
    with h5py.File(path, "w") as file:
        for number, name in enumerate(("H1:GDS-CALIB_STRAIN", "L1:GDS-CALIB_STRAIN"), 1):
            file[f"{number}/data"] = number * NOISE
            node = file[f"{number}"] if is_group else file[f"{number}/data"]
            node.attrs.update({"deltaT": 1 / RATE, "f0": 0.0, "name": name, **epoch})
    for number, ifo in enumerate(("H1", "L1"), 1):
        strain = _read(path, ifo=ifo)
        assert (strain.gps_start, strain.sample_rate_hz) == (Decimal(f"{GPS}.5"), RATE)
        assert (strain.ifo, strain.channel) == (ifo, f"{ifo}:GDS-CALIB_STRAIN")
        np.testing.assert_array_equal(strain.values, number * NOISE)


@pytest.mark.parametrize("link", ["hard", "soft"])
def test_a_series_of_two_names_is_one_series(tmp_path: Path, link: str) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        _pycbc(file, "data/strain", NOISE)
        file["V1:STRAIN"] = file["data/strain"] if link == "hard" else h5py.SoftLink("/data/strain")
        file["loop"] = h5py.SoftLink("/loop")
    assert _read(path).ifo == "V1"
    for channel in ("V1:STRAIN", "data/strain"):
        strain = _read(path, channel=channel)
        assert strain.ifo == "V1"
        np.testing.assert_array_equal(strain.values, NOISE)


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("H1:GDS-CALIB_STRAIN", {"channel": "L1:GDS-CALIB_STRAIN"}),
        ("H1:GDS-CALIB_STRAIN", {"ifo": "L1"}),
        ("strain", {"ifo": "H1", "name": "L1:STRAIN"}),
    ],
)
def test_two_detectors_of_one_series_are_asked_about(
    tmp_path: Path, place: str, said: dict[str, str]
) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        _pycbc(file, place, NOISE)
        file[place].attrs.update(said)
    with pytest.raises(StrainError, match="the detectors H1 and L1 are named for the series"):
        _read(path)
    assert _read(path, ifo="L1").ifo == "L1"


@pytest.mark.parametrize("kind", ["h5", "npz", "txt"])
def test_the_name_states_the_start_of_a_series_that_begins_at_zero(
    tmp_path: Path, kind: str
) -> None:
    """As gwpy writes a series without an epoch; times may count from the first sample, too."""
    for name in (f"H-H1_X-{GPS}-16.{kind}", f"H-H1_X-{GPS}-15.{kind}", f"a.{kind}"):
        path = tmp_path / name
        times = np.arange(NOISE.size) / RATE
        if kind == "txt":
            np.savetxt(path, np.column_stack([times, NOISE]), fmt=("%.9f", "%.9e"))
        elif kind == "npz":
            np.savez(path, strain=NOISE, times=times)
        else:
            with h5py.File(path, "w") as file:
                file["H1:STRAIN"] = NOISE
                file["H1:STRAIN"].attrs.update({"x0": 0.0, "dx": 1 / RATE})
        strain = _read(path, GPS + 8.0) if "-16." in name else _read(path, 8.0)
        assert strain.gps_start == (GPS if "-16." in name else 0)
        if "-16." not in name:
            with pytest.raises(StrainError, match="starts at 0 s, which is no GPS time: save it"):
                check_gps_time(strain.gps_start, NOISE.size, 1024.0, Decimal(GPS + 8), 1.0)
