"""Read HDF5 files from untrusted clients, within limits.

HDF5 lets a dataset keep its values in any other file that the reading process may open (external
storage, virtual datasets), and lets a name refer to another file (external links). Readers
therefore never index a file directly. They find datasets and groups, and read values, with the
functions of this module, which stay inside the file and within stated sizes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod
from typing import Any

import h5py
import numpy as np
from jaxtyping import Shaped

from glitch.errors import FormatError, TooLargeError

MAX_CHUNK_BYTES = 1 << 26  # a chunk is decoded whole even if only a part is read
MAX_SCALAR_BYTES = 1 << 16
LONGEST_TEXT = 1000  # characters per table value
MAX_OBJECTS = 4_000  # objects visited in one file
DEEPEST = 32  # levels of groups; lookups slow down with each

Array = Shaped[np.ndarray, "..."]


def find_dataset(group: h5py.Group, path: str) -> h5py.Dataset | None:
    """Return the dataset at a path below a group; None if the file itself has none there.

    Raises:
        FormatError: if its values are stored in another file.
    """
    node = _find(group, path)
    if not isinstance(node, h5py.Dataset):
        return None
    check_stays_inside(node)
    return node


def find_group(group: h5py.Group, path: str) -> h5py.Group | None:
    """Return the group at a path below a group; None if the file itself has none there."""
    node = _find(group, path)
    return node if isinstance(node, h5py.Group) else None


def dataset_names(group: h5py.Group) -> list[str]:
    """Return the names of the datasets directly in a group, in the file's order.

    Raises:
        TooLargeError: if the group has over ``MAX_OBJECTS`` members.
    """
    if len(group) > MAX_OBJECTS:
        raise TooLargeError(f"The file holds over {MAX_OBJECTS:,} objects: send fewer.")
    return [name for name in _names(group) if isinstance(_find(group, name), h5py.Dataset)]


def group_names(group: h5py.Group) -> list[str]:
    """Return the names of the groups directly in a group, in the file's order."""
    return [name for name in _names(group) if isinstance(_find(group, name), h5py.Group)]


def paths_of_each(file: h5py.File, paths: Sequence[str]) -> list[list[str]]:
    """Group the paths of datasets that are one dataset, and add soft links in the file's root."""
    grouped: dict[int, list[str]] = {}
    for path in paths:
        if (dataset := find_dataset(file, path)) is not None:
            grouped.setdefault(h5py.h5o.get_info(dataset.id).addr, []).append(path)
    for name in list(file)[:MAX_OBJECTS]:
        link = file.get(name, getlink=True)
        if isinstance(link, h5py.SoftLink):
            target = link.path.strip("/")
            next((one for one in grouped.values() if target in one), []).append(str(name))
    return list(grouped.values())


def walk_datasets(file: h5py.Group) -> Iterator[tuple[str, h5py.Dataset]]:
    """Yield every dataset in the file itself with its path, in the file's order, each group once.

    Raises:
        FormatError: if a dataset's values are stored in another file.
        TooLargeError: if there are more objects, or deeper ones, than any strain file has.
    """
    n_visited = 0
    visited = {h5py.h5o.get_info(file.id).addr}
    waiting: list[tuple[str, h5py.Group]] = [("", file)]
    while waiting:
        path, group = waiting.pop()
        below: list[tuple[str, h5py.Group | None]] = []
        for name in group:
            n_visited += 1
            if n_visited > MAX_OBJECTS:
                raise TooLargeError(
                    f"The file holds over {MAX_OBJECTS:,} objects: send the strain alone."
                )
            node = _find(group, str(name))
            if isinstance(node, h5py.Dataset):
                check_stays_inside(node)
                yield f"{path}{name}", node
            elif node is not None:
                below.append((f"{path}{name}/", _unvisited(node, visited)))
        if below and path.count("/") >= DEEPEST:
            raise TooLargeError(
                f"The file's groups lie over {DEEPEST} levels deep: send the strain alone."
            )
        waiting += [(name, one) for name, one in reversed(below) if one is not None]


def _unvisited(group: h5py.Group, visited: set[int]) -> h5py.Group | None:
    """Return the group, or None if another path led to it: hard links may form cycles."""
    address = h5py.h5o.get_info(group.id).addr
    if address in visited:
        return None
    visited.add(address)
    return group


def check_stays_inside(dataset: h5py.Dataset) -> None:
    """Refuse a dataset whose values are stored in another file.

    Raises:
        FormatError: for external storage and for a virtual dataset.
    """
    # Check the storage before the shape: for a virtual dataset even the shape is looked up in its
    # source files.
    if dataset.is_virtual or dataset.external:
        raise FormatError(
            f"The dataset {str(dataset.name)!r} keeps its values in another file. "
            "Send one file that holds everything."
        )


