"""Tables of triggers in HDF5, of which a few rows are read at a time.

Omicron and our exports call the table ``triggers``; gwpy and astropy put it at any path; PyCBC
keeps a group for each detector, with a dataset for each column.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from glitch.detectors import detector_of_text
from glitch.errors import FormatError, GlitchError, TooLargeError
from glitch.files.damage import DAMAGE, damage_as
from glitch.files.hdf5 import dataset_shape, find_dataset, read_attribute, read_rows, walk_datasets
from glitch.tables.columns import TIMES, is_known, plain_name

TRIGGERS = "triggers"
_MOST_ROW_BYTES = 2048  # Omicron writes 100
_HDF5 = b"\x89HDF\r\n\x1a\n"


@dataclass(frozen=True)
class TriggerTable:
    """What a file of triggers says of itself."""

    count: int
    columns: tuple[str, ...]
    channel: str | None  # of all of them
    ifo: str | None = None


@dataclass(frozen=True, eq=False)
class _Table:
    """A table within an open file: a compound dataset, or a group with a dataset a column."""

    path: str
    columns: tuple[str, ...]
    count: int
    row_bytes: int
    read: Callable[[int, int, Sequence[str]], Mapping[str, np.ndarray]]


def holds_triggers(path: Path) -> bool:
    """Whether a file is HDF5 with a table of triggers."""
    # At its very start: HDF5's own search would find one that lies first in a tar.
    with path.open("rb") as file:
        if file.read(len(_HDF5)) != _HDF5:
            return False
    try:
        with h5py.File(path, "r") as tree:
            return bool(_tables(tree))
    except FormatError:
        return True  # one whose values lie elsewhere counts as well, so that reading it says so
    except GlitchError:
        return False
    except DAMAGE:
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
    with _open(path, name) as (tree, table):
        value = read_attribute(tree, "Mstreamname")
        channel = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        return TriggerTable(
            count=table.count,
            columns=table.columns,
            channel=channel if isinstance(channel, str) and channel else None,
            ifo=detector_of_text(table.path.replace("/", " ")),
        )


def trigger_rows(
    path: Path, name: str, columns: Sequence[str], start: int, count: int
) -> list[list[Any]]:
    """Plain values of some columns in rows ``start`` to before ``start + count``.

    Raises:
        FormatError: as ``trigger_table``; also for a column that is not there.
        TooLargeError: as ``trigger_table``.
    """
    with _open(path, name) as (_, table):
        block = table.read(start, min(start + count, table.count), columns)
        plain = [block[column].tolist() for column in columns]
        return [list(row) for row in zip(*plain, strict=True)]


@contextmanager
def _open(path: Path, name: str) -> Iterator[tuple[h5py.File, _Table]]:
    with damage_as(f"{name} is truncated or damaged: send it again."), h5py.File(path, "r") as tree:
        tables = _tables(tree)
        named = [one for one in tables if one.path.rpartition("/")[2] == TRIGGERS]
        if not tables:
            raise FormatError(f"{name}: its triggers are no table with a column of times.")
        if len(tables) > 1 and len(named) != 1:
            listed = ", ".join(repr(one.path) for one in tables[:10])
            raise FormatError(
                f"{name} holds several tables of triggers ({listed}): send each alone."
            )
        table = (named or tables)[0]
        if table.row_bytes > _MOST_ROW_BYTES:
            raise TooLargeError(
                f"{name}: each trigger has {table.row_bytes:,} bytes; at most "
                f"{_MOST_ROW_BYTES:,} are read. Leave out what Omicron does not write."
            )
        yield tree, table


def _tables(tree: h5py.File) -> list[_Table]:
    own = find_dataset(tree, TRIGGERS)
    if own is not None and own.dtype.names is not None and len(dataset_shape(own)) == 1:
        return [_compound(TRIGGERS, own)]
    found: list[_Table] = []
    groups: dict[str, dict[str, h5py.Dataset]] = {}
    others: set[str] = set()  # groups that hold more than columns: views, strain
    for path, dataset in walk_datasets(tree):
        group, _, column = path.rpartition("/")
        if len(dataset_shape(dataset)) != 1:
            others.add(group)
        elif dataset.dtype.names is not None and _has_time(dataset.dtype.names):
            found.append(_compound(path, dataset))
        elif dataset.dtype.names is None:
            groups.setdefault(group, {})[column] = dataset
    return found or [
        table
        for path, columns in groups.items()
        if path not in others and (table := _columnar(path, columns)) is not None
    ]


def _has_time(columns: Sequence[str]) -> bool:
    return any(plain_name(column) in TIMES for column in columns)


def _compound(path: str, dataset: h5py.Dataset) -> _Table:
    def read(start: int, stop: int, columns: Sequence[str]) -> Mapping[str, np.ndarray]:
        most_bytes = max(stop - start, 1) * _MOST_ROW_BYTES
        block = read_rows(dataset, start, stop, most_bytes=most_bytes)
        return {column: block[column] for column in columns}

    return _Table(
        path, tuple(dataset.dtype.names), dataset_shape(dataset)[0], dataset.dtype.itemsize, read
    )


def _columnar(path: str, datasets: Mapping[str, h5py.Dataset]) -> _Table | None:
    """A group as a table, where it has times and more of one length; None where it is none."""
    times = [name for name in datasets if plain_name(name) in TIMES]
    if not times:
        return None
    count = dataset_shape(datasets[times[0]])[0]
    columns = {
        name: one
        for name, one in datasets.items()
        if dataset_shape(one)[0] == count and one.dtype.kind in "fiuS" and is_known(name)
    }
    if len(columns) < 2:
        return None

    def read(start: int, stop: int, wanted: Sequence[str]) -> Mapping[str, np.ndarray]:
        most_bytes = max(stop - start, 1) * _MOST_ROW_BYTES
        return {
            name: read_rows(columns[name], start, stop, most_bytes=most_bytes) for name in wanted
        }

    row_bytes = sum(one.dtype.itemsize for one in columns.values())
    return _Table(path, tuple(columns), count, row_bytes, read)
