"""What an HDF5 file states about a series: in attributes, beside it, and in groups around it."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from functools import partial

import h5py

from glitch.detectors import detector_of_channel
from glitch.files.hdf5 import (
    dataset_names,
    dataset_shape,
    find_dataset,
    find_group,
    is_one_row,
    read_attribute,
    read_pair,
    read_samples,
    read_scalar,
)
from glitch.strain.placing import Times
from glitch.strain.source import (
    MAX_SAMPLES,
    RATE_NAMES,
    START_NAMES,
    STEP_NAMES,
    TIMES_NAMES,
    decimal_seconds,
    is_of_gps,
    nanoseconds_beside,
    number_of,
    one_rate,
    rate_from_step,
    with_nanoseconds,
)
from glitch.strain.stated import Entry

GWOSC_START = "meta/GPSstart"
_STARTS_IN_X_UNIT = ("Xstart", "x0")  # in the unit of the sample spacing
_MAX_SEARCHED = 200  # attributes of a node, and values in a group, that are searched for a time
_TIME_UNITS = {  # as written by gwpy and by users, in s
    **dict.fromkeys(("", "s", "sec", "second", "seconds"), Decimal(1)),
    **{"ms": Decimal("1e-3"), "us": Decimal("1e-6"), "ns": Decimal("1e-9")},
}


def rate_of(file: h5py.File, path: str, dataset: h5py.Dataset) -> float | None:
    """Return the rate in Hz that is stated for a series, or follows from its stated spacing.

    Raises:
        StrainError: if the two contradict each other.
    """
    for name in STEP_NAMES:
        step = number_of(stated_value(file, path, dataset, name))
        if step is not None and step > 0:
            stated = (number_of(read_attribute(dataset, one)) for one in RATE_NAMES)
            rate = next((one for one in stated if one is not None), None)
            return one_rate(rate_from_step(step * float(x_unit(dataset) or 1)), rate, path)
    for name in RATE_NAMES:
        rate = number_of(stated_value(file, path, dataset, name))
        if rate is not None:
            return rate
    return None


def start_of(file: h5py.File, path: str, dataset: h5py.Dataset) -> tuple[Decimal | None, str]:
    """Return the stated start of a series, and the name under which it is stated."""
    for name in START_NAMES:
        value = stated_value(file, path, dataset, name)
        is_scaled = name in _STARTS_IN_X_UNIT and (x_unit(dataset) or 1) != 1
        start = _scaled(value, x_unit(dataset)) if is_scaled else decimal_seconds(value)
        if start is not None:
            parts = (stated_value(file, path, dataset, one) for one in nanoseconds_beside(name))
            nanoseconds = next((one for one in parts if one is not None), None)
            return with_nanoseconds(start, nanoseconds), name
    return decimal_seconds(scalar_at(file, GWOSC_START)), ""


def times_of(file: h5py.File, path: str, dataset: h5py.Dataset) -> Times | None:
    """Return the reader of a column of times stored with a series; None if there is none.

    It has a known name or holds GPS times: one for each sample, or one more if they are edges.
    """
    parent, _, own_name = path.rpartition("/")
    node = find_group(file, parent) if parent else file
    n_samples = max(dataset_shape(dataset), default=0)
    if node is None or not n_samples:
        return None
    for name in sorted(dataset_names(node)[:_MAX_SEARCHED], key=lambda one: one not in TIMES_NAMES):
        column = find_dataset(node, name)
        if name == own_name or column is None or column.dtype.kind not in "fiu":
            continue
        shape = dataset_shape(column)
        if not is_one_row(shape) or max(shape) - n_samples not in (0, 1):
            continue
        times = partial(read_samples, column, max_bytes=MAX_SAMPLES * column.dtype.itemsize)
        if name in TIMES_NAMES or is_of_gps(float(times(0, 1)[0])):
            return times
    return None


def stated_value(file: h5py.File, path: str, dataset: h5py.Dataset, name: str) -> object:
    """Return a value of this name: of the dataset, else beside it, else of an enclosing group."""
    value = read_attribute(dataset, name)
    group = path
    while value is None and "/" in "/" + group:
        group = group.rpartition("/")[0]
        node = find_group(file, group) if group else file
        if node is not None:
            value = read_attribute(node, name)
            value = scalar_at(node, name) if value is None else value
        if not group:
            break
    return value


def all_stated(file: h5py.File, path: str, dataset: h5py.Dataset) -> Iterator[Entry]:
    """Yield names and values stated about a series: its own, then those of the groups around it."""
    nodes: list[h5py.Dataset | h5py.Group | None] = [dataset]
    while path:
        path = path.rpartition("/")[0]
        nodes.append(find_group(file, path) if path else file)
    for node in filter(None, nodes):
        for name in list(node.attrs)[:_MAX_SEARCHED]:
            yield name, read_attribute(node, name) or read_pair(node, name)
    for node in filter(None, nodes[1:]):
        for name in dataset_names(node)[:_MAX_SEARCHED]:
            yield name, scalar_at(node, name) or read_pair(node, name)


def scalar_at(group: h5py.Group, path: str) -> object:
    """Return the single value of the dataset at a path; None if there is none."""
    dataset = find_dataset(group, path)
    return None if dataset is None else read_scalar(dataset)


def name_of(node: h5py.Dataset | h5py.Group) -> str | None:
    """Return the name of a series that its dataset or group states."""
    texts = (_text(read_attribute(node, key)) for key in ("channel", "name"))
    return next(filter(None, texts), None)


def channel_of(group: h5py.Group | None) -> str | None:
    """Return the channel that a group states, as LAL's have the series' attributes."""
    name = None if group is None else name_of(group)
    return name if detector_of_channel(name) else None


def x_unit(dataset: h5py.Dataset) -> Decimal | None:
    """Return the unit in s of a series' steps and starts; None if it is not a unit of time."""
    return _TIME_UNITS.get((_text(read_attribute(dataset, "xunit")) or "").strip().lower())


def _scaled(value: object, unit: Decimal | None) -> Decimal | None:
    if (number := number_of(value)) is None or unit is None:
        return None
    return decimal_seconds(str(Decimal(repr(number)) * unit))


def _text(value: object) -> str | None:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value if isinstance(value, str) else None