def read_rows(dataset: h5py.Dataset, first: int, last: int, *, max_bytes: int) -> Array:
    """Read rows ``first`` to before ``last`` along the first axis, in the dataset's own type.

    Raises:
        FormatError: if the values are stored in another file, or are Python objects.
        TooLargeError: if the rows, or one chunk, would exceed the memory limit.
    """
    shape = dataset_shape(dataset)
    first, last, _ = slice(first, last).indices(shape[0] if shape else 0)
    _check_size(dataset, max(0, last - first) * prod(shape[1:]), max_bytes)
    return np.asarray(dataset[first:last])


def read_samples(dataset: h5py.Dataset, first: int, last: int, *, max_bytes: int) -> Array:
    """Like ``read_rows``, along the longest axis of a dataset whose other axes have length one."""
    shape = dataset_shape(dataset)
    if len(shape) < 2:
        return read_rows(dataset, first, last, max_bytes=max_bytes)
    along = shape.index(max(shape))
    _check_size(dataset, last - first, max_bytes)
    return np.asarray(
        dataset[tuple(slice(first, last) if i == along else 0 for i in range(len(shape)))]
    )


def read_whole(dataset: h5py.Dataset, *, max_bytes: int) -> Array:
    """Read all values, in the dataset's own type.

    Raises:
        FormatError: if the values are stored in another file, or are Python objects.
        TooLargeError: if the values, or one chunk, would exceed the memory limit.
    """
    _check_size(dataset, prod(dataset_shape(dataset)), max_bytes)
    return np.asarray(dataset[()])


def read_scalar(dataset: h5py.Dataset) -> object:
    """Read the single value of a dataset; None if it has none or several.

    Raises:
        FormatError: if the value is stored in another file.
        TooLargeError: if it is longer than any text that is read here.
    """
    if prod(dataset_shape(dataset)) != 1:
        return None
    _check_size(dataset, 1, MAX_SCALAR_BYTES, allows_text=True)
    return _one(dataset[()])


def read_cell(dataset: h5py.Dataset, index: int) -> object:
    """Read one value of a column, a number or text.

    Raises:
        FormatError: if the value is stored in another file.
        TooLargeError: if it is longer than any text that is read here.
    """
    check_stays_inside(dataset)
    _check_size(dataset, 1, MAX_SCALAR_BYTES, allows_text=True)
    return dataset[index]


def read_fields(
    dataset: h5py.Dataset, first: int, last: int, names: Sequence[str], *, max_bytes: int
) -> dict[str, list[Any]]:
    """Read some fields of a table's rows as plain Python values; texts are cut at ``LONGEST_TEXT``.

    Args:
        dataset: a compound dataset, or a single column if ``names`` is empty; its name is then "".
        first: first row.
        last: row after the last.
        names: the fields to read.
        max_bytes: limit on the memory in use at one time.

    Raises:
        FormatError: if the values are stored in another file, or are neither numbers nor text.
        TooLargeError: if the rows, or one chunk, would exceed the memory limit.
    """
    types = {name: dataset.dtype[name] if name else dataset.dtype for name in names or [""]}
    for name, dtype in types.items():
        if dtype.hasobject and h5py.check_string_dtype(dtype) is None:
            raise FormatError(f"The column {name!r} holds neither numbers nor text: leave it out.")
    _check_size(dataset, max(0, last - first), max_bytes, allows_text=True)
    columns: dict[str, list[Any]] = {}
    for name, dtype in types.items():
        column = dataset.fields(name) if name else dataset
        if dtype.hasobject and len(dataset_shape(dataset)) > 1:
            raise FormatError(f"{str(dataset.name)!r} is a matrix of texts: save it as one row.")
        if dtype.hasobject:  # one by one: many rows may share one huge text
            columns[name] = [column[row][:LONGEST_TEXT] for row in range(first, last)]
        else:
            is_flat = len(dataset_shape(dataset)) == 1
            most = dtype.itemsize * max(0, last - first)
            values = (
                np.asarray(column[first:last])
                if is_flat
                else read_samples(dataset, first, last, max_bytes=most)
            )
            # Python has no float this long, and tolist() would leave numpy scalars: keep the digits
            # as text.
            is_long = dtype.kind == "f" and dtype.itemsize > 8
            columns[name] = values.astype(str).tolist() if is_long else values.tolist()
            if (names_of := h5py.check_enum_dtype(dtype)) is not None:
                words = {value: word for word, value in names_of.items()}
                columns[name] = [words.get(value, value) for value in columns[name]]
    return columns


