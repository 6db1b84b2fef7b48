"""Read tables of triggers from HDF5, a few rows at a time.

Omicron and our exports name the table ``triggers``; gwpy and astropy put it at any path; PyCBC has
a group per detector with a dataset per column; pandas stores blocks of columns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py

from glitch.detectors import detector_of_channel, detector_of_text, parse_detector
from glitch.errors import FormatError, GlitchError, TooLargeError
from glitch.files.channels import is_strain_channel
from glitch.files.damage import DAMAGE, damage_as
from glitch.files.hdf5 import (
    dataset_shape,
    find_dataset,
    find_group,
    is_one_row,
    read_attribute,
    read_fields,
    read_rows,
    walk_datasets,
)
from glitch.tables.columns import (
    NOT_TRIGGERS,
    are_of_posterior,
    has_times,
    is_known,
    is_time,
    with_unit,
)
from glitch.tables.layout import are_of_series, ecsv_units
from glitch.tables.pandas_hdf5 import LEVEL, PandasTable, pandas_table
from glitch.tables.times import is_coarse, why_coarse

TRIGGERS = "triggers"
_IFO = "ifo"
_CHANNELS = ("channel", "channel_name")
_IFOS = ("ifo", "detector", "instrument")
_MAX_ROW_BYTES = 2048  # Omicron's rows have 100
_SAMPLES = 200  # rows examined to tell a series from triggers
_META, _MASK = ".__table_column_meta__", ".mask"  # astropy's names for metadata and masks
_MAX_META_LINES, _MAX_META_BYTES = 2_000, 1 << 20
_PANDAS_DATASETS = ("axis1", LEVEL, "table")  # datasets that show one of its layouts
_HDF5 = b"\x89HDF\r\n\x1a\n"


@dataclass(frozen=True)
class TriggerTable:
    """The metadata of a file of triggers."""

    count: int
    columns: tuple[str, ...]
    channel: str | None  # channel of all triggers
    ifo: str | None = None
    is_omicron: bool = False  # Omicron's files state their stream


@dataclass(frozen=True, eq=False)
class _Table:
    """A table in an open file: a compound dataset, or a group with one dataset per column."""

    path: str
    columns: tuple[str, ...]
    count: int
    row_bytes: int
    read: Callable[[int, int, Sequence[str]], Mapping[str, Sequence[Any]]]
    coarse: tuple[str, ...] = ()  # omitted times: 32-bit floats hold them to 64 s
    is_posterior: bool = False

    @property
    def channel(self) -> str | None:
        """The channel in its path, as in SNAX's files."""
        return next((one for one in self.path.split("/") if detector_of_channel(one)), None)

    @property
    def ifo(self) -> str | None:
        """The detector in its path."""
        return detector_of_text(self.path.replace("/", " "))


def holds_triggers(path: Path) -> bool:
    """Return whether a file is HDF5 with a table of triggers."""
    # Only at the start of the file: HDF5's own search would also find a file that comes first in a
    # tar.
    with path.open("rb") as file:
        if file.read(len(_HDF5)) != _HDF5:
            return False
    try:
        with h5py.File(path, "r") as tree:
            return bool(_tables(tree))
    except FormatError:
        return True  # values in another file: reading it reports that
    except GlitchError:
        return False
    except DAMAGE:
        return False


def trigger_table(path: Path, name: str) -> TriggerTable:
    """Return the metadata of a file of triggers.

    Args:
        path: the file.
        name: its original name, for messages.

    Raises:
        FormatError: if it is damaged, or has no table of triggers in the file itself.
        TooLargeError: if a row is longer than any trigger is.
    """
    with _open(path, name) as (tree, table):
        stream = _text(read_attribute(tree, "Mstreamname"))
        is_omicron = stream is not None
        channel = stream or table.channel or _attribute(tree, table, _CHANNELS)
        detector = parse_detector(_attribute(tree, table, _IFOS))
        return TriggerTable(
            count=table.count,
            columns=table.columns,
            channel=channel,
            ifo=detector or table.ifo,
            is_omicron=is_omicron,
        )


def _attribute(tree: h5py.File, table: _Table, names: Sequence[str]) -> str | None:
    """Return the first of these attributes of a table, else of the groups around it."""
    parts = table.path.strip("/").split("/")
    paths = ("/".join(parts[:depth]) for depth in range(len(parts), 0, -1))
    nodes = [*(find_dataset(tree, path) or find_group(tree, path) for path in paths), tree]
    texts = (_text(read_attribute(node, name)) for node in nodes if node for name in names)
    return next(filter(None, texts), None)


def _text(value: object) -> str | None:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    return value if isinstance(value, str) and value else None


def trigger_rows(
    path: Path, name: str, columns: Sequence[str], start: int, count: int
) -> list[list[Any]]:
    """Return plain values of some columns in rows ``start`` to before ``start + count``.

    Raises:
        FormatError: as ``trigger_table``; also for a missing column.
        TooLargeError: as ``trigger_table``.
    """
    with _open(path, name) as (_, table):
        block = table.read(start, min(start + count, table.count), columns)
        return [list(row) for row in zip(*(block[column] for column in columns), strict=True)]


