"""Published layouts of real glitches: tiny files in each layout become a pack."""

import csv
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from glitch.images import render_view
from glitch.images.colormap import viridis
from training.core.config import ConfigError
from training.data.config import DataConfig
from training.data.datasets import READERS, RealGlitches, read_real
from training.data.datasets.training_hdf5 import LUMINANCE
from training.data.datasets.trigger_rows import read_trigger_rows
from training.data.pack import GREY_LEVELS, PackError
from training.data.split import load_data

IDS = ("AAAAAAAAA1", "BBBBBBBBB2", "CCCCCCCCC3")


def view(row: int) -> np.ndarray:
    """A bright band at the given frequency row over a faint floor, with a little noise."""
    values = np.random.default_rng(row).normal(0.05, 0.01, (128, 128))
    values[row : row + 12, 40:80] += 0.75
    return np.clip(values, 0, 1).astype(np.float32)


def grey_panel(values: np.ndarray) -> np.ndarray:
    """Store a view as Gravity Spy's file does: viridis in grey, high frequencies on top."""
    colours = viridis()[np.minimum((values * 256).astype(int), 255)].astype(float) / 255
    grey = colours @ np.asarray(LUMINANCE)
    rows = np.linspace(0, 127.999, 140).astype(int)
    columns = np.linspace(0, 127.999, 170).astype(int)
    return grey[::-1][rows][:, columns][None]


def test_the_hdf5_training_set_gives_back_energies_and_its_own_split(tmp_path: Path) -> None:
    path = tmp_path / "trainingsetv1d1.h5"
    with h5py.File(path, "w") as file:
        for part, name, row in zip(
            ("train", "validation", "test"), IDS, (20, 60, 100), strict=True
        ):
            for window in ("0.5", "4.0"):
                file[f"Blip/{part}/{name}/{window}.png"] = grey_panel(view(row))
        file["Whistle/train/DDDDDDDDD4/2.0.png"] = (255 * grey_panel(view(60))).astype(np.uint8)
    found = read_real("training_hdf5", path)
    assert found.parts == ("train", "validation", "test", "train")
    assert found.pack.labels == ("Blip", "Blip", "Blip", "Whistle")
    assert found.pack.groups == (*IDS, "DDDDDDDDD4")
    assert found.pack.observed.any(axis=2).tolist()[0] == [True, False, False, True]
    for index, row in enumerate((20, 60, 100)):
        energy = found.pack.values[index, 3] / GREY_LEVELS
        assert energy[row + 3 : row + 9, 45:75].mean() == pytest.approx(0.8, abs=0.02)
        assert energy[row - 12 : row - 3].mean() == pytest.approx(0.05, abs=0.01)
    assert found.pack.values[3, 2, 63:69, 45:75].mean() / GREY_LEVELS == pytest.approx(
        0.8, abs=0.03
    )


def test_the_picture_training_set_reads_with_and_without_its_csv(tmp_path: Path) -> None:
    folder = tmp_path / "TrainingSet"
    for label, name in (("Blip", IDS[0]), ("Koi_Fish", IDS[1])):
        (folder / label).mkdir(parents=True)
        for window in ("0.5", "1.0", "2.0", "4.0"):
            file = folder / label / f"L1_{name}_spectrogram_{window}.png"
            file.write_bytes(render_view(view(60)))
    (folder / "Blip" / "notes.txt").write_text("not a picture")
    alone = read_real("training_folder", tmp_path)
    assert alone.parts is None
    assert (alone.pack.labels, alone.pack.groups) == (("Blip", "Koi_Fish"), IDS[:2])
    assert alone.pack.observed.all()
    write_csv(
        tmp_path / "trainingset_v1d1_metadata.csv",
        ("gravityspy_id", "label", "sample_type"),
        [(IDS[0], "Blip", "train"), (IDS[1], "Koi_Fish", "test")],
    )
    assert read_real("training_folder", tmp_path).parts == ("train", "test")
    write_csv(
        tmp_path / "trainingset_v1d1_metadata.csv",
        ("gravityspy_id", "label", "sample_type"),
        [(IDS[0], "Blip", "training")],
    )
    with pytest.raises(PackError, match="sample_type 'training'"):
        read_real("training_folder", tmp_path)


