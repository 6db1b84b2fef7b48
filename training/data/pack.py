"""Packs: many glitches' views in one uint8 array, in memory or mapped from a file.

A pack on disk is a folder of ``values.npy`` (glitch, view, freq, time), ``observed.npy`` and
``names.json``. The arrays are mapped, not read, so a pack may be larger than memory.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, UInt8
from numpy.lib.format import open_memmap

from glitch.errors import GlitchError
from glitch.types import ObservedTensor, ViewsTensor
from glitch.views import Preprocessing, Views

PackedViews = UInt8[np.ndarray, "glitch view freq time"]
PackedObserved = Bool[np.ndarray, "glitch view freq"]

GREY_LEVELS = 255


class PackError(GlitchError):
    """A pack on disk is missing, unfinished, or was made for other preprocessing."""


@dataclass(frozen=True, eq=False)
class Pack:
    """Glitches side by side. Labels judge, groups split; neither is ever an input."""

    values: PackedViews
    observed: PackedObserved
    labels: tuple[str, ...]
    groups: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def subset(self, indices: Sequence[int] | np.ndarray) -> Pack:
        """The glitches at these positions, copied."""
        chosen = np.asarray(indices, dtype=np.int64)
        return Pack(
            self.values[chosen],
            self.observed[chosen],
            tuple(self.labels[index] for index in chosen),
            tuple(self.groups[index] for index in chosen),
        )

    def tensors(self, indices: np.ndarray) -> tuple[ViewsTensor, ObservedTensor]:
        """Views in [0, 1] (batch, view, freq, time) and observed rows (batch, view, freq)."""
        values = torch.from_numpy(np.ascontiguousarray(self.values[indices]))
        observed = torch.from_numpy(np.ascontiguousarray(self.observed[indices]))
        return values.float().div_(GREY_LEVELS), observed


def pack_views(views: Sequence[Views], labels: Sequence[str], groups: Sequence[str]) -> Pack:
    """A pack in memory."""
    values = np.stack([quantise(one) for one in views])
    observed = np.stack([one.observed for one in views])
    return Pack(values, observed, tuple(labels), tuple(groups))


def quantise(views: Views) -> UInt8[np.ndarray, "view freq time"]:
    """Values rounded to the 256 grey levels in which views are stored everywhere."""
    return np.round(views.values * GREY_LEVELS).astype(np.uint8)


def write_pack(
    folder: Path,
    samples: Iterable[tuple[str, Views]],
    n_samples: int,
    preprocessing: Preprocessing,
) -> None:
    """Streams labelled views into a pack on disk; memory does not grow with their number.

    The pack's ``names.json`` is written last, so that an interrupted run leaves no pack that
    looks whole. Every sample is its own group.

    Raises:
        PackError: if the samples end before ``n_samples``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    shape = (n_samples, len(preprocessing.durations_s), preprocessing.n_frequency)
    values = open_memmap(
        folder / "values.npy", mode="w+", dtype=np.uint8, shape=(*shape, preprocessing.n_time)
    )
    observed = open_memmap(folder / "observed.npy", mode="w+", dtype=np.bool_, shape=shape)
    labels: list[str] = []
    for index, (label, views) in enumerate(samples):
        values[index], observed[index] = quantise(views), views.observed
        labels.append(label)
    if len(labels) != n_samples:
        raise PackError(f"Only {len(labels)} of {n_samples} glitches came; the pack is unfinished.")
    values.flush()
    observed.flush()
    names = {"labels": labels, "preprocessing_digest": preprocessing.digest()}
    partial = folder / "names.json.partial"
    partial.write_text(json.dumps(names), encoding="utf-8")
    partial.replace(folder / "names.json")


def read_pack(folder: Path, preprocessing: Preprocessing) -> Pack:
    """A pack on disk, mapped.

    Raises:
        PackError: if it is missing, unfinished or of other preprocessing.
    """
    try:
        names = json.loads((folder / "names.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise PackError(
            f"{folder} holds no finished pack of views: make one with "
            f"`glitch-discovery simulate-pack {folder}`."
        ) from None
    if names["preprocessing_digest"] != preprocessing.digest():
        raise PackError(f"The pack {folder} was made for other preprocessing: make it again.")
    values = np.load(folder / "values.npy", mmap_mode="r", allow_pickle=False)
    observed = np.load(folder / "observed.npy", mmap_mode="r", allow_pickle=False)
    labels = tuple(names["labels"])
    groups = tuple(f"{folder.name}-{index}" for index in range(len(labels)))
    return Pack(values, observed, labels, groups)
