"""Tables as pandas' ``to_hdf`` keeps them, ``fixed`` or ``table``, read without pandas or PyTables.

Several columns of one type lie in one block. Names that pandas pickled are taken from the text of
the pickle, which is listed and never run; text columns of the fixed layout are pickled as a whole.
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

_BLOCK = re.compile(r"block\d{1,4}_items", re.ASCII)
_MOST_COLUMNS, _MOST_NAME_BYTES = 2_000, 1 << 20


@dataclass(frozen=True, eq=False)
class PandasTable:
    """One DataFrame: its columns, each as the dataset, field and place in the block it lies in."""

    columns: Mapping[str, tuple[h5py.Dataset, str, int | None]]
    count: int
    row_bytes: int

    def read(
        self, start: int, stop: int, names: Sequence[str], most_bytes: int
    ) -> dict[str, list[Any]]:
        """Plain values of some columns in rows ``start`` to before ``stop``."""
        found: dict[str, list[Any]] = {}
        for name in names:
            dataset, field, place = self.columns[name]
            if field:
                block = read_fields(dataset, start, stop, [field], most_bytes=most_bytes)[field]
            else:
                block = read_rows(dataset, start, stop, most_bytes=most_bytes).tolist()
            found[name] = block if place is None else [row[place] for row in block]
        return found


def pandas_table(tree: h5py.File, group_path: str) -> PandasTable | None:
    """The DataFrame that a group holds, None where it holds none.

    Raises:
        FormatError: if some of its columns are pickled, so that they cannot be read.
    """
    group = find_group(tree, group_path)
    if group is None:
        return None
    kind = _text(read_attribute(group, "pandas_type"))
    if kind == "frame":
        return _fixed(group, group_path)
    table = find_dataset(group, "table") if kind == "frame_table" else None
    return None if table is None or table.dtype.names is None else _appendable(table)


def _fixed(group: h5py.Group, path: str) -> PandasTable | None:
    columns: dict[str, tuple[h5py.Dataset, str, int | None]] = {}
    pickled: list[str] = []
    index = find_dataset(group, "axis1")
    if index is None or len(dataset_shape(index)) != 1:
        return None
    count = dataset_shape(index)[0]
    row_bytes = 0
    for block in filter(_BLOCK.fullmatch, dataset_names(group)):
        items = find_dataset(group, block)
        values = find_dataset(group, block.replace("items", "values"))
        if items is None or values is None or items.dtype.kind != "S":
            continue
        names = read_rows(items, 0, _MOST_COLUMNS, most_bytes=_MOST_NAME_BYTES).tolist()
        if values.dtype.kind not in "fiu":
            pickled += [name.decode("utf-8", "replace") for name in names]
        elif dataset_shape(values) == (count, len(names)):
            row_bytes += values.dtype.itemsize * len(names)
            for place, name in enumerate(names):
                columns[name.decode("utf-8", "replace")] = (values, "", place)
    if pickled:
        listed = ", ".join(repr(name) for name in pickled[:5])
        raise FormatError(
            f"pandas pickled the columns {listed} of {path!r}, which is never read: write it with "
            "to_hdf(..., format='table') or to_csv."
        )
    return PandasTable(columns, count, row_bytes) if columns else None


def _appendable(table: h5py.Dataset) -> PandasTable:
    columns: dict[str, tuple[h5py.Dataset, str, int | None]] = {}
    for field in table.dtype.names:
        width = table.dtype[field].shape
        if not width:
            if field != "index":
                columns[field] = (table, field, None)
            continue
        names = _pickled_names(read_attribute(table, f"{field}_kind"))
        if width == (len(names),):
            columns.update({name: (table, field, place) for place, name in enumerate(names)})
    return PandasTable(columns, dataset_shape(table)[0], table.dtype.itemsize)


def _pickled_names(value: object) -> list[str]:
    """The texts in a pickled list of texts, by its opcodes."""
    if not isinstance(value, bytes):
        return []
    try:
        listed = [one for _, one, _ in pickletools.genops(value) if isinstance(one, str)]
    except ValueError:  # of a damaged pickle
        return []
    return listed[:_MOST_COLUMNS]


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