def write_csv(path: Path, names: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([names, *rows])


def noise(ifo: str, start: int, end: int) -> tuple[np.ndarray, float]:
    """Return white noise with a ring-down in the middle, and its sample rate in Hz."""
    rate = 4096
    samples = np.random.default_rng(start).normal(size=(end - start) * rate)
    t = np.arange(len(samples)) / rate - (end - start) / 2
    samples += 8 * np.exp(-((t / 0.02) ** 2)) * np.sin(2 * np.pi * 200 * t)
    return 1e-21 * samples, float(rate)


def test_rows_become_views_of_fetched_strain_that_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "H1_O3a.csv"
    names = ("event_time", "ifo", "ml_label", "gravityspy_id")
    write_csv(path, names, [("1238166032.0", "H1", "Blip", IDS[0])])
    requests: list[tuple[str, int, int]] = []

    def fetch(ifo: str, start: int, end: int) -> tuple[np.ndarray, float]:
        requests.append((ifo, start, end))
        return noise(ifo, start, end)

    found = read_trigger_rows(path, fetch=fetch)
    assert requests == [("H1", 1238166000, 1238166064)]
    assert (found.pack.labels, found.pack.groups) == (("Blip",), IDS[:1])
    assert found.pack.observed[0, :, :100].all()
    centre = found.pack.values[0, 0, :, 56:72].max() / GREY_LEVELS
    assert centre > 0.5  # the ring-down is there

    def refuse(ifo: str, start: int, end: int) -> tuple[np.ndarray, float]:
        raise AssertionError("the cache has it")

    again = read_trigger_rows(path, strain_folder=tmp_path / "strain", fetch=refuse)
    assert np.array_equal(again.pack.values, found.pack.values)


def test_missing_strain_is_reported_and_unusable_strain_left_out(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    names = ("GPStime", "ifo", "label", "id")
    rows = [("1238166032.0", "H1", "Blip", IDS[0]), ("1238166063.9", "H1", "Blip", IDS[1])]
    write_csv(path, names, rows)

    def unreachable(ifo: str, start: int, end: int) -> tuple[np.ndarray, float]:
        raise OSError("name resolution failed")

    with pytest.raises(PackError, match=r"could not be fetched from gwosc\.org .*strain_folder"):
        read_trigger_rows(path, fetch=unreachable)
    found = read_trigger_rows(path, fetch=noise)
    assert found.pack.groups == IDS[:1]
    assert found.left_out[0].startswith(IDS[1])


def broken_hdf5(path: Path) -> Path:
    (path / "bad.h5").write_bytes(b"no HDF5")
    return path / "bad.h5"


def other_hdf5(path: Path) -> Path:
    with h5py.File(path / "other.h5", "w") as file:
        file["images"] = np.zeros((3, 64, 64))
    return path / "other.h5"


def nan_hdf5(path: Path) -> Path:
    with h5py.File(path / "nan.h5", "w") as file:
        file["Blip/train/x/0.5.png"] = np.full((1, 140, 170), np.nan)
    return path / "nan.h5"


def small_hdf5(path: Path) -> Path:
    with h5py.File(path / "small.h5", "w") as file:
        file["Blip/train/x/0.5.png"] = np.zeros((4, 140, 170))
    return path / "small.h5"


def csv_without_times(path: Path) -> Path:
    write_csv(path / "rows.csv", ("ifo", "label", "id"), [("H1", "Blip", "x")])
    return path / "rows.csv"


def test_rows_of_every_kind_are_read_or_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    head = "\ufeffevent_time,ifo,ml_label,gravityspy_id\n"
    rows = (
        f"1238166032.0,H1,Blip,{IDS[0]}\n1238166033.0,H1,,{IDS[1]}\n1238166034.0,H1,nan,{IDS[1]}\n"
    )
    path.write_text(head + rows, encoding="utf-8")
    found = read_trigger_rows(path, fetch=noise)
    assert found.pack.labels == ("Blip",)
    assert [reason.rpartition(": ")[2] for reason in found.left_out] == [
        "line 3 has no label.",
        "line 4 has no label.",
    ]
    for bad, sentence in (("nan,H1,Blip,x\n", "has no GPS time"), ("1238166032.0,H1\n", "shorter")):
        path.write_text(head + rows + bad, encoding="utf-8")
        with pytest.raises(PackError, match=f"line 5: .*{sentence}"):
            read_trigger_rows(path, fetch=noise)


def csv_of_words(path: Path) -> Path:
    write_csv(
        path / "words.csv",
        ("event_time", "ifo", "ml_label", "gravityspy_id"),
        [("yesterday", "H1", "Blip", "x")],
    )
    return path / "words.csv"


def empty_folder(path: Path) -> Path:
    (path / "empty").mkdir()
    return path / "empty"


@pytest.mark.parametrize(
    ("layout", "make", "sentence"),
    [
        ("training_hdf5", lambda path: path / "none.h5", "Zenodo record 1476551"),
        ("training_hdf5", broken_hdf5, "not a complete HDF5"),
        ("training_hdf5", other_hdf5, "layout <Label>"),
        ("training_hdf5", nan_hdf5, "NaN"),
        ("training_hdf5", small_hdf5, r"shape \(4, 140, 170\)"),
        ("training_folder", lambda path: path / "none", "trainingsetv1d1.tar.gz"),
        ("training_folder", empty_folder, "has no picture of the layout"),
        ("trigger_rows", lambda path: path / "none.csv", "Zenodo record 5649212"),
        ("trigger_rows", csv_without_times, "lacks the columns event_time or GPStime"),
        ("trigger_rows", csv_of_words, "line 2: .*'yesterday' is not a GPS time"),
        ("manifest", lambda path: path / "none", "manifest.csv"),
        ("tarball", lambda path: path, "choose one of manifest"),
    ],
)
def test_missing_or_other_layouts_of_data_say_what_to_do(
    layout: str, make: Callable[[Path], Path], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(PackError, match=sentence):
        read_real(layout, make(tmp_path))


def test_every_layout_has_words_for_people() -> None:
    assert all(reader.what for reader in READERS.values())
    assert RealGlitches.__doc__


def published(tmp_path: Path, parts: tuple[str, ...]) -> DataConfig:
    path = tmp_path / "set.h5"
    with h5py.File(path, "w") as file:
        for index, part in enumerate(parts):
            file[f"Blip/{part}/glitch{index}/0.5.png"] = grey_panel(view(20 + index))
    return DataConfig(real_images=str(path), real_layout="training_hdf5", split="published")


def test_a_run_can_learn_from_the_published_parts_and_never_sees_the_test_part(
    tmp_path: Path,
) -> None:
    data = load_data(published(tmp_path, ("train", "test", "validation", "train")))
    assert data.real_train is not None
    assert data.validation is not None
    assert data.real_train.groups == ("glitch0", "glitch3")
    assert data.validation.groups == ("glitch2",)


def test_a_split_that_was_not_published_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PackError, match="no glitch in its part validation"):
        load_data(published(tmp_path, ("train", "test")))
    folder = tmp_path / "TrainingSet" / "Blip"
    folder.mkdir(parents=True)
    (folder / f"L1_{IDS[0]}_spectrogram_0.5.png").write_bytes(render_view(view(60)))
    config = DataConfig(real_images=str(tmp_path), real_layout="training_folder", split="published")
    with pytest.raises(PackError, match="metadata CSV"):
        load_data(config)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"real_layout": "zip"}, "data.real_layout is 'zip'"),
        ({"split": "random"}, "data.split is 'random'"),
        ({"strain_folder": "strain"}, "does not use strain"),
    ],
)
def test_impossible_choices_of_data_name_themselves(changes: dict[str, str], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        DataConfig(**changes)


@pytest.mark.real_data
def test_real_rows_and_real_strain(shared_data: Path, tmp_path: Path) -> None:
    """The loud L1 glitch before GW170817, from a public strain file."""
    path = tmp_path / "rows.csv"
    names = ("event_time", "ifo", "ml_label", "gravityspy_id")
    write_csv(path, names, [("1187008881.38", "L1", "Koi_Fish", "tTlgyH9hk4")])
    found = read_trigger_rows(path, strain_folder=shared_data / "strain")
    assert found.pack.observed[0].any()
    assert found.pack.values[0, 0].max() == GREY_LEVELS  # it exceeds the colour scale