def read_attribute(node: h5py.Dataset | h5py.Group, name: str) -> object:
    """Read the single value of an attribute; None if it is absent or has several.

    Raises:
        TooLargeError: if it is longer than any text that is read here.
    """
    if name not in node.attrs:
        return None
    attribute = node.attrs.get_id(name)
    if prod(attribute.shape) != 1:
        return None
    if attribute.dtype.itemsize > MAX_SCALAR_BYTES:
        raise TooLargeError(
            f"The attribute {name!r} declares {attribute.dtype.itemsize:,} bytes; at most "
            f"{MAX_SCALAR_BYTES:,} are read. Save the file without it."
        )
    return _one(node.attrs[name])


def read_pair(group: h5py.Dataset | h5py.Group, name: str) -> tuple[object, ...] | None:
    """Read two numbers from the attribute of this name, else from a dataset; None if not two
    numbers.

    Raises:
        FormatError: if they are stored in another file.
    """
    if name in group.attrs:
        attribute = group.attrs.get_id(name)
        is_pair = prod(attribute.shape) == 2 and attribute.dtype.kind in "fiu"
        return tuple(np.asarray(group.attrs[name]).flat) if is_pair else None
    dataset = find_dataset(group, name) if isinstance(group, h5py.Group) else None
    if dataset is None or dataset.dtype.kind not in "fiu" or prod(dataset_shape(dataset)) != 2:
        return None
    return tuple(read_whole(dataset, max_bytes=MAX_SCALAR_BYTES).flat)


def is_one_row(shape: tuple[int, ...]) -> bool:
    """Return whether an array is one row of values: a line, a column or a one-row matrix."""
    return len(shape) == 1 or (len(shape) > 1 and sorted(shape)[-2] == 1)


def dataset_shape(dataset: h5py.Dataset) -> tuple[int, ...]:
    """Return the shape of a dataset in the file itself; (0,) for an empty dataset.

    Raises:
        FormatError: if the values are stored in another file.
    """
    check_stays_inside(dataset)
    shape = dataset.shape
    return (0,) if shape is None else tuple(int(length) for length in shape)


def _names(group: h5py.Group) -> list[str]:
    return [str(name) for name in group]


def _find(group: h5py.Group, path: str) -> h5py.Dataset | h5py.Group | None:
    """Follow hard links only: soft and external links may leave the file."""
    node: object = group
    for part in path.split("/"):
        if not isinstance(node, h5py.Group) or not isinstance(
            node.get(part, getlink=True), h5py.HardLink
        ):
            return None
        node = node[part]
    return node if isinstance(node, h5py.Dataset | h5py.Group) else None


def _check_size(
    dataset: h5py.Dataset, n_values: int, max_bytes: int, *, allows_text: bool = False
) -> None:
    _check_filters(dataset)
    dtype = dataset.dtype
    is_text = dtype.names is not None or h5py.check_string_dtype(dtype) is not None
    if dtype.hasobject and not (is_text and allows_text):
        raise FormatError(
            f"The dataset {str(dataset.name)!r} holds values without a fixed size. "
            "Save it as plain numbers."
        )
    n_bytes = n_values * dtype.itemsize
    if n_bytes > max_bytes:
        raise TooLargeError(
            f"The dataset {str(dataset.name)!r} declares {n_bytes:,} bytes; at most {max_bytes:,} "
            "are read. Save only the part around the glitch."
        )
    chunk_bytes = prod(dataset.chunks) * dtype.itemsize if dataset.chunks else 0
    if chunk_bytes > MAX_CHUNK_BYTES:
        raise TooLargeError(
            f"The dataset {str(dataset.name)!r} is stored in chunks of {prod(dataset.chunks):,} "
            "values, which would have to be decoded whole. Rewrite it in chunks under "
            f"{MAX_CHUNK_BYTES >> 20} MiB."
        )


def _check_filters(dataset: h5py.Dataset) -> None:
    """Refuse a dataset whose compression plugin is not installed: such a file is not damaged."""
    made = dataset.id.get_create_plist()
    for number in range(made.get_nfilters()):
        code, _, _, name = made.get_filter(number)
        if not h5py.h5z.filter_avail(code):
            shown = name.decode("utf-8", "replace") or f"filter {code}"
            raise FormatError(
                f"The dataset {str(dataset.name)!r} is compressed with {shown}, which is not read "
                "here: write it with gzip (zlib), or uncompressed."
            )


def _one(value: object) -> object:
    """Return one value; a text, which a file may make arbitrarily long, is cut."""
    one = value.flat[0] if isinstance(value, np.ndarray) and value.size == 1 else value
    return one[:MAX_SCALAR_BYTES] if isinstance(one, str | bytes) else one
