"""Arrays of views with declared axes: npy, npz, HDF5."""

import io
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from glitch.errors import FormatError, GlitchError, TooLargeError
from glitch.images import holds_views, read_views
from glitch.views import Preprocessing

RECIPE = Preprocessing()
VIEWS = np.random.default_rng(3).random((4, 128, 128), dtype=np.float32)


def write(path: Path, **arrays: Any) -> Path:
    if path.suffix == ".npz":
        np.savez_compressed(path, **arrays)
    else:
        with h5py.File(path, "w") as file:
            for name, array in arrays.items():
                file.create_dataset(name, data=array, compression="gzip")
    return path


@pytest.fixture(params=["views.npz", "views.hdf5"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / str(request.param)


def test_views_on_the_grid_come_in_unchanged(path: Path) -> None:
    write(path, views=VIEWS)
    assert holds_views(path)
    views = read_views(path, path.name)
    np.testing.assert_allclose(views.values, VIEWS, atol=1e-6)
    assert views.observed.all()


def test_an_npy_on_the_grid_comes_in_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "views.npy"
    np.save(path, np.asfortranarray(VIEWS))
    assert holds_views(path)
    np.testing.assert_allclose(read_views(path, path.name).values, VIEWS, atol=1e-6)


def test_energy_is_clipped_before_it_is_averaged(path: Path) -> None:
    energy = np.zeros((1, 256, 256))
    energy[0, ::2] = 51.0  # twice the clipping energy
    edges = 10 * 204.8 ** (np.arange(257) / 256)
    frequency_hz = np.sqrt(edges[1:] * edges[:-1])
    write(path, energy=energy, durations_s=[1.0], frequency_hz=frequency_hz)
    views = read_views(path, path.name)
    np.testing.assert_allclose(views.view(1.0), 0.5, atol=1e-6)
    assert views.durations_s == (1.0,)


def test_our_own_axes_leave_the_views_unchanged(path: Path) -> None:
    times = np.stack([RECIPE.times_s(duration) for duration in RECIPE.durations_s])
    write(path, views=VIEWS, frequency_hz=RECIPE.frequencies_hz(), time_s=times)
    np.testing.assert_allclose(read_views(path, path.name).values, VIEWS, atol=1e-5)


def test_a_longer_time_axis_is_cut_to_the_window(path: Path) -> None:
    times = (np.arange(1000) + 0.5) / 1000 * 6 - 3  # -3 to 3 s
    energy = np.where(np.abs(times) < 1, 25.5, 0.0) * np.ones((1, 128, 1))
    write(path, energy=energy, time_s=times, durations_s=[4.0])
    view = read_views(path, path.name).view(4.0)
    np.testing.assert_allclose(view[:, 33:95], 1, atol=1e-6)
    assert not view[:, :31].any()


def test_the_window_is_the_widest_that_the_time_axis_holds(path: Path) -> None:
    times = (np.arange(300) + 0.5) / 300 * 3 - 1.5
    write(path, views=np.zeros((1, 128, 300)), time_s=times)
    assert read_views(path, path.name).durations_s == (2.0,)


def test_rows_outside_the_files_frequencies_are_not_observed(path: Path) -> None:
    frequency_hz = np.geomspace(10, 512, 200)
    write(path, views=np.ones((1, 200, 64)), durations_s=[0.5], frequency_hz=frequency_hz)
    views = read_views(path, path.name)
    expected = RECIPE.frequencies_hz() < 512
    assert np.abs(views.observed[0].astype(int) - expected).sum() <= 1
    assert not views.values[0][~views.observed[0]].any()
    np.testing.assert_allclose(views.values[0][views.observed[0]], 1, atol=1e-6)


def test_rows_of_nan_or_marked_rows_are_not_observed(path: Path) -> None:
    values = VIEWS.copy()
    values[0, 120:] = np.nan
    marks = np.ones((4, 128), dtype=bool)
    marks[2, :5] = False
    write(path, views=values, observed=marks)
    views = read_views(path, path.name)
    np.testing.assert_array_equal(np.flatnonzero(~views.observed[0]), np.arange(120, 128))
    np.testing.assert_array_equal(np.flatnonzero(~views.observed[2]), np.arange(5))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"image": VIEWS}, "neither an array 'views' nor"),
        ({"views": VIEWS[0]}, "three axes"),
        ({"views": VIEWS[:, :0]}, "three axes"),
        ({"views": VIEWS * 25.5}, "Name the array 'energy'"),
        ({"views": VIEWS - 0.5}, "negative"),
        ({"views": np.where(VIEWS > 0.999, np.nan, VIEWS)}, "NaN or infinite"),
        ({"views": np.full((4, 128, 128), np.inf)}, "NaN or infinite"),
        ({"views": np.full((4, 128, 128), np.nan)}, "covers no frequency"),
        ({"views": VIEWS[:2]}, "does not say which"),
        ({"views": VIEWS[:, :100]}, "no 'frequency_hz'"),
        ({"views": VIEWS, "durations_s": [0.5, 1, 2, 3]}, "no view of 3 s"),
        ({"views": VIEWS, "durations_s": [0.5, 1, 2, 2]}, "twice"),
        ({"views": VIEWS, "durations_s": [0.5]}, "must have the shape"),
        ({"views": VIEWS, "frequency_hz": np.zeros(128)}, "above zero"),
        ({"views": VIEWS, "frequency_hz": np.full(128, 20.0)}, "must ascend"),
        ({"views": VIEWS, "frequency_hz": np.geomspace(3000, 4000, 128)}, "covers no frequency"),
        ({"views": VIEWS, "time_s": np.linspace(0.3, 0.9, 128)}, "less than the shortest"),
        ({"views": VIEWS, "time_s": np.full(128, np.nan)}, "NaN or infinite"),
        (
            {"views": VIEWS[:1], "time_s": np.linspace(-1, 1, 128), "durations_s": [4.0]},
            "needs -2 to 2 s",
        ),
        ({"views": VIEWS.astype(complex)}, "plain numbers"),
        ({"views": np.full((4, 128, 128), b"x")}, "plain numbers"),
    ],
)
def test_impossible_arrays_are_refused(path: Path, arrays: dict[str, Any], message: str) -> None:
    if path.suffix == ".hdf5" and 0 in np.shape(next(iter(arrays.values()))):
        pytest.skip("h5py cannot compress an empty dataset")
    write(path, **arrays)
    with pytest.raises(GlitchError, match=message):
        read_views(path, path.name)


