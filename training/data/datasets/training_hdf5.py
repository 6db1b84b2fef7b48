"""Gravity Spy's training set as HDF5 (Zenodo record 1476551, ``trainingsetv1d1.h5``).

``/<Label>/<sample_type>/<gravityspy_id>/<window>.png``: each an array of grey levels, (1, height,
width) or (height, width), the omega scan's panel without axes, high frequencies on top, 140 x 170
as in the input of Gravity Spy's network.

The grey is the luminance of viridis (scikit-image's ``rgb2gray``, Rec. 709 weights), which grows
monotonically with energy, so it can be inverted: one grey level is one energy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path

import h5py
import numpy as np
from jaxtyping import Float64

from glitch.errors import FormatError, TooLargeError
from glitch.files.hdf5 import find_dataset, find_group, group_names, read_whole
from glitch.images.colormap import N_COLORS, viridis
from glitch.images.grid import cell_means, even_edges
from glitch.types import ViewArray
from glitch.views import Preprocessing, views_from_images
from training.data.datasets.collected import PARTS, Collector, RealGlitches
from training.data.pack import PackError

WHERE = "download trainingsetv1d1.h5 of Zenodo record 1476551 (https://zenodo.org/records/1476551)"
LUMINANCE = (0.2125, 0.7154, 0.0721)  # of red, green and blue, as in scikit-image's rgb2gray
SMALLEST_SIDE = 64
_MAX_PICTURE_BYTES = 1 << 26


def read_training_hdf5(
    path: Path,
    preprocessing: Preprocessing | None = None,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> RealGlitches:
    """Read every glitch of the file, with its published part (train, validation, test).

    Args:
        path: the HDF5 file.
        preprocessing: the grid of the views.
        on_progress: called with the number of glitches done and the total.

    Raises:
        PackError: if the file is missing, is not HDF5, or is of another layout.
    """
    recipe = preprocessing or Preprocessing()
    if not path.is_file():
        raise PackError(f"There is no file {path}: {WHERE}, or correct data.real_images.")
    try:
        with h5py.File(path, "r") as file:
            members = list(_members(file))
            if not members:
                raise PackError(
                    f"{path} has no glitch of the layout <Label>/<sample_type>/<id>/<window>.png "
                    f"with a sample_type of {', '.join(PARTS)}: {WHERE}, "
                    "or choose another data.real_layout."
                )
            collector = Collector()
            for done, (label, part, gravityspy_id) in enumerate(members, start=1):
                group = find_group(file, f"{label}/{part}/{gravityspy_id}")
                if group is None:
                    raise PackError(
                        f"{path}:{label}/{part}/{gravityspy_id} is not a group: {WHERE} again."
                    )
                views = views_from_images(_read_windows(group, path, recipe), recipe)
                collector.add(views, label, gravityspy_id, part)
                on_progress(done, len(members))
    except (FormatError, TooLargeError) as error:
        raise PackError(f"{path}: {error}") from error
    except OSError as error:
        raise PackError(f"{path} is not a complete HDF5 file ({error}): {WHERE} again.") from error
    return collector.collected(path)


def _members(file: h5py.File) -> Iterator[tuple[str, str, str]]:
    """Yield (label, part, id) of every glitch."""
    for label in sorted(group_names(file)):
        for part in PARTS:
            glitches = find_group(file, f"{label}/{part}")
            if glitches is not None:
                yield from ((label, part, gravityspy_id) for gravityspy_id in sorted(glitches))


def _read_windows(group: h5py.Group, path: Path, recipe: Preprocessing) -> dict[float, ViewArray]:
    images: dict[float, ViewArray] = {}
    for name in sorted(group):
        dataset_path = f"{path}:{group.name}/{name}"
        try:
            duration_s = float(name.removesuffix(".png"))
        except ValueError:
            raise PackError(
                f"{dataset_path} is not named after its window length, such as 0.5.png."
            ) from None
        dataset = find_dataset(group, name)
        if dataset is None:
            raise PackError(f"{dataset_path} is not a dataset of that file.")
        picture = read_whole(dataset, max_bytes=_MAX_PICTURE_BYTES)
        images[duration_s] = energy_of_grey(picture, recipe, dataset_path)
    if not images:
        raise PackError(f"{path}:{group.name} contains no window.")
    return images


@lru_cache(maxsize=1)
def grey_of_viridis() -> Float64[np.ndarray, " color"]:
    """Return the luminance of each viridis colour in [0, 1], strictly ascending."""
    grey = (viridis().astype(np.float64) / 255) @ np.asarray(LUMINANCE)
    # With eight-bit colours neighbours may be equal or slightly lower; interpolation needs
    # ascending values.
    return np.asarray(np.maximum.accumulate(grey) + np.arange(N_COLORS) * 1e-9)


def energy_of_grey(picture: np.ndarray, recipe: Preprocessing, where: str) -> ViewArray:
    """Convert a grey panel to energy divided by the clip on the recipe's grid, frequency upward.

    Args:
        picture: (height, width) or (1, height, width), grey in [0, 1] or [0, 255].
        recipe: the grid.
        where: name of the picture for error messages.

    Raises:
        PackError: if it is not such a picture.
    """
    grey = np.asarray(picture, dtype=np.float64)
    if grey.ndim == 3 and grey.shape[0] == 1:
        grey = grey[0]
    if grey.ndim != 2 or min(grey.shape) < SMALLEST_SIDE:
        raise PackError(
            f"{where} has shape {picture.shape}, not the (1, height, width) of a grey omega scan "
            f"of at least {SMALLEST_SIDE} pixels a side."
        )
    if not np.isfinite(grey).all() or grey.min() < 0 or grey.max() > 255:
        raise PackError(f"{where} has values that are not grey levels: NaN, or outside [0, 255].")
    if np.issubdtype(picture.dtype, np.integer) or grey.max() > 1:
        grey = grey / 255
    levels = np.interp(grey, grey_of_viridis(), (np.arange(N_COLORS) + 0.5) / N_COLORS)
    upward = np.ascontiguousarray(levels[::-1])
    for n_cells in (recipe.n_frequency, recipe.n_time):
        pixels = np.arange(len(upward) + 1, dtype=np.float64)
        edges = even_edges(len(upward), n_cells, are_pixels_whole=False)
        means, _ = cell_means(upward, pixels, edges, np.ones(len(upward), dtype=np.bool_))
        upward = np.ascontiguousarray(
            means.T
        )  # rows first, then columns; transposing twice restores the order
    return np.clip(upward, 0, 1).astype(np.float32)
