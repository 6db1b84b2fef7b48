"""Data sets of real glitches: readers of the published layouts.

``READERS`` lists the layouts for ``data.real_layout`` of a configuration.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from glitch.views import Preprocessing
from training.data.datasets.collected import RealGlitches
from training.data.datasets.manifest import read_manifest_folder
from training.data.datasets.training_folder import read_training_folder
from training.data.datasets.training_hdf5 import read_training_hdf5
from training.data.datasets.trigger_rows import read_trigger_rows
from training.data.pack import PackError

__all__ = ["READERS", "Reader", "RealGlitches", "read_real"]

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Reader:
    """The reader of one layout."""

    what: str  # description
    read: Callable[..., RealGlitches]
    takes_strain: bool = False


READERS = {
    "manifest": Reader("folder of pictures with a manifest.csv", read_manifest_folder),
    "training_folder": Reader(
        "Gravity Spy's training set as pictures, a folder for each label", read_training_folder
    ),
    "training_hdf5": Reader("Gravity Spy's training set as HDF5", read_training_hdf5),
    "trigger_rows": Reader(
        "CSV of Gravity Spy's classifications, with open strain", read_trigger_rows, True
    ),
}


def read_real(
    layout: str,
    path: Path,
    preprocessing: Preprocessing | None = None,
    on_progress: Progress = lambda _done, _total: None,
    *,
    strain_folder: Path | None = None,
) -> RealGlitches:
    """Read a data set of real glitches.

    Args:
        layout: key of ``READERS``.
        path: its folder or file.
        preprocessing: the grid of the views.
        on_progress: called with the amount done and the total.
        strain_folder: for layouts without pictures: strain is read from here, or stored here.

    Raises:
        PackError: if the layout is unknown, or the data are missing or of another layout; the
            message says where to get them.
    """
    if layout not in READERS:
        raise PackError(f"There is no layout {layout!r}: choose one of {', '.join(READERS)}.")
    reader = READERS[layout]
    if reader.takes_strain:
        return reader.read(path, preprocessing, on_progress, strain_folder=strain_folder)
    return reader.read(path, preprocessing, on_progress)
