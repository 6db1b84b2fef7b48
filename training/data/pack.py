"""Packs: the views of many glitches in one uint8 array, in memory or mapped from a file.

A pack on disk is a folder of ``values.npy`` (glitch, view, freq, time), ``observed.npy``,
``names.json`` and, for simulated glitches, ``twins.npy`` and ``parameters.npy``. The arrays are
mapped, not read, so a pack may be larger than memory.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float32, UInt8
from numpy.lib.format import open_memmap

from glitch.errors import GlitchError
from glitch.types import ObservedTensor, ViewsTensor
from glitch.views import Preprocessing, Views

PackedViews = UInt8[np.ndarray, "glitch view freq time"]
PackedParameters = Float32[np.ndarray, "glitch parameter"]
PackedObserved = Bool[np.ndarray, "glitch view freq"]

GREY_LEVELS = 255
VALUES_FILE, OBSERVED_FILE, NAMES_FILE = "values.npy", "observed.npy", "names.json"
TWINS_FILE, PARAMETERS_FILE = "twins.npy", "parameters.npy"
# Logarithms of the parameters of a simulated glitch: of its loudest tile, and its optimal SNR.
PARAMETERS = ("tile_snr", "peak_frequency", "duration", "q", "snr")


class PackError(GlitchError):
    """A pack on disk is missing, unfinished, or was made for other preprocessing."""


@dataclass(frozen=True, eq=False)
class Pack:
    """Views of many glitches. Labels are for evaluation, groups for splits, never inputs."""

    values: PackedViews
    observed: PackedObserved
    labels: tuple[str, ...]
    groups: tuple[str, ...]
    twins: PackedViews | None = None  # the same simulated glitches in other noise
    parameters: PackedParameters | None = None  # of simulated glitches, in the order of PARAMETERS

    def __len__(self) -> int:
        return len(self.labels)

    def subset(self, indices: Sequence[int] | np.ndarray) -> Pack:
        """Copy the glitches at these positions."""
        chosen = np.asarray(indices, dtype=np.int64)
        return Pack(
            self.values[chosen],
            self.observed[chosen],
            tuple(self.labels[index] for index in chosen),
            tuple(self.groups[index] for index in chosen),
            None if self.twins is None else self.twins[chosen],
            None if self.parameters is None else self.parameters[chosen],
        )

    def tensors(self, indices: np.ndarray) -> tuple[ViewsTensor, ObservedTensor]:
        """Return views in [0, 1] (batch, view, freq, time), and observed (batch, view, freq)."""
        values = torch.from_numpy(np.ascontiguousarray(self.values[indices]))
        observed = torch.from_numpy(np.ascontiguousarray(self.observed[indices]))
        return values.float().div_(GREY_LEVELS), observed


def pack_views(views: Sequence[Views], labels: Sequence[str], groups: Sequence[str]) -> Pack:
    """Build a pack in memory."""
    values = np.stack([quantise(one) for one in views])
    observed = np.stack([one.observed for one in views])
    return Pack(values, observed, tuple(labels), tuple(groups))


def quantise(views: Views) -> UInt8[np.ndarray, "view freq time"]:
    """Round values to the 256 grey levels in which views are stored everywhere."""
    return np.round(views.values * GREY_LEVELS).astype(np.uint8)


def write_pack(
    folder: Path, samples: Iterable[tuple[str, Views]], n_samples: int, preprocessing: Preprocessing
) -> None:
    """Stream labelled views into a pack on disk; memory does not grow with their number.

    ``names.json`` is written last, so that an interrupted run does not leave a pack that looks
    complete. Every sample is its own group.

    Raises:
        PackError: if the samples end before ``n_samples``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    shape = (n_samples, len(preprocessing.durations_s), preprocessing.n_frequency)
    values = new_array(folder / VALUES_FILE, (*shape, preprocessing.n_time), np.uint8)
    observed = new_array(folder / OBSERVED_FILE, shape, np.bool_)
    labels: list[str] = []
    for index, (label, views) in enumerate(samples):
        values[index], observed[index] = quantise(views), views.observed
        labels.append(label)
    if len(labels) != n_samples:
        raise PackError(
            f"Only {len(labels)} of {n_samples} glitches were given: the pack is unfinished."
        )
    values.flush()
    observed.flush()
    write_names(folder, labels, preprocessing)


def new_array(
    path: Path, shape: tuple[int, ...], dtype: type[np.generic]
) -> np.memmap[tuple[int, ...], np.dtype[np.generic]]:
    """Create a mapped file of an array and reserve its disk space.

    Without the reservation the kernel kills the process when it writes to a mapped page on a full
    disk.

    Raises:
        OSError: if there is not enough space.
    """
    array = open_memmap(path, mode="w+", dtype=dtype, shape=shape)
    if hasattr(os, "posix_fallocate"):  # not on macOS
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return array


def write_names(folder: Path, labels: Sequence[str], preprocessing: Preprocessing) -> None:
    """Write the labels and the preprocessing of a pack: the last file, which completes it."""
    names = {"labels": list(labels), "preprocessing_digest": preprocessing.digest()}
    partial = folder / f"{NAMES_FILE}.partial"
    partial.write_text(json.dumps(names), encoding="utf-8")
    partial.replace(folder / NAMES_FILE)


def read_pack(folder: Path, preprocessing: Preprocessing) -> Pack:
    """Open a pack on disk, mapped.

    Raises:
        PackError: if it is missing, unfinished or of other preprocessing.
    """
    try:
        names = json.loads((folder / NAMES_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise PackError(
            f"{folder} does not contain a finished pack of views: make one with "
            f"`glitch-discovery simulate-pack {folder}`."
        ) from None
    if names["preprocessing_digest"] != preprocessing.digest():
        raise PackError(f"The pack {folder} was made with other preprocessing: make it again.")
    values = np.load(folder / VALUES_FILE, mmap_mode="r", allow_pickle=False)
    observed = np.load(folder / OBSERVED_FILE, mmap_mode="r", allow_pickle=False)
    labels = tuple(names["labels"])
    groups = tuple(f"{folder.name}-{index}" for index in range(len(labels)))
    twins, parameters = (
        np.load(folder / name, mmap_mode="r", allow_pickle=False)
        if (folder / name).exists()
        else None
        for name in (TWINS_FILE, PARAMETERS_FILE)
    )
    return Pack(values, observed, labels, groups, twins, parameters)


def read_packs(folders: Iterable[Path], preprocessing: Preprocessing) -> Pack:
    """Open packs on disk as one.

    Raises:
        PackError: as ``read_pack``, for any of them.
    """
    return join_packs([read_pack(folder, preprocessing) for folder in folders])


def join_packs(packs: Sequence[Pack]) -> Pack:
    """Concatenate packs; twins and parameters are kept if every pack has them.

    A single pack stays mapped; several are read into memory.
    """
    if len(packs) == 1:
        return packs[0]

    def together(parts: Sequence[np.ndarray | None]) -> np.ndarray | None:
        present = [part for part in parts if part is not None]
        return np.concatenate(present) if len(present) == len(parts) else None

    return Pack(
        np.concatenate([pack.values for pack in packs]),
        np.concatenate([pack.observed for pack in packs]),
        tuple(label for pack in packs for label in pack.labels),
        tuple(group for pack in packs for group in pack.groups),
        together([pack.twins for pack in packs]),
        together([pack.parameters for pack in packs]),
    )
