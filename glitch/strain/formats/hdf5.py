"""Strain from HDF5 files of GWOSC, gwpy, PyCBC, bilby and people."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import h5py
import numpy as np

from glitch.detectors import detector_of_channel, detector_of_text
from glitch.errors import FormatError
from glitch.files.channels import choose_channel, listed
from glitch.files.damage import damage_as
from glitch.files.hdf5 import (
    dataset_shape,
    find_dataset,
    find_group,
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
    rate_from_step,
)

_GWOSC = "strain/Strain"
_STEP_NAMES = ("Xspacing", "dx", "delta_t", "dt")
_RATE_NAMES = ("sample_rate_hz", "sample_rate", "sampling_frequency", "sampling_rate", "fs")
_START_NAMES = ("Xstart", "x0", "start_time", "gps_start", "GPSstart", "t0", "epoch")
_OWN_STARTS = ("Xstart", "x0")  # which nobody uses for anything else
_GWOSC_START = "meta/GPSstart"
_USUAL_NAMES = ("strain", "data", "values")  # where nothing beside them tells
_LOWEST_RATE_HZ = 256  # what is slower is no strain but a mask or a state
_MAX_MASK_BYTES = 1 << 20


@contextmanager
def open_hdf5(path: Path, request: Request) -> Iterator[Source]:
    """Open the one strain series of an HDF5 file that is meant.

    Of several, the channel chooses (a path within the file, its last part, or the name that the
    series gives itself), else the detector, the GPS time, and the preference of ``channels``.

    Raises:
        FormatError: if there is none, or several and it cannot be told which, it is damaged, or
            anything of it lies in another file.
        TooLargeError: if reading any part would decode more than 64 MiB at once.
    """
    sentence = f"{request.shown_name} is a truncated or damaged HDF5 file. Send it again."
    with damage_as(sentence), h5py.File(path, "r") as file:
        series = _chosen(file, request)
        check_kind(series.dataset.dtype, dataset_shape(series.dataset), request)
        yield _source(file, series, request)


@dataclass(frozen=True, eq=False)
class _Series:
    """A dataset that looks like strain, and what it and what lies beside it say of it."""

    path: str
    dataset: h5py.Dataset
    name: str | None  # that it gives itself
    rate_hz: float | None
    start: Decimal | None

    @property
    def ifo(self) -> str | None:
        return detector_of_text(self.name, self.path.replace("/", " "))

    @property
    def names(self) -> set[str]:
        """What a channel may be called to mean it, in capitals."""
        last = self.path.rpartition("/")[2]
        return {text.upper() for text in (self.path, "/" + self.path, last, self.name) if text}

    @property
    def shown(self) -> str:
        """What messages list, which is accepted as channel."""
        return self.path

    def holds(self, gps_time: Decimal) -> bool:
        """Whether it may hold a time."""
        if self.start is None or not self.rate_hz:
            return True
        n_samples = dataset_shape(self.dataset)[0]
        return self.start <= gps_time <= self.start + Decimal(n_samples) / Decimal(self.rate_hz)


def strain_names(file: h5py.File) -> list[str]:
    """Paths of the datasets that look like strain: GWOSC's, or with a spacing or rate said."""
    if find_dataset(file, _GWOSC) is not None:
        return [_GWOSC]
    evenly = [
        path
        for path, dataset in walk_datasets(file)
        if len(dataset_shape(dataset)) == 1 and _looks_like_strain(file, path, dataset)
    ]
    return evenly or [name for name in _USUAL_NAMES if find_dataset(file, name) is not None]


def _looks_like_strain(file: h5py.File, path: str, dataset: h5py.Dataset) -> bool:
    if any(key in dataset.attrs for key in (*_STEP_NAMES, *_RATE_NAMES)):
        return _text(read_attribute(dataset, "xunit")) in (None, "", "s")
    parts = path.lower().split("/")
    if dataset.dtype.kind not in "fi" or not any(
        word in parts[-1] for word in ("strain", "data", "values", "h(t)", "hoft")
    ):
        return False
    return _rate(file, path, dataset) is not None


