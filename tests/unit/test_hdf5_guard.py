"""No dataset of an uploaded HDF5 file can make a reader open another file."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import h5py
import numpy as np
import pytest

from app.batches.table_files import read_table
from glitch.errors import FormatError, GlitchError, TooLargeError
from glitch.files.hdf5 import (
    MAX_SCALAR_BYTES,
    find_dataset,
    find_group,
    read_attribute,
    read_cell,
    read_rows,
    read_scalar,
    read_whole,
)
from glitch.images.arrays import read_views
from glitch.images.stacks import open_stack
from glitch.strain.reading import read_strain, strain_span
from glitch.views import Preprocessing
from training.data.datasets.training_hdf5 import read_training_hdf5

RATE = 1024
SECRET = b"1187008882"  # digits, to be readable as a GPS time

Keep = Callable[[h5py.Group, str, np.ndarray], None]


def _external(secret: Path) -> Keep:
    """Return a function that stores values in a plain file, as external storage."""

    def keep(group: h5py.Group, name: str, like: np.ndarray) -> None:
        group.create_dataset(
            name, like.shape, like.dtype, external=[(str(secret), 0, max(like.nbytes, 1))]
        )

    return keep


def _virtual(secret: Path) -> Keep:
    """Return a function that stores values in another HDF5 file, as a virtual dataset."""

    def keep(group: h5py.Group, name: str, like: np.ndarray) -> None:
        other = secret.with_suffix(".other.h5")
        with h5py.File(other, "a") as file:
            inner = f"{group.name}/{name}".strip("/")
            file.require_dataset(inner, like.shape, like.dtype, data=like)
        layout = h5py.VirtualLayout(like.shape, like.dtype)
        layout[...] = h5py.VirtualSource(other, inner, like.shape)
        group.create_virtual_dataset(name, layout)

    return keep


@pytest.fixture(params=[_external, _virtual], ids=["external", "virtual"])
def keep(request: pytest.FixtureRequest, tmp_path: Path) -> Keep:
    secret = tmp_path / "admin-token"
    secret.write_bytes(SECRET * 100)
    made: Keep = request.param(secret)
    return made


def _gwosc(file: h5py.File) -> None:
    noise = np.random.default_rng(0).normal(size=64 * RATE)
    file["strain/Strain"] = noise
    file["strain/Strain"].attrs["Xspacing"] = 1 / RATE


@pytest.mark.parametrize(
    ("name", "like"),
    [
        ("meta/GPSstart", np.array([b"0"], "S10")),
        ("meta/GPSstart", np.array([0], "u1")),
        ("meta/Detector", np.array([b"0"], "S10")),
        ("quality/simple/DQmask", np.zeros(64, "u1")),
        ("strain/Strain", np.zeros(64, "f8")),
    ],
)
def test_no_part_of_gwosc_strain_is_read_from_another_file(
    tmp_path: Path, keep: Keep, name: str, like: np.ndarray
) -> None:
    path = tmp_path / "upload.hdf5"
    with h5py.File(path, "w") as file:
        _gwosc(file)
        if name in file:
            del file[name]
        keep(file.require_group(name.rpartition("/")[0]), name.rpartition("/")[2], like)
    for read in (
        lambda: read_strain(path, file_name="upload.hdf5", gps_time=Decimal(7)),
        lambda: read_strain(path, file_name="upload.hdf5"),
    ):
        with pytest.raises(FormatError, match="in another file") as refusal:
            read()
        assert "11870" not in str(refusal.value)
        assert not any(str(byte) in str(refusal.value) for byte in SECRET)
    if name != "quality/simple/DQmask":  # the span is read without samples
        with pytest.raises(FormatError, match="in another file"):
            strain_span(path, file_name="upload.hdf5")


def test_gwpy_series_in_another_file_are_refused(tmp_path: Path, keep: Keep) -> None:
    path = tmp_path / "upload.hdf5"
    with h5py.File(path, "w") as file:
        keep(file, "H1", np.zeros(64))
        file["H1"].attrs.update({"x0": 0, "dx": 1 / RATE})
    with pytest.raises(FormatError, match="in another file"):
        read_strain(path, file_name="upload.hdf5")


@pytest.mark.parametrize("name", ["views", "observed", "frequency_hz", "durations_s", "time_s"])
def test_no_axis_of_views_is_read_from_another_file(tmp_path: Path, keep: Keep, name: str) -> None:
    recipe = Preprocessing()
    arrays = {
        "views": np.zeros((1, recipe.n_frequency, recipe.n_time), "f4"),
        "observed": np.ones((1, recipe.n_frequency), bool),
        "durations_s": np.array([0.5]),
        "frequency_hz": recipe.frequencies_hz(),
        "time_s": recipe.times_s(0.5)[None],
    }
    path = tmp_path / "upload.hdf5"
    with h5py.File(path, "w") as file:
        for key, values in arrays.items():
            if key == name:
                keep(file, key, np.asarray(values))
            else:
                file[key] = values
    with pytest.raises(FormatError, match="in another file"):
        read_views(path, "upload.hdf5", recipe)


@pytest.mark.parametrize("name", ["views", "observed", "label", "gravityspy_id"])
def test_no_column_of_a_stack_is_read_from_another_file(
    tmp_path: Path, keep: Keep, name: str
) -> None:
    recipe = Preprocessing()
    arrays = {
        "views": np.zeros((3, 1, recipe.n_frequency, recipe.n_time), "f4"),
        "observed": np.ones((3, 1, recipe.n_frequency), bool),
        "durations_s": np.array([0.5]),
        "label": np.array([b"Blip"] * 3),
        "gravityspy_id": np.array([b"0123456789"] * 3),
    }
    path = tmp_path / "upload.hdf5"
    with h5py.File(path, "w") as file:
        for key, values in arrays.items():
            if key == name:
                keep(file, key, values)
            else:
                file[key] = values

    def read() -> None:
        with open_stack(path) as stack:
            for column in stack.columns():
                stack.cell(column, 0)
            stack.views(0, recipe)

    with pytest.raises(FormatError, match="in another file"):
        read()


def test_triggers_in_another_file_are_refused(tmp_path: Path, keep: Keep) -> None:
    path = tmp_path / "upload.h5"
    with h5py.File(path, "w") as file:
        keep(file, "triggers", np.zeros(3, [("time", "f8"), ("snr", "f8")]))
    with pytest.raises(FormatError, match="in another file"):
        list(read_table(path, "upload.h5"))


def test_training_pictures_in_another_file_are_refused(tmp_path: Path, keep: Keep) -> None:
    path = tmp_path / "training.h5"
    with h5py.File(path, "w") as file:
        keep(file.create_group("Blip/train/abc"), "0.5.png", np.zeros((140, 170), "u1"))
    with pytest.raises(GlitchError, match="in another file"):
        read_training_hdf5(path)


def test_names_lead_nowhere_but_into_the_file(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["group/values"] = np.arange(3)
    with h5py.File(tmp_path / "upload.h5", "w") as file:
        file["own/values"] = np.arange(3)
        file["soft"] = h5py.SoftLink("/own/values")
        file["out"] = h5py.ExternalLink("secret.h5", "group/values")
        file["group"] = h5py.ExternalLink("secret.h5", "group")
        file["dangling"] = h5py.SoftLink("/nothing")
        assert find_dataset(file, "own/values") is not None
        assert find_group(file, "own") is not None
        for path in ("soft", "out", "group/values", "dangling", "own", "absent", "own/values/x"):
            assert find_dataset(file, path) is None, path
        for path in ("group", "own/values", "soft", "absent"):
            assert find_group(file, path) is None, path


def test_hdf5_reads_are_bounded_in_advance(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "upload.h5", "w") as file:
        big = file.create_dataset("big", (1 << 40,), "f8", chunks=(1 << 10,))
        chunk = file.create_dataset("chunk", (4,), "f8", maxshape=(None,), chunks=(1 << 27,))
        text = file.create_dataset("text", (), f"S{MAX_SCALAR_BYTES + 1}")
        texts = file.create_dataset("texts", (3,), f"S{MAX_SCALAR_BYTES + 1}")
        file["numbers"] = np.arange(5)
        file["free"] = np.array(["a", "b"], h5py.string_dtype())
        file.create_dataset("ragged", (2,), h5py.vlen_dtype(np.int64))
        file.attrs["several"] = [1, 2]
        file.attrs["one"] = [3]
        file["numbers"].attrs.create("long", b"x" * 60_000)
        file["endless"] = file.attrs["endless"] = "H1" * 1_000_000  # of variable length
        for refused in (
            lambda: read_whole(big, max_bytes=1 << 20),
            lambda: read_rows(big, 0, 1 << 20, max_bytes=1 << 20),
            lambda: read_rows(chunk, 0, 1, max_bytes=1 << 20),
            lambda: read_scalar(text),
            lambda: read_cell(texts, 0),
        ):
            with pytest.raises(TooLargeError):
                refused()
        with pytest.raises(FormatError, match="without a fixed size"):
            read_whole(file["ragged"], max_bytes=1 << 20)
        with pytest.raises(FormatError, match="without a fixed size"):
            read_whole(file["free"], max_bytes=1 << 20)
        assert read_rows(big, 5, 8, max_bytes=1 << 20).shape == (3,)
        assert read_rows(file["numbers"], 3, 9, max_bytes=1 << 20).tolist() == [3, 4]
        assert read_scalar(file["numbers"]) is None
        assert read_cell(file["free"], 1) == b"b"
        assert read_attribute(file, "several") is None
        assert read_attribute(file, "absent") is None
        assert read_attribute(file, "one") == 3
        assert read_attribute(file["numbers"], "long") == "x" * 60_000
        assert read_scalar(file["endless"]) == b"H1" * (MAX_SCALAR_BYTES // 2)
        assert read_attribute(file, "endless") == "H1" * (MAX_SCALAR_BYTES // 2)
