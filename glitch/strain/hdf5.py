"""Strain from HDF5 files of GWOSC, gwpy and PyCBC."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

import h5py
import numpy as np

from glitch.errors import FormatError, TooLargeError
from glitch.strain.source import (
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
_MAX_CHUNK_BYTES = 1 << 26  # one chunk is decoded whole, whatever part of it is asked for
_MAX_OBJECTS = 10_000


@contextmanager
def open_hdf5(path: Path, request: Request) -> Iterator[Source]:
    """Open the one strain series of an HDF5 file.

    Raises:
        FormatError: if there is none, or several and no channel was given, or it is damaged.
        TooLargeError: if reading any part would decode more than 64 MiB at once.
    """
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise FormatError(
            f"{request.shown_name} is a truncated or damaged HDF5 file. Send it again."
        ) from error
    with file:
        dataset = _strain_dataset(file, request)
        check_kind(dataset.dtype, dataset.shape, request)
        _check_storage(dataset, request)
        yield _source(file, dataset, request)


def strain_names(file: h5py.File) -> list[str]:
    """Paths of the datasets that look like strain: GWOSC's, or with gwpy's or PyCBC's spacing."""
    if _is_dataset(file, _GWOSC):
        return [_GWOSC]
    evenly: list[str] = []
    seen = 0

    def visit(name: str, thing: object) -> bool | None:
        nonlocal seen
        seen += 1
        if not isinstance(thing, h5py.Dataset) or len(thing.shape or ()) != 1:
            return True if seen > _MAX_OBJECTS else None
        if any(key in thing.attrs for key in (*_STEP_NAMES, *_RATE_NAMES)):
            evenly.append(name)
        return None

    file.visititems(visit)  # follows hard links only: no other file is ever opened
    return evenly or [name for name in _USUAL_NAMES if _is_dataset(file, name)]


def _is_dataset(file: h5py.File, name: str) -> bool:
    group: h5py.Group = file
    parts = name.split("/")
    for part in parts:
        if not isinstance(group, h5py.Group) or not isinstance(
            group.get(part, getlink=True), h5py.HardLink
        ):
            return False
        group = group[part]
    return isinstance(group, h5py.Dataset)


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


def _check_storage(dataset: h5py.Dataset, request: Request) -> None:
    if dataset.external or dataset.is_virtual:
        raise FormatError(f"{request.shown_name} keeps its strain in another file: send that.")
    chunk = np.prod(dataset.chunks, dtype=np.int64) if dataset.chunks else 0
    if int(chunk) * dataset.dtype.itemsize > _MAX_CHUNK_BYTES:
        raise TooLargeError(
            f"{request.shown_name} is stored in chunks of {int(chunk):,} samples, which would "
            f"have to be decoded whole. Rewrite it in chunks under {_MAX_CHUNK_BYTES >> 20} MiB."
        )


def _source(file: h5py.File, dataset: h5py.Dataset, request: Request) -> Source:
    name = _label(dataset)
    detector = _text(file["meta/Detector"][()]) if _is_dataset(file, "meta/Detector") else None
    channel = name if name and ":" in name else None

    def read(first: int, last: int) -> Samples:
        try:
            values = np.asarray(dataset[first:last], dtype=np.float64)
            return _without_missing(file, values, first, _rate(dataset))
        except OSError as error:
            raise FormatError(
                f"{request.shown_name} is damaged: its strain cannot be decoded. Send it again."
            ) from error

    return Source(
        n_samples=dataset.shape[0],
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
    mask_name = "quality/simple/DQmask"
    if not rate_hz or not _is_dataset(file, _GWOSC) or not _is_dataset(file, mask_name):
        return values
    mask = file[mask_name]
    if mask.dtype.kind not in "iu" or mask.ndim != 1:
        return values
    seconds = ((first + np.arange(values.size)) // rate_hz).astype(np.int64)
    low = int(seconds[0])
    bits = np.asarray(mask[low : int(seconds[-1]) + 1])
    if bits.size < int(seconds[-1]) + 1 - low:
        return values
    return np.where(bits[seconds - low] & 1, values, np.nan)


def _rate(dataset: h5py.Dataset) -> float | None:
    for name in _STEP_NAMES:
        step = _number(dataset.attrs.get(name))
        if step is not None:
            return rate_from_step(step)
    for name in _RATE_NAMES:
        rate = _number(dataset.attrs.get(name))
        if rate is not None:
            return rate
    return None


def _start(file: h5py.File, dataset: h5py.Dataset) -> Decimal | None:
    for name in _START_NAMES:
        start = decimal_seconds(_scalar(dataset.attrs.get(name)))
        if start is not None:
            return start
    if _is_dataset(file, "meta/GPSstart"):
        return decimal_seconds(_scalar(file["meta/GPSstart"][()]))
    return None


def _label(dataset: h5py.Dataset) -> str | None:
    for name in ("channel", "name"):
        text = _text(dataset.attrs.get(name))
        if text:
            return text
    return str(dataset.name).split("/")[-1] or None


def _scalar(value: object) -> object:
    if isinstance(value, np.ndarray):
        return value.flat[0] if value.size == 1 else None
    return value


def _number(value: object) -> float | None:
    scalar = _scalar(value)
    return float(scalar) if isinstance(scalar, int | float | np.number) else None


def _text(value: object) -> str | None:
    scalar = _scalar(value)
    if isinstance(scalar, bytes):
        return scalar.decode("utf-8", "replace")
    return scalar if isinstance(scalar, str) else None
