"""Collection of the glitches of a data set: packed at once, so that only bytes stay in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from glitch.views import Views
from training.data.pack import Pack, PackError, quantise

TRAIN, VALIDATION, TEST = "train", "validation", "test"
PARTS = (TRAIN, VALIDATION, TEST)


@dataclass(frozen=True, eq=False)
class RealGlitches:
    """A data set of real glitches.

    Attributes:
        pack: its glitches.
        parts: the published part ("train", "validation", "test") of each; None if the data set has
            no published split.
        left_out: a sentence for each glitch that could not be used.
    """

    pack: Pack
    parts: tuple[str, ...] | None = None
    left_out: tuple[str, ...] = ()


class Collector:
    """Collects glitches one by one."""

    def __init__(self) -> None:
        self._values: list[np.ndarray] = []
        self._observed: list[np.ndarray] = []
        self._names: list[tuple[str, str, str | None]] = []
        self.left_out: list[str] = []

    def add(self, views: Views, label: str, group: str, part: str | None = None) -> None:
        """Add one glitch."""
        self._values.append(quantise(views))
        self._observed.append(views.observed)
        self._names.append((label, group, part))

    def collected(self, source: Path) -> RealGlitches:
        """Return all glitches as one data set.

        Raises:
            PackError: if there is none.
        """
        if not self._names:
            why = f" The first reason: {self.left_out[0]}" if self.left_out else ""
            raise PackError(f"{source} contains no usable glitch.{why}")
        labels, groups, parts = zip(*self._names, strict=True)
        pack = Pack(np.stack(self._values), np.stack(self._observed), labels, groups)
        published = None if None in parts else parts
        return RealGlitches(pack, published, tuple(self.left_out))


def require_columns(path: Path, found: Sequence[str] | None, required: Sequence[str]) -> None:
    """Check that a table has the columns.

    Raises:
        PackError: naming the missing columns.
    """
    missing = [name for name in required if name not in (found or ())]
    if missing:
        raise PackError(f"{path} lacks the columns {', '.join(missing)}.")
