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

from glitch.detectors import detector_of_text, parse_detector
from glitch.errors import FormatError, GlitchError, TooLargeError
from glitch.files.damage import DAMAGE, damage_as
from glitch.files.hdf5 import (
    dataset_shape,
    find_dataset,
    read_attribute,
    read_fields,
    walk_datasets,
)
from glitch.tables.columns import TIMES, is_known, is_time, plain_name

TRIGGERS = "triggers"
_IFO = "ifo"
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
    read: Callable[[int, int, Sequence[str]], Mapping[str, Sequence[Any]]]

    @property
    def ifo(self) -> str | None:
        """The detector that its path names."""
        return detector_of_text(self.path.replace("/", " "))


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
            ifo=table.ifo,
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
        return [list(row) for row in zip(*(block[column] for column in columns), strict=True)]


@contextmanager
def _open(path: Path, name: str) -> Iterator[tuple[h5py.File, _Table]]:
    with damage_as(f"{name} is truncated or damaged: send it again."), h5py.File(path, "r") as tree:
        tables = _tables(tree)
        if not tables:
            raise FormatError(f"{name}: its triggers are no table with a column of times.")
        table = _chosen(tables)
        if table is None:
            listed = ", ".join(repr(one.path) for one in tables[:10])
            raise FormatError(
                f"{name} holds several tables of triggers ({listed}): send each alone."
            )
        if table.row_bytes > _MOST_ROW_BYTES:
            raise TooLargeError(
                f"{name}: each trigger has {table.row_bytes:,} bytes; at most "
                f"{_MOST_ROW_BYTES:,} are read. Leave out what Omicron does not write."
            )
        yield tree, table


def _chosen(tables: list[_Table]) -> _Table | None:
    """The table that is meant: the only one, the one called so, or one of each detector as one."""
    named = [one for one in tables if one.path.rpartition("/")[2] == TRIGGERS]
    found = named or [one for one in tables if parse_detector(one.path)] or tables
    if len(found) == 1:
        return found[0]
    ifos = [one.ifo for one in found]
    if None in ifos or len(set(ifos)) < len(found):
        return None
    return _joined(found)


def _joined(tables: list[_Table]) -> _Table:
    """Tables of several detectors, one below the other, with the detector as a column."""
    columns = dict.fromkeys([name for one in tables for name in one.columns] + [_IFO])

    def read(start: int, stop: int, wanted: Sequence[str]) -> Mapping[str, Sequence[Any]]:
        found: dict[str, list[Any]] = {name: [] for name in wanted}
        before = 0
        for one in tables:
            first, last = max(start - before, 0), min(stop - before, one.count)
            before += one.count
            if first >= last:
                continue
            own = one.read(first, last, [name for name in wanted if name in one.columns])
            missing = {_IFO: [one.ifo] * (last - first)}
            for name in wanted:
                found[name] += own.get(name) or missing.get(name) or [None] * (last - first)
        return found

    count, row_bytes = sum(one.count for one in tables), max(one.row_bytes for one in tables)
    return _Table("", tuple(columns), count, row_bytes, read)


def _tables(tree: h5py.File) -> list[_Table]:
    own = find_dataset(tree, TRIGGERS)
    if own is not None and own.dtype.names is not None and len(dataset_shape(own)) == 1:
        return [_compound(TRIGGERS, own)]
    found: list[_Table] = []
    groups: dict[str, dict[str, h5py.Dataset]] = {}
    others: dict[str, list[tuple[int, ...]]] = {}  # what groups hold that is no column
    for path, dataset in walk_datasets(tree):
        group, _, column = path.rpartition("/")
        if len(dataset_shape(dataset)) != 1:
            others.setdefault(group, []).append(dataset_shape(dataset))
        elif dataset.dtype.names is not None and _has_time(dataset.dtype.names):
            found.append(_compound(path, dataset))
        elif dataset.dtype.names is None:
            groups.setdefault(group, {})[column] = dataset
    return found or [
        table
        for path, columns in groups.items()
        if (table := _columnar(path, columns)) is not None
        and not any(_is_of_each(shape, table.count) for shape in others.get(path, ()))
    ]


def _is_of_each(shape: tuple[int, ...], count: int) -> bool:
    """Whether an array may hold more of each row, as views do, than a table does."""
    return len(shape) > 2 or shape[:1] == (count,)


def _has_time(columns: Sequence[str]) -> bool:
    return any(plain_name(column) in TIMES for column in columns)


def _compound(path: str, dataset: h5py.Dataset) -> _Table:
    def read(start: int, stop: int, columns: Sequence[str]) -> Mapping[str, Sequence[Any]]:
        most_bytes = max(stop - start, 1) * _MOST_ROW_BYTES
        return read_fields(dataset, start, stop, columns, most_bytes=most_bytes) if columns else {}

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
        if dataset_shape(one)[0] == count and _is_plain(one) and is_known(name)
    }
    if all(is_time(name) for name in columns):  # segments have no more
        return None

    def read(start: int, stop: int, wanted: Sequence[str]) -> Mapping[str, Sequence[Any]]:
        most_bytes = max(stop - start, 1) * _MOST_ROW_BYTES
        return {
            name: read_fields(columns[name], start, stop, (), most_bytes=most_bytes)[""]
            for name in wanted
        }

    row_bytes = sum(one.dtype.itemsize for one in columns.values())
    return _Table(path, tuple(columns), count, row_bytes, read)


def _is_plain(dataset: h5py.Dataset) -> bool:
    return dataset.dtype.kind in "fiuS" or h5py.check_string_dtype(dataset.dtype) is not None
