"""Strain from HDF5 files of GWOSC, gwpy and PyCBC."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

import h5py
import numpy as np

from glitch.damage import damage_as
from glitch.errors import FormatError
from glitch.hdf5 import (
    dataset_shape,
    find_dataset,
    read_attribute,
    read_rows,
    read_scalar,
    walk_datasets,
)
from glitch.strain.source import (
    MAX_SAMPLES,
    Request,
    Samples,
    Source,
    check_kind,
    decimal_seconds,
    ifo_from_text,
    rate_from_step,
)

_GWOSC = "strain/Strain"
_STEP_NAMES = ("Xspacing", "dx", "delta_t")
_RATE_NAMES = ("sample_rate_hz", "sample_rate", "fs")
_START_NAMES = ("Xstart", "x0", "start_time", "gps_start", "epoch")
_USUAL_NAMES = ("strain", "data", "values")  # where nothing in the attributes tells
_MAX_MASK_BYTES = 1 << 20


@contextmanager
def open_hdf5(path: Path, request: Request) -> Iterator[Source]:
    """Open the one strain series of an HDF5 file.

    Raises:
        FormatError: if there is none, or several and no channel was given, it is damaged, or
            anything of it lies in another file.
        TooLargeError: if reading any part would decode more than 64 MiB at once.
    """
    sentence = f"{request.shown_name} is a truncated or damaged HDF5 file. Send it again."
    with damage_as(sentence), h5py.File(path, "r") as file:
        dataset = _strain_dataset(file, request)
        check_kind(dataset.dtype, dataset_shape(dataset), request)
        yield _source(file, dataset, request)


def strain_names(file: h5py.File) -> list[str]:
    """Paths of the datasets that look like strain: GWOSC's, or with gwpy's or PyCBC's spacing."""
    if find_dataset(file, _GWOSC) is not None:
        return [_GWOSC]
    evenly = [
        path
        for path, dataset in walk_datasets(file)
        if len(dataset_shape(dataset)) == 1
        and any(key in dataset.attrs for key in (*_STEP_NAMES, *_RATE_NAMES))
    ]
    return evenly or [name for name in _USUAL_NAMES if find_dataset(file, name) is not None]


def _strain_dataset(file: h5py.File, request: Request) -> h5py.Dataset:
    names = strain_names(file)
    if request.channel:
        wanted = [n for n in names if request.channel in (n, n.split("/")[-1], _label(file[n]))]
        names = wanted or (names if names == [_GWOSC] else [])
    if len(names) == 1:
        return file[names[0]]
    if not names:
        raise FormatError(
            f"{request.shown_name} holds no strain"
            + (f" called {request.channel!r}" if request.channel else "")
            + ": expected GWOSC's strain/Strain, or a series with x0 and dx as gwpy writes it."
        )
    listed = ", ".join(repr(name) for name in names[:10])
    raise FormatError(f"{request.shown_name} holds several series: give channel, one of {listed}.")


def _source(file: h5py.File, dataset: h5py.Dataset, request: Request) -> Source:
    name = _label(dataset)
    detector = _text(_meta(file, "meta/Detector"))
    channel = name if name and ":" in name else None

    def read(first: int, last: int) -> Samples:
        try:
            most_bytes = MAX_SAMPLES * dataset.dtype.itemsize
            values = read_rows(dataset, first, last, most_bytes=most_bytes).astype(np.float64)
            return _without_missing(file, values, first, _rate(dataset))
        except OSError as error:
            raise FormatError(
                f"{request.shown_name} is damaged: its strain cannot be decoded. Send it again."
            ) from error

    return Source(
        n_samples=dataset_shape(dataset)[0],
        sample_rate_hz=_rate(dataset),
        gps_start=_start(file, dataset),
        ifo=ifo_from_text(detector, name),
        channel=channel,
        read=read,
    )


def _without_missing(
    file: h5py.File, values: Samples, first: int, rate_hz: float | None
) -> Samples:
    """NaN where GWOSC's data-quality mask says that there are no data (bit 0, one a second)."""
    if not rate_hz or find_dataset(file, _GWOSC) is None:
        return values
    mask = find_dataset(file, "quality/simple/DQmask")
    if mask is None or mask.dtype.kind not in "iu" or len(dataset_shape(mask)) != 1:
        return values
    seconds = ((first + np.arange(values.size)) // rate_hz).astype(np.int64)
    low = int(seconds[0])
    bits = read_rows(mask, low, int(seconds[-1]) + 1, most_bytes=_MAX_MASK_BYTES)
    if bits.size < int(seconds[-1]) + 1 - low:
        return values
    return np.where(bits[seconds - low] & 1, values, np.nan)


def _rate(dataset: h5py.Dataset) -> float | None:
    for name in _STEP_NAMES:
        step = _number(read_attribute(dataset, name))
        if step is not None:
            return rate_from_step(step)
    for name in _RATE_NAMES:
        rate = _number(read_attribute(dataset, name))
        if rate is not None:
            return rate
    return None


def _start(file: h5py.File, dataset: h5py.Dataset) -> Decimal | None:
    for name in _START_NAMES:
        start = decimal_seconds(read_attribute(dataset, name))
        if start is not None:
            return start
    return decimal_seconds(_meta(file, "meta/GPSstart"))


def _meta(file: h5py.File, path: str) -> object:
    dataset = find_dataset(file, path)
    return None if dataset is None else read_scalar(dataset)


def _label(dataset: h5py.Dataset) -> str | None:
    for name in ("channel", "name"):
        text = _text(read_attribute(dataset, name))
        if text:
            return text
    return str(dataset.name).split("/")[-1] or None


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float | np.number) else None


def _text(value: object) -> str | None:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value if isinstance(value, str) else None
