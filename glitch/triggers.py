"""Omicron's triggers in HDF5: a table called ``triggers``, of which a few rows are read a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from glitch.errors import FormatError, GlitchError, TooLargeError
from glitch.hdf5 import dataset_shape, find_dataset, read_attribute, read_rows

TRIGGERS = "triggers"
_MOST_ROW_BYTES = 2048  # Omicron writes 100
_HDF5 = b"\x89HDF\r\n\x1a\n"


@dataclass(frozen=True)
class TriggerTable:
    """What a file of triggers says of itself."""

    count: int
    columns: tuple[str, ...]
    channel: str | None


def holds_triggers(path: Path) -> bool:
    """Whether a file is HDF5 with Omicron's table of triggers."""
    # At its very start: HDF5's own search would find one that lies first in a tar.
    with path.open("rb") as file:
        if file.read(len(_HDF5)) != _HDF5:
            return False
    try:
        with h5py.File(path, "r") as tree:
            # One whose values lie elsewhere counts as well, so that reading it says so.
            found = find_dataset(tree, TRIGGERS)
            return found is not None and found.dtype.names is not None
    except GlitchError:
        return True
    except (OSError, RuntimeError):
        return False


def trigger_table(path: Path, name: str) -> TriggerTable:
    """What a file of triggers says of itself.

    Args:
        path: Where it lies.
        name: What it was called, for messages.

    Raises:
        FormatError: if it is damaged, or its triggers are no table of the file's own.
        TooLargeError: if a row is longer than any trigger is.
    """
    with _table(path, name) as (tree, dataset):
        value = read_attribute(tree, "Mstreamname")
        channel = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        return TriggerTable(
            count=dataset_shape(dataset)[0],
            columns=tuple(dataset.dtype.names),
            channel=channel if isinstance(channel, str) and channel else None,
        )


def trigger_rows(
    path: Path, name: str, columns: Sequence[str], start: int, count: int
) -> list[list[Any]]:
    """Plain values of some columns in rows ``start`` to before ``start + count``.

    Raises:
        FormatError: as ``trigger_table``; also for a column that is not there.
        TooLargeError: as ``trigger_table``.
    """
    with _table(path, name) as (_, dataset):
        most_bytes = count * _MOST_ROW_BYTES
        block = read_rows(dataset, start, start + count, most_bytes=most_bytes)
        plain = [_plain(block[column]) for column in columns]
        return [list(row) for row in zip(*plain, strict=True)]


def _plain(values: np.ndarray) -> list[Any]:
    found: list[Any] = values.tolist()
    return found


@contextmanager
def _table(path: Path, name: str) -> Iterator[tuple[h5py.File, h5py.Dataset]]:
    try:
        with h5py.File(path, "r") as tree:
            dataset = find_dataset(tree, TRIGGERS)
            if dataset is None or dataset.dtype.names is None or len(dataset_shape(dataset)) != 1:
                raise FormatError(f"{name}: its triggers are no table.")
            if dataset.dtype.itemsize > _MOST_ROW_BYTES:
                raise TooLargeError(
                    f"{name}: each trigger has {dataset.dtype.itemsize:,} bytes; at most "
                    f"{_MOST_ROW_BYTES:,} are read. Leave out what Omicron does not write."
                )
            yield tree, dataset
    except GlitchError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise FormatError(f"{name} is truncated or damaged: send it again.") from error
