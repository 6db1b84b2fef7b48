"""The manifest layout: a folder of images, and a ``manifest.csv`` that describes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from glitch.views import Preprocessing
from training.data.datasets.collected import RealGlitches
from training.data.real_images import read_real_images


def read_manifest_folder(
    path: Path,
    preprocessing: Preprocessing | None = None,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> RealGlitches:
    """Read a data set without a published split.

    See :func:`training.data.real_images.read_real_images`.
    """
    return RealGlitches(read_real_images(path, preprocessing, on_progress))