def test_pickled_objects_are_never_read(tmp_path: Path) -> None:
    path = tmp_path / "views.npz"
    np.savez(path, views=np.array([{"a": 1}], dtype=object))
    assert not holds_views(path)
    with pytest.raises(FormatError, match="Pickled objects are never read"):
        read_views(path, path.name)


def declared_npy(shape: tuple[int, ...]) -> bytes:
    out = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        out, {"descr": "<f8", "fortran_order": False, "shape": shape}
    )
    return out.getvalue()


@pytest.mark.parametrize("kind", ["npy", "npz"])
def test_a_large_declared_shape_is_refused_before_decoding(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"views.{kind}"
    bomb = declared_npy((4, 100_000, 100_000))
    if kind == "npy":
        path.write_bytes(bomb)
    else:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("views.npy", bomb + bytes(10_000_000))
    with pytest.raises(TooLargeError, match="declares 40,000,000,000 values"):
        read_views(path, path.name)


def test_a_large_hdf5_dataset_is_refused_before_decoding(tmp_path: Path) -> None:
    path = tmp_path / "views.hdf5"
    with h5py.File(path, "w") as file:
        file.create_dataset("views", shape=(4, 100_000, 100_000), dtype="f4", compression="gzip")
    with pytest.raises(TooLargeError, match="at most"):
        read_views(path, path.name)


def test_a_large_chunk_of_a_small_dataset_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "views.hdf5"
    with h5py.File(path, "w") as file:
        file.create_dataset(
            "views", (4, 128, 128), "f4", chunks=(4, 8192, 8192), maxshape=(4, None, None)
        )
    with pytest.raises(TooLargeError, match="chunks of"):
        read_views(path, path.name)


def test_arrays_outside_the_file_are_never_opened(tmp_path: Path) -> None:
    secret = write(tmp_path / "secret.hdf5", views=VIEWS)
    linked = tmp_path / "linked.hdf5"
    with h5py.File(linked, "w") as file:
        file["views"] = h5py.ExternalLink(secret, "views")
    assert not holds_views(linked)
    raw = tmp_path / "secret.bin"
    raw.write_bytes(VIEWS.tobytes())
    external = tmp_path / "external.hdf5"
    with h5py.File(external, "w") as file:
        file.create_dataset("views", (4, 128, 128), "f4", external=[(raw, 0, raw.stat().st_size)])
    virtual = tmp_path / "virtual.hdf5"
    with h5py.File(virtual, "w") as file:
        layout = h5py.VirtualLayout((4, 128, 128), "f4")
        layout[:] = h5py.VirtualSource(secret, "views", (4, 128, 128))
        file.create_virtual_dataset("views", layout)
    for path in (linked, external, virtual):
        with pytest.raises(FormatError):
            read_views(path, path.name)


@pytest.mark.parametrize("keep", [0, 4, 10, 60, 0.3, 0.7, 0.99])
def test_truncated_files_are_a_clear_error(path: Path, keep: float) -> None:
    data = write(path, views=VIEWS).read_bytes()
    path.write_bytes(data[: int(keep if keep >= 1 else keep * len(data))])
    assert not holds_views(path)
    with pytest.raises(FormatError, match=r"empty|is not an npy|truncated"):
        read_views(path, "views")


def test_a_truncated_npy_is_a_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "views.npy"
    path.write_bytes(declared_npy((4, 128, 128)) + bytes(1000))
    with pytest.raises(FormatError, match="truncated"):
        read_views(path, path.name)


def test_strain_is_not_taken_for_views(tmp_path: Path) -> None:
    path = tmp_path / "strain.npy"
    np.save(path, np.zeros(4096))
    assert not holds_views(path)
    text = tmp_path / "strain.txt"
    text.write_text("1 2 3\n")
    assert not holds_views(text)
