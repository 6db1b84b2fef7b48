"""Gravity Spy's training set as published in pictures (Zenodo record 1476551, tar.gz).

``TrainingSet/<Label>/<IFO>_<id>_spectrogram_<window>.png``, and next to the folder a metadata CSV
with ``gravityspy_id``, ``label`` and ``sample_type``. Without the CSV there is no published split.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

from glitch.errors import GlitchError
from glitch.images import SpectrogramImage, read_spectrogram, views_from_spectrograms
from glitch.images.names import parse_file_name
from glitch.views import Preprocessing
from training.data.datasets.collected import PARTS, Collector, RealGlitches, require_columns
from training.data.pack import PackError

WHERE = (
    "unpack trainingsetv1d1.tar.gz of Zenodo record 1476551 "
    "(https://zenodo.org/records/1476551) there"
)
SUFFIXES = frozenset({".png", ".jpg", ".jpeg"})


def read_training_folder(
    path: Path,
    preprocessing: Preprocessing | None = None,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> RealGlitches:
    """Read one glitch for every Gravity Spy id, with the windows that have a picture.

    Args:
        path: the folder of labels, or its parent (with the CSV, if there is one).
        preprocessing: the grid of the views.
        on_progress: called with the number of pictures done and the total.

    Raises:
        PackError: if the folder is missing or of another layout, or a picture cannot be read.
    """
    recipe = preprocessing or Preprocessing()
    if not path.is_dir():
        raise PackError(f"There is no folder {path}: {WHERE}, or correct data.real_images.")
    labels_folder = path / "TrainingSet" if (path / "TrainingSet").is_dir() else path
    pictures = _pictures(labels_folder)
    parts = read_parts([path, labels_folder.parent])
    total = sum(len(windows) for windows in pictures.values())
    done, collector = 0, Collector()
    for (label, gravityspy_id), windows in sorted(pictures.items()):
        images: dict[float, SpectrogramImage] = {}
        for duration_s, file in sorted(windows.items()):
            try:
                images[duration_s] = read_spectrogram(file.read_bytes(), file.name, recipe)
            except (OSError, GlitchError) as error:
                raise PackError(f"{file} cannot be used: {error}") from error
            done += 1
            on_progress(done, total)
        views = views_from_spectrograms(images, recipe)
        collector.add(views, label, gravityspy_id, parts.get(gravityspy_id))
    return collector.collected(path)


def _pictures(folder: Path) -> dict[tuple[str, str], dict[float, Path]]:
    """Find picture files by (label, id) and window; other files are ignored."""
    pictures: dict[tuple[str, str], dict[float, Path]] = {}
    for file in sorted(folder.glob("*/*")):
        name = parse_file_name(file.name)
        if file.suffix.lower() not in SUFFIXES or name.duration_s is None:
            continue
        if name.gravityspy_id is None:
            continue
        windows = pictures.setdefault((file.parent.name, name.gravityspy_id), {})
        windows[name.duration_s] = file
    if not pictures:
        raise PackError(
            f"{folder} has no picture of the layout <Label>/<IFO>_<id>_spectrogram_<window>.png: "
            f"{WHERE}, or choose another data.real_layout."
        )
    return pictures


def read_parts(folders: list[Path]) -> dict[str, str]:
    """Read ``sample_type`` by Gravity Spy id from the metadata CSV in the folders; empty without
    one.

    Raises:
        PackError: if the CSV has a part other than train, validation and test.
    """
    tables = [file for folder in folders for file in sorted(folder.glob("*metadata*.csv"))]
    if not tables:
        return {}
    with tables[0].open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        require_columns(tables[0], reader.fieldnames, ("gravityspy_id", "sample_type"))
        parts = {row["gravityspy_id"]: row["sample_type"] for row in reader}
    for part in set(parts.values()) - set(PARTS):
        raise PackError(
            f"{tables[0]} has a sample_type {part!r}, which is none of {', '.join(PARTS)}."
        )
    return parts