def _chosen(file: h5py.File, request: Request) -> _Series:
    found = [_series(file, name) for name in strain_names(file)]
    if request.channel and [one.path for one in found] != [_GWOSC]:
        wanted = request.channel.strip().upper()
        found = [one for one in found if wanted in one.names] or _of_bare_name(found, wanted)
    if not found:
        raise FormatError(
            f"{request.shown_name} holds no strain"
            + (f" called {request.channel!r}" if request.channel else "")
            + ": expected GWOSC's strain/Strain, or a series with x0 and dx as gwpy writes it."
        )
    for is_meant in (
        lambda one: request.ifo is not None and one.ifo == request.ifo,
        lambda one: (request.preferred or "").upper() in one.names,
        lambda one: not one.rate_hz or one.rate_hz >= _LOWEST_RATE_HZ,
        lambda one: request.gps_time is not None and one.holds(request.gps_time),
    ):
        found = [one for one in found if len(found) > 1 and is_meant(one)] or found
    if len(found) == 1:
        return found[0]
    names = [one.name or one.path for one in found]
    chosen = choose_channel(names, None, request.ifo)
    if chosen is not None and names.count(chosen) == 1:
        return found[names.index(chosen)]
    raise FormatError(
        f"{request.shown_name} holds several series: give channel, one of "
        f"{listed([one.shown for one in found])}.",
        field="channel",
    )


def _of_bare_name(found: list[_Series], wanted: str) -> list[_Series]:
    """Series whose channel is the wanted one but for the detector that either leaves out."""
    bare = wanted.partition(":")[2] if detector_of_channel(wanted) else wanted
    return [
        one
        for one in found
        if any(name.partition(":")[2] == wanted for name in one.names)
        or (bare != wanted and bare in one.names and one.ifo in (None, wanted[:2]))
    ]


def _series(file: h5py.File, path: str) -> _Series:
    dataset = find_dataset(file, path)
    if dataset is None:  # the path was just found
        raise FormatError("The HDF5 file changed while it was read: send it again.")
    return _Series(
        path, dataset, _name(dataset), _rate(file, path, dataset), _start(file, path, dataset)
    )


def _source(file: h5py.File, series: _Series, request: Request) -> Source:
    dataset = series.dataset
    if series.start is None:
        _refuse_odd_start(file, dataset, request)
    stated = _text(_beside(file, "meta/Detector"))

    def read(first: int, last: int) -> Samples:
        try:
            most_bytes = MAX_SAMPLES * dataset.dtype.itemsize
            values = read_rows(dataset, first, last, most_bytes=most_bytes).astype(np.float64)
            return _without_missing(file, values, first, series.rate_hz)
        except OSError as error:
            raise FormatError(
                f"{request.shown_name} is damaged: its strain cannot be decoded. Send it again."
            ) from error

    return Source(
        n_samples=dataset_shape(dataset)[0],
        sample_rate_hz=series.rate_hz,
        gps_start=series.start,
        ifo=detector_of_text(stated) or series.ifo,
        channel=series.name if series.name and ":" in series.name else None,
        read=read,
    )


def _refuse_odd_start(file: h5py.File, dataset: h5py.Dataset, request: Request) -> None:
    """A file that does not say when it starts is taken as centred on the glitch; one that says it
    in a way that cannot be read must not be.
    """
    said = next((name for name in _OWN_STARTS if name in dataset.attrs), None)
    if said is None and find_dataset(file, _GWOSC_START) is not None:
        said = _GWOSC_START
    if said is not None:
        raise FormatError(
            f"{request.shown_name} says when it starts ({said}), but that is no GPS time. Save it "
            "with the GPS time of its first sample in seconds, or without any."
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


def _rate(file: h5py.File, path: str, dataset: h5py.Dataset) -> float | None:
    for name in _STEP_NAMES:
        step = _number(_said(file, path, dataset, name))
        if step is not None and step > 0:
            return rate_from_step(step)
    for name in _RATE_NAMES:
        rate = _number(_said(file, path, dataset, name))
        if rate is not None:
            return rate
    return None


def _start(file: h5py.File, path: str, dataset: h5py.Dataset) -> Decimal | None:
    for name in _START_NAMES:
        start = decimal_seconds(_said(file, path, dataset, name))
        if start is not None:
            return start
    return decimal_seconds(_beside(file, _GWOSC_START))


def _said(file: h5py.File, path: str, dataset: h5py.Dataset, name: str) -> object:
    """A value of this name: of the dataset, else beside it, else of a group around it."""
    value = read_attribute(dataset, name)
    group = path
    while value is None and "/" in "/" + group:
        group = group.rpartition("/")[0]
        node = find_group(file, group) if group else file
        if node is not None:
            value = read_attribute(node, name)
            value = _beside(node, name) if value is None else value
        if not group:
            break
    return value


def _beside(group: h5py.Group, path: str) -> object:
    dataset = find_dataset(group, path)
    return None if dataset is None else read_scalar(dataset)


def _name(dataset: h5py.Dataset) -> str | None:
    for key in ("channel", "name"):
        text = _text(read_attribute(dataset, key))
        if text:
            return text
    return None


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float | np.number) else None


def _text(value: object) -> str | None:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value if isinstance(value, str) else None
