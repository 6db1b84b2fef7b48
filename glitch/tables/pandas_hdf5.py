"""Read tables written by pandas' ``to_hdf``, ``fixed`` or ``table``, without pandas or PyTables.

Columns of one type share a block, and the index is stored separately. Dates are stored as Unix
time. Names that pandas pickled are taken from the strings in the pickle, which is parsed but never
executed; text columns of the fixed layout are pickled as a whole and cannot be read.
"""

from __future__ import annotations

import pickletools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import h5py

from glitch.errors import FormatError
from glitch.files.hdf5 import (
    dataset_names,
    dataset_shape,
    find_dataset,
    find_group,
    read_attribute,
    read_fields,
    read_rows,
)
from glitch.tables.columns import has_times, is_time, may_be_times

LEVEL = "axis1_level0"  # of a multi-level index
_INDEX, _INDEX_NAME, _NONE = "index", "index_name", "N."  # pandas' names
_DATES = re.compile(r"datetime64(?:\[(s|ms|us|ns).*\])?", re.ASCII)
_Column = tuple[h5py.Dataset, str, int | None]
_BLOCK = re.compile(r"block\d{1,4}_items", re.ASCII)
_MAX_COLUMNS, _MAX_NAME_BYTES = 2_000, 1 << 20


@dataclass(frozen=True, eq=False)
class PandasTable:
    """One DataFrame: for each column the dataset, the field and the position in its block."""

    columns: Mapping[str, _Column]
    count: int
    row_bytes: int

    def read(
        self, start: int, stop: int, names: Sequence[str], max_bytes: int
    ) -> dict[str, list[Any]]:
        """Return plain values of some columns in rows ``start`` to before ``stop``."""
        values: dict[str, list[Any]] = {}
        for name in names:
            dataset, field, column = self.columns[name]
            if field:
                block = read_fields(dataset, start, stop, [field], max_bytes=max_bytes)[field]
            else:
                block = read_rows(dataset, start, stop, max_bytes=max_bytes).tolist()
            values[name] = block if column is None else [row[column] for row in block]
        return values


def pandas_table(tree: h5py.File, group_path: str) -> PandasTable | None:
    """Return the DataFrame in a group, None if there is none.

    Raises:
        FormatError: if some of its columns are pickled and cannot be read, or its index has several
            levels.
    """
    group = find_group(tree, group_path)
    if group is None:
        return None
    kind = _text(read_attribute(group, "pandas_type"))
    if kind == "frame":
        return _fixed(group, group_path)
    table = find_dataset(group, "table") if kind == "frame_table" else None
    return None if table is None or table.dtype.names is None else _appendable(group, table)


def _fixed(group: h5py.Group, path: str) -> PandasTable | None:
    columns: dict[str, _Column] = {}
    pickled: list[str] = []
    index = find_dataset(group, "axis1")
    if find_dataset(group, LEVEL) is not None:
        raise FormatError(
            f"pandas keeps the index of {path!r} in several levels: write the table with "
            "reset_index() before to_hdf."
        )
    if index is None or len(dataset_shape(index)) != 1:
        return None
    count = dataset_shape(index)[0]
    row_bytes = 0
    for block in filter(_BLOCK.fullmatch, dataset_names(group)):
        items = find_dataset(group, block)
        values = find_dataset(group, block.replace("items", "values"))
        if items is None or values is None or items.dtype.kind != "S":
            continue
        names = read_rows(items, 0, _MAX_COLUMNS, max_bytes=_MAX_NAME_BYTES).tolist()
        if values.dtype.kind not in "fiu":
            pickled += [name.decode("utf-8", "replace") for name in names]
        elif dataset_shape(values) == (count, len(names)):
            row_bytes += values.dtype.itemsize * len(names)
            kind = _text(read_attribute(values, "value_type"))
            for at, name in enumerate(names):
                column = _name_in(name.decode("utf-8", "replace"), kind)
                columns[column] = (values, "", at)
    if pickled:
        listed = ", ".join(repr(name) for name in pickled[:5])
        raise FormatError(
            f"pandas pickled the columns {listed} of {path!r}, which are never read: write it with "
            "to_hdf(..., format='table') or to_csv."
        )
    row_bytes += index.dtype.itemsize
    name, kind = (_text(read_attribute(index, one)) for one in ("name", "kind"))
    _add_index(columns, (index, "", None), "" if name == _NONE else name, kind)
    return PandasTable(columns, count, row_bytes) if columns else None


def _appendable(group: h5py.Group, table: h5py.Dataset) -> PandasTable:
    columns: dict[str, _Column] = {}
    for field in table.dtype.names:
        width = table.dtype[field].shape
        kind = _text(read_attribute(table, f"{field}_dtype"))
        if not width:
            if field != _INDEX:
                columns[_name_in(field, kind)] = (table, field, None)
            continue
        names = _pickled_names(read_attribute(table, f"{field}_kind"))
        if width == (len(names),):
            named = ((_name_in(name, kind), column) for column, name in enumerate(names))
            columns.update({name: (table, field, column) for name, column in named})
    if _INDEX in table.dtype.names and not table.dtype[_INDEX].shape:
        axes = _pickled_names(read_attribute(group, "info"))
        at = axes.index(_INDEX_NAME) + 1 if _INDEX_NAME in axes else len(axes)
        kind = _text(read_attribute(table, f"{_INDEX}_kind"))
        _add_index(columns, (table, _INDEX, None), "".join(axes[at : at + 1]), kind)
    return PandasTable(columns, dataset_shape(table)[0], table.dtype.itemsize)


def _add_index(columns: dict[str, _Column], column: _Column, name: str, kind: str) -> None:
    """Add the index as a column if it has a name, or holds times that no column holds.

    Without a name it is taken as GPS time if its numbers are too large for row numbers.
    """
    name = _name_in(name or ("time" if _DATES.fullmatch(kind) else ""), kind)
    dataset, field, _ = column
    dtype = dataset.dtype[field] if field else dataset.dtype
    if not name and dtype.kind in "fiu" and not has_times(columns) and dataset_shape(dataset)[0]:
        first = read_rows(dataset, 0, 1, max_bytes=_MAX_NAME_BYTES)[0]
        name = "gps_time" if may_be_times(first[field] if field else first) else ""
    if name and dtype.kind in "fiuS":
        columns.setdefault(name, column)


def _name_in(name: str, kind: str) -> str:
    """Return a column's name; for dates, which are stored as Unix time, a name that says so."""
    dates = _DATES.fullmatch(kind)
    return f"unix_time [{dates[1] or 'ns'}]" if dates and is_time(name) else name


def _pickled_names(value: object) -> list[str]:
    """Return the strings in a pickled list, from its opcodes."""
    if not isinstance(value, bytes):
        return []
    try:
        listed = [one for _, one, _ in pickletools.genops(value) if isinstance(one, str)]
    except ValueError:  # a damaged pickle
        return []
    return listed[:_MAX_COLUMNS]


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value or "")