@contextmanager
def _open(path: Path, name: str) -> Iterator[tuple[h5py.File, _Table]]:
    with damage_as(f"{name} is truncated or damaged: send it again."), h5py.File(path, "r") as tree:
        tables = _tables(tree)
        if tables and all(one.is_posterior for one in tables):
            raise FormatError(f"{name} {NOT_TRIGGERS}")
        tables = [one for one in tables if not one.is_posterior]
        if not tables:
            raise FormatError(
                f"{name}: its triggers are not a table with a column of times. Save them as "
                "one, or send CSV."
            )
        table = _chosen(tables)
        if table is None:
            listed = ", ".join(repr(one.path) for one in tables[:10])
            raise FormatError(
                f"{name} holds several tables of triggers ({listed}): send each as a file of its "
                "own."
            )
        if table.row_bytes > _MAX_ROW_BYTES:
            raise TooLargeError(
                f"{name}: each trigger has {table.row_bytes:,} bytes; at most {_MAX_ROW_BYTES:,} "
                "are read. Leave out columns that Omicron does not write."
            )
        if table.coarse and not has_times(table.columns):
            raise FormatError(f"{name}: {why_coarse(table.coarse[0])}")
        yield tree, table


def _chosen(tables: list[_Table]) -> _Table | None:
    """Choose the table: the only one, the one named ``triggers``, or one per detector joined.

    If each channel has a group with a table per stretch, as in SNAX's files, strain is chosen.
    """
    named = [one for one in tables if one.path.rpartition("/")[2] == TRIGGERS]
    chosen = named or [one for one in tables if parse_detector(one.path)]
    chosen = chosen or [one for one in tables if _is_foreground(one.path)] or tables
    if len(chosen) > 1:
        chosen = [one for one in chosen if one.channel and is_strain_channel(one.channel)] or chosen
    if len(chosen) == 1:
        return chosen[0]
    if chosen[0].channel and len({(one.channel, one.columns) for one in chosen}) == 1:
        return replace(_joined(chosen), path=chosen[0].path)
    ifos = [one.ifo for one in chosen]
    if None in ifos or len(set(ifos)) < len(chosen):
        return None
    return _joined(chosen)


def _is_foreground(path: str) -> bool:
    """Return whether a table holds PyCBC's coincidences, not those of its time slides."""
    return "foreground" in path.split("/")


def _joined(tables: list[_Table]) -> _Table:
    """Concatenate the tables of several detectors, with the detector as a column."""
    columns = dict.fromkeys([name for one in tables for name in one.columns] + [_IFO])

    def read(start: int, stop: int, selected: Sequence[str]) -> Mapping[str, Sequence[Any]]:
        values: dict[str, list[Any]] = {name: [] for name in selected}
        before = 0
        for one in tables:
            first, last = max(start - before, 0), min(stop - before, one.count)
            before += one.count
            if first >= last:
                continue
            part = one.read(first, last, [name for name in selected if name in one.columns])
            missing = {_IFO: [one.ifo] * (last - first)}
            for name in selected:
                values[name] += part.get(name) or missing.get(name) or [None] * (last - first)
        return values

    count, row_bytes = sum(one.count for one in tables), max(one.row_bytes for one in tables)
    return _Table("", tuple(columns), count, row_bytes, read)


def _tables(tree: h5py.File) -> list[_Table]:
    own = find_dataset(tree, TRIGGERS)
    if own is not None and own.dtype.names is not None and len(dataset_shape(own)) == 1:
        return [_compound(tree, TRIGGERS, own)]
    found: list[_Table] = []
    groups: dict[str, dict[str, h5py.Dataset]] = {}
    others: dict[str, list[tuple[int, ...]]] = {}  # shapes of other datasets in each group
    for path, dataset in walk_datasets(tree):
        group, _, column = path.rpartition("/")
        frame = pandas_table(tree, group) if column in _PANDAS_DATASETS else None
        if frame is not None and has_times(frame.columns):
            found.append(_pandas_as_table(group, frame))
        elif not is_one_row(shape := dataset_shape(dataset)):
            others.setdefault(group, []).append(shape)
        elif len(shape) == 1 and dataset.dtype.names is not None and has_times(dataset.dtype.names):
            if _is_series(dataset):
                continue
            found.append(_compound(tree, path, dataset))
        elif dataset.dtype.names is None:
            groups.setdefault(group, {})[column] = dataset
    return found or [
        table
        for path, columns in groups.items()
        if (table := _columnar(path, columns)) is not None
        and not any(_is_of_each(shape, table.count) for shape in others.get(path, ()))
    ]


