"""Reader of a folder of Gravity Spy pictures with a ``manifest.csv``."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

from glitch.errors import GlitchError
from glitch.images import read_spectrogram
from glitch.types import ViewArray
from glitch.views import Preprocessing, views_from_images
from training.data.pack import Pack, PackError, pack_views

COLUMNS = ("path", "label", "gravityspy_id", "duration_s", "group")


def read_real_images(
    folder: Path,
    preprocessing: Preprocessing | None = None,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Pack:
    """Read one glitch for every (group, Gravity Spy id), with the windows that have a picture.

    Args:
        folder: contains the pictures and ``manifest.csv`` with the columns of ``COLUMNS``.
        preprocessing: the grid of the views.
        on_progress: called with the number of pictures done and the total.

    Raises:
        PackError: if the folder or its manifest is missing, lacks a column, or has no glitch.
    """
    recipe = preprocessing or Preprocessing()
    rows = _manifest(folder)
    pictures: dict[tuple[str, str], dict[float, ViewArray]] = {}
    labels: dict[tuple[str, str], str] = {}
    for done, row in enumerate(rows, start=1):
        # A picture with an unknown window length cannot be used as a view, so it is skipped.
        if row["duration_s"]:
            path = folder / row["path"]
            try:
                image = read_spectrogram(path.read_bytes(), path.name, recipe)
            except (OSError, GlitchError) as error:
                raise PackError(f"{path} of the manifest cannot be used: {error}") from error
            key = row["group"], row["gravityspy_id"]
            pictures.setdefault(key, {})[float(row["duration_s"])] = image.values
            labels[key] = row["label"]
        on_progress(done, len(rows))
    if not pictures:
        raise PackError(f"{folder / 'manifest.csv'} lists no picture with a known window length.")
    keys = sorted(pictures)
    return pack_views(
        [views_from_images(pictures[key], recipe) for key in keys],
        [labels[key] for key in keys],
        [group for group, _ in keys],
    )


def _manifest(folder: Path) -> list[dict[str, str]]:
    path = folder / "manifest.csv"
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
            missing = set(COLUMNS) - set(reader.fieldnames or ())
    except FileNotFoundError:
        raise PackError(
            f"There is no {path}: data.real_images must name a folder with it."
        ) from None
    if missing:
        raise PackError(f"{path} lacks the columns {', '.join(sorted(missing))}.")
    return rows
