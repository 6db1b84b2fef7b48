"""Gravity Spy's published pictures: originals against twins cropped and shrunk by others."""

import csv
import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from glitch.errors import ImageError
from glitch.images import MAX_COLORMAP_DISTANCE, SpectrogramImage, parse_file_name, read_spectrogram
from glitch.images.colormap import read_colors
from glitch.images.decode import decode_picture
from glitch.images.panel import Box, find_panel

pytestmark = pytest.mark.real_data

UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
PANELS = {
    (800, 600): Box(101, 61, 674, 540),
    (569, 479): Box(1, 1, 569, 479),  # cropped by others, one pixel of the frame left
}


@pytest.fixture(scope="module")
def rows(shared_data: Path) -> list[dict[str, str]]:
    with (shared_data / "gravityspy_images" / "manifest.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def originals(shared_data: Path) -> list[Path]:
    folder = shared_data / "gravityspy_originals"
    return sorted(path for path in folder.rglob("*.*") if path.suffix in (".png", ".jpg"))


def twin_key(path: Path) -> tuple[str, str]:
    """Return the id (Gravity Spy id, GPS time or UUID) and window length, as in the manifest."""
    name = parse_file_name(path.name)
    if name.duration_s is not None:
        return name.gravityspy_id or str(name.gps_time), f"{name.duration_s:.1f}"
    uuid = UUID.search(path.name)
    assert uuid is not None
    return uuid[0], ""


@pytest.fixture(scope="module")
def pairs(
    shared_data: Path, originals: list[Path], rows: list[dict[str, str]]
) -> dict[Path, tuple[SpectrogramImage, SpectrogramImage]]:
    """Every original and its twin, both read."""
    twins = {(row["gravityspy_id"], row["duration_s"]): row["path"] for row in rows}
    twins |= {(found[0], ""): row["path"] for row in rows if (found := UUID.search(row["path"]))}
    pairs = {}
    for path in originals:
        twin = shared_data / "gravityspy_images" / twins[twin_key(path)]
        ours = read_spectrogram(path.read_bytes(), path.name)
        theirs = read_spectrogram(twin.read_bytes(), twin.name)
        pairs[path] = (ours, theirs)
    return pairs


@pytest.fixture(scope="module")
def differences(
    pairs: dict[Path, tuple[SpectrogramImage, SpectrogramImage]],
) -> dict[Path, np.ndarray]:
    """The absolute difference between every original and its twin, on the grid."""
    return {path: np.abs(ours.values - theirs.values) for path, (ours, theirs) in pairs.items()}


def test_every_original_has_a_twin(differences: dict[Path, np.ndarray]) -> None:
    assert len(differences) >= 81
    assert sum(path.suffix == ".jpg" for path in differences) >= 6


def test_originals_agree_with_their_twins(differences: dict[Path, np.ndarray]) -> None:
    everything = np.stack(list(differences.values()))
    assert everything.mean() < 0.006  # of the clip scale
    assert np.percentile(everything, 99) < 0.05
    worst = max(differences, key=lambda path: float(differences[path].mean()))
    assert differences[worst].mean() < 0.015, worst.name


def test_a_shift_of_one_cell_would_be_noticed(
    pairs: dict[Path, tuple[SpectrogramImage, SpectrogramImage]],
) -> None:
    """The agreement depends on the position, and is not merely that of smooth pictures."""
    path = next(path for path in pairs if "HlF0RJURZ9_spectrogram_0.5" in path.name)
    ours, theirs = (image.values for image in pairs[path])
    for axis in (0, 1):
        for step in (-1, 1):
            shifted = np.roll(ours, step, axis)
            assert np.abs(shifted - theirs).mean() > 2 * np.abs(ours - theirs).mean()


def test_the_panel_is_found_in_every_original(originals: list[Path]) -> None:
    for path in originals:
        words = decode_picture(path.read_bytes()).words
        height, width = words.shape
        assert find_panel(read_colors(words).is_colored).box == PANELS[width, height], path.name


def test_every_original_comes_in_with_all_rows(
    pairs: dict[Path, tuple[SpectrogramImage, SpectrogramImage]],
) -> None:
    for path, (image, _) in pairs.items():
        assert image.observed.all(), path.name
        assert image.colormap_distance < MAX_COLORMAP_DISTANCE / 2


def test_only_the_short_axes_of_older_pictures_are_assumed(
    pairs: dict[Path, tuple[SpectrogramImage, SpectrogramImage]],
) -> None:
    assumed = {path.name: image.assumed for path, (image, _) in pairs.items()}
    assert assumed["L1_HlF0RJURZ9_spectrogram_0.5.png"] == ()  # 10 to 2048 Hz
    assert assumed["H1_0Sug0tqkoL_spectrogram_0.5.png"] == ("frequency_range",)  # 10.7 to 1832 Hz
    whole = [fields for path, fields in assumed.items() if not path.startswith("mphysicus")]
    assert whole.count(()) == 26
    assert whole.count(("frequency_range",)) == 33


def test_file_names_agree_with_the_manifest(rows: list[dict[str, str]]) -> None:
    stated = {"GravitySpy_official", "mphysicus_GravGlitch", "siddharth101_slow_fast_koi"}
    for row in rows:
        name = parse_file_name(row["path"])
        assert name.duration_s == (float(row["duration_s"]) if row["duration_s"] else None)
        if row["source"] in stated:
            assert (name.gravityspy_id or str(name.gps_time)) == row["gravityspy_id"]
            assert name.ifo == row["ifo"]


def test_all_published_pictures_are_taken_for_omega_scans(
    shared_data: Path, rows: list[dict[str, str]]
) -> None:
    folder = shared_data / "gravityspy_images"
    distances = []
    for row in rows[::10]:  # one in ten is enough
        image = read_spectrogram((folder / row["path"]).read_bytes(), row["path"])
        distances.append(image.colormap_distance)
    assert max(distances) < 0.9 * MAX_COLORMAP_DISTANCE
    assert np.median(distances) < 3


def test_pictures_that_are_no_omega_scans_are_refused(shared_data: Path) -> None:
    data = (shared_data / "dsprites_samples" / "1Konny_dsprites_plot.png").read_bytes()
    with pytest.raises(ImageError, match=r"\.$"):
        read_spectrogram(data, "plot.png")


def _opened(path: Path) -> Image.Image:
    with Image.open(path) as picture:
        return picture.convert("RGB")


def test_originals_made_smaller_are_read_as_they_are(originals: list[Path]) -> None:
    """Half of those with axes used to be refused: older ones show less than 10 to 2048 Hz."""
    with_axes = [path for path in originals if _opened(path).size == (800, 600)]
    for path in with_axes[::4]:
        smaller = io.BytesIO()
        _opened(path).resize((400, 300)).save(smaller, "PNG")
        whole = read_spectrogram(path.read_bytes(), path.name)
        half = read_spectrogram(smaller.getvalue(), path.name)
        assert np.abs(half.values - whole.values).mean() < 0.0116


def test_four_windows_in_one_picture_are_refused(
    shared_data: Path, rows: list[dict[str, str]]
) -> None:
    groups: dict[str, dict[str, Path]] = {}
    for row in rows:
        path = shared_data / "gravityspy_images" / row["path"]
        if "golden" not in row["path"]:  # badly cropped, or clipped where windows meet
            groups.setdefault(row["group"], {})[row["duration_s"]] = path
    fours = [windows for windows in groups.values() if len(windows) == 4][::10]
    assert len(fours) > 10
    for windows in fours:
        paths = [windows[duration] for duration in sorted(windows, key=float)]
        tiles = [_opened(path).resize((170, 140)) for path in paths]
        four = Image.new("RGB", (340, 280))
        for place, tile in enumerate(tiles):
            four.paste(tile, (170 * (place % 2), 140 * (place // 2)))
        held = io.BytesIO()
        four.save(held, "PNG")
        with pytest.raises(ImageError, match="several"):
            read_spectrogram(held.getvalue(), "H1_x_spectrogram_1.0.png")