def _pandas_as_table(path: str, frame: PandasTable) -> _Table:
    coarse = tuple(
        name
        for name, (dataset, field, _) in frame.columns.items()
        if is_coarse(name, dataset.dtype[field].base if field else dataset.dtype)
    )

    def read(start: int, stop: int, selected: Sequence[str]) -> Mapping[str, Sequence[Any]]:
        return frame.read(start, stop, selected, max(stop - start, 1) * _MAX_ROW_BYTES)

    fine = tuple(name for name in frame.columns if name not in coarse)
    is_posterior = are_of_posterior(frame.columns)
    return _Table(path, fine, frame.count, frame.row_bytes, read, coarse, is_posterior)


def _is_of_each(shape: tuple[int, ...], count: int) -> bool:
    """Return whether an array may hold more per row than a table does, such as views."""
    return len(shape) > 2 or shape[:1] == (count,)


def _compound(tree: h5py.File, path: str, dataset: h5py.Dataset) -> _Table:
    """Read a compound dataset as a table, with the units and masks that astropy stores."""
    units = ecsv_units(_meta_lines(tree, path))
    coarse = tuple(name for name in dataset.dtype.names if is_coarse(name, dataset.dtype[name]))
    own = {with_unit(name, units.get(name, "")): name for name in dataset.dtype.names}
    masks = {name: f"{name}{_MASK}" for name in own.values() if f"{name}{_MASK}" in own.values()}

    def read(start: int, stop: int, columns: Sequence[str]) -> Mapping[str, Sequence[Any]]:
        names = [own[column] for column in columns]
        if not names:
            return {}
        max_bytes = max(stop - start, 1) * _MAX_ROW_BYTES
        hidden = [masks[name] for name in names if name in masks]
        values = read_fields(dataset, start, stop, [*names, *hidden], max_bytes=max_bytes)
        for name in set(names) & masks.keys():
            cells = zip(values[name], values[masks[name]], strict=True)
            values[name] = [None if is_hidden else cell for cell, is_hidden in cells]
        return {column: values[own[column]] for column in columns}

    columns = tuple(column for column, name in own.items() if name not in coarse)
    count = dataset_shape(dataset)[0]
    is_posterior = are_of_posterior(dataset.dtype.names)
    return _Table(path, columns, count, dataset.dtype.itemsize, read, coarse, is_posterior)


def _is_series(dataset: h5py.Dataset) -> bool:
    """Return whether a compound dataset holds samples of a series with times, not triggers."""
    names = [name for name in dataset.dtype.names if is_known(name)]
    if len(names) != 1 or dataset.dtype[names[0]].kind != "f":
        return False
    count = min(dataset_shape(dataset)[0], _SAMPLES)
    max_bytes = _SAMPLES * _MAX_ROW_BYTES
    return are_of_series(read_fields(dataset, 0, count, names, max_bytes=max_bytes)[names[0]])


def _meta_lines(tree: h5py.File, path: str) -> list[str]:
    """Return the metadata that astropy stores with a table, as lines of ECSV."""
    meta = find_dataset(tree, path + _META)
    if meta is None or meta.dtype.kind != "S" or len(dataset_shape(meta)) != 1:
        return []
    lines = read_rows(meta, 0, _MAX_META_LINES, max_bytes=_MAX_META_BYTES)
    return [line.decode("utf-8", "replace") for line in lines.tolist()]


def _columnar(path: str, datasets: Mapping[str, h5py.Dataset]) -> _Table | None:
    """Read a group as a table if it has times and other columns of equal length; else None."""
    times = [name for name in datasets if is_time(name)]
    if not has_times(datasets):
        return None
    count = max(dataset_shape(datasets[times[0]]))
    columns = {
        with_unit(name, _unit(one)): one
        for name, one in datasets.items()
        if max(dataset_shape(one)) == count and _is_plain(one) and is_known(name)
    }
    is_posterior = are_of_posterior(datasets)
    is_span = all(map(is_time, columns))  # segments have only times
    if is_span and not (_is_foreground(path) or is_posterior):
        return None
    coarse = tuple(name for name, one in columns.items() if is_coarse(name, one.dtype))

    def read(start: int, stop: int, selected: Sequence[str]) -> Mapping[str, Sequence[Any]]:
        max_bytes = max(stop - start, 1) * _MAX_ROW_BYTES
        return {
            name: read_fields(columns[name], start, stop, (), max_bytes=max_bytes)[""]
            for name in selected
        }

    row_bytes = sum(one.dtype.itemsize for one in columns.values())
    fine = tuple(name for name in columns if name not in coarse)
    return _Table(path, fine, count, row_bytes, read, coarse, is_posterior)


def _unit(dataset: h5py.Dataset) -> str:
    """Return the stated unit of a column; empty if none is stated."""
    unit = read_attribute(dataset, "unit") or read_attribute(dataset, "units")
    text = unit.decode("utf-8", "replace") if isinstance(unit, bytes) else unit
    return text if isinstance(text, str) else ""


def _is_plain(dataset: h5py.Dataset) -> bool:
    return dataset.dtype.kind in "fiuS" or h5py.check_string_dtype(dataset.dtype) is not None
