"""Read strain from HDF5 files of GWOSC, gwpy, PyCBC, bilby and individuals."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

import h5py
import numpy as np

from glitch.detectors import detector_of_channel, detector_of_text
from glitch.errors import FormatError, StrainError
from glitch.files.channels import STRAIN_NAMES, choose_channel, listed, may_be_strain
from glitch.files.damage import damage_as
from glitch.files.hdf5 import (
    dataset_names,
    dataset_shape,
    find_dataset,
    find_group,
    is_one_row,
    read_attribute,
    read_pair,
    read_rows,
    read_samples,
    read_scalar,
    read_whole,
    walk_datasets,
)
from glitch.strain.missing import joined_overlap
from glitch.strain.placing import pair_source
from glitch.strain.source import (
    IFO_NAMES,
    MAX_SAMPLES,
    ORIGIN_NAMES,
    RATE_NAMES,
    START_NAMES,
    STEP_NAMES,
    TIMES_NAMES,
    Request,
    Samples,
    Source,
    bits_instead,
    check_kind,
    check_size,
    decimal_seconds,
    is_of_bits,
    is_of_gps,
    is_pair,
    nanoseconds_beside,
    no_start,
    number_of,
    one_rate,
    rate_from_step,
    start_and_rate,
    stated_ifo,
    with_nanoseconds,
)
from glitch.strain.stated import Said, placed_by

_GWOSC = "strain/Strain"
_STARTS_IN_X_UNIT = ("Xstart", "x0")  # in the unit of the sample spacing
_GWOSC_START = "meta/GPSstart"
_GWOSC_MASK = "quality/simple/DQmask"
_LOWEST_RATE_HZ = 256  # slower series are masks or states, not strain
_MAX_MASK_BYTES = 1 << 20
_MAX_SEARCHED = 200  # attributes of a node, and values in a group, that are searched for a time
_TIME_UNITS = {  # as written by gwpy and by users, in s
    **dict.fromkeys(("", "s", "sec", "second", "seconds"), Decimal(1)),
    **{"ms": Decimal("1e-3"), "us": Decimal("1e-6"), "ns": Decimal("1e-9")},
}
_LAST_NUMBER = re.compile(r"[/_-]?+(?<!\d)\d++(?:\.\d++)?+\Z", re.ASCII)
_ALIGNED = 0.01  # fraction of a sample: largest offset between the sample times of two stretches


@contextmanager
def open_hdf5(path: Path, request: Request) -> Iterator[Source]:
    """Open the requested strain series of an HDF5 file.

    Among several, the channel chooses (a path within the file, its last part, or the series' own
    name), else the detector, the GPS time, and the preference of ``channels``. Stretches of one
    channel form one series, each placed by its start, with NaN between them.

    Raises:
        FormatError: if there is none, or several and the choice is unclear, or the file is damaged,
            or a part of it is stored in another file.
        TooLargeError: if reading any part would decode more than 64 MiB at once.
    """
    sentence = f"{request.shown_name} is a truncated or damaged HDF5 file. Send it again."
    with damage_as(sentence), h5py.File(path, "r") as file:
        parts = _chosen(file, request)
        for one in parts:
            check_kind(one.dataset.dtype, dataset_shape(one.dataset), request)
            if one.is_of_bits:
                raise bits_instead(request)
        if is_pair(dataset_shape(parts[0].dataset)):
            pair = read_whole(parts[0].dataset, most_bytes=16 * MAX_SAMPLES)
            yield pair_source(pair, request, ifo=parts[0].ifo)
        else:
            yield _source(file, parts, request)


@dataclass(frozen=True, eq=False)
class _Series:
    """A dataset that looks like strain, and the metadata of it and its surroundings."""

    path: str
    dataset: h5py.Dataset
    name: str | None  # its own stated name
    rate_hz: float | None
    start: Decimal | None
    ifo: str | None

    @property
    def key(self) -> tuple[str, float | None]:
        """What stretches of one series have in common."""
        return self.name or _LAST_NUMBER.sub("", self.path), self.rate_hz

    @property
    def length(self) -> int:
        return max(dataset_shape(self.dataset), default=0)

    @property
    def end(self) -> Decimal:
        return (self.start or Decimal(0)) + Decimal(self.length) / Decimal(self.rate_hz or 1)

    @property
    def names(self) -> set[str]:
        """The names by which a channel may be requested, in capitals."""
        last = self.path.rpartition("/")[2]
        return {text.upper() for text in (self.path, "/" + self.path, last, self.name) if text}

    @property
    def is_of_bits(self) -> bool:
        """Whether its samples are a state or a mask, like gwpy's StateVector."""
        is_said = "bits" in self.dataset.attrs or self.dataset.dtype.kind == "u"
        return is_said or any(map(is_of_bits, self.names))

    @property
    def shown(self) -> str:
        """The name in messages, which is accepted as channel."""
        return self.path

    def holds(self, gps_time: Decimal) -> bool:
        """Return whether the series may contain a time."""
        if self.start is None or not self.rate_hz:
            return True
        return self.start <= gps_time <= self.end


def strain_names(file: h5py.File) -> list[str]:
    """Return paths of datasets that look like strain: GWOSC's, or with a stated spacing or rate."""
    if find_dataset(file, _GWOSC) is not None:
        return [_GWOSC]
    evenly = [
        path
        for path, dataset in walk_datasets(file)
        if is_one_row(dataset_shape(dataset)) and _looks_like_strain(file, path, dataset)
    ]
    return evenly or [name for name in STRAIN_NAMES if find_dataset(file, name) is not None]


def _looks_like_strain(file: h5py.File, path: str, dataset: h5py.Dataset) -> bool:
    if any(key in dataset.attrs for key in (*STEP_NAMES, *RATE_NAMES)):
        return _x_unit(dataset) is not None
    last = path.lower().rpartition("/")[2]
    is_named = may_be_strain(last) or any(word in last for word in ("data", "values", "h(t)"))
    if dataset.dtype.kind not in "fi" or not is_named:
        return False
    has_rate = _rate(file, path, dataset) is not None
    return has_rate or _ends_of_times(file, path, dataset) is not None


def _chosen(file: h5py.File, request: Request) -> list[_Series]:
    found = [_series(file, name, request) for name in strain_names(file)]
    if request.channel and [one.path for one in found] != [_GWOSC]:
        wanted = request.channel.strip().upper()
        found = [one for one in found if wanted in one.names] or _bare_matches(found, wanted)
    if not found:
        raise FormatError(
            f"{request.shown_name} holds no strain"
            + (f" called {request.channel!r}" if request.channel else "")
            + ": expected GWOSC's strain/Strain, or a series with x0 and dx as gwpy writes it."
        )
    for is_meant in (
        lambda one: request.ifo is not None and one.ifo == request.ifo,
        lambda one: (request.preferred_channel or "").upper() in one.names,
        lambda one: not one.rate_hz or one.rate_hz >= _LOWEST_RATE_HZ,
        lambda one: not one.is_of_bits,
    ):
        found = [one for one in found if len(found) > 1 and is_meant(one)] or found
    groups = _stretches(found)
    if len(groups) > 1 and (at := request.gps_time) is not None:
        groups = [one for one in groups if any(part.holds(at) for part in one)] or groups
    if len(groups) == 1:
        return _unbroken(groups[0], request.gps_time)
    names = [one[0].name or one[0].path for one in groups]
    chosen = choose_channel(names, None, request.ifo)
    if chosen is not None and names.count(chosen) == 1:
        return _unbroken(groups[names.index(chosen)], request.gps_time)
    raise FormatError(
        f"{request.shown_name} holds several series: give channel, one of "
        f"{listed([one.shown for group in groups for one in group])}.",
        field="channel",
    )


def _stretches(series: list[_Series]) -> list[list[_Series]]:
    """Group stretches of one series, in order of time; every other series is a group of its own."""
    groups: dict[object, list[_Series]] = {}
    for index, one in enumerate(series):
        is_placed = one.start is not None and one.rate_hz
        groups.setdefault(one.key if is_placed else index, []).append(one)
    return [sorted(group, key=lambda one: one.start or Decimal(0)) for group in groups.values()]


def _unbroken(group: list[_Series], gps_time: Decimal | None) -> list[_Series]:
    """Return the adjacent stretches around a time; all stretches if none contains it."""
    runs: list[list[_Series]] = []
    for one in group:
        is_apart = not runs or one.start is None or one.start > max(part.end for part in runs[-1])
        if is_apart:
            runs.append([])
        runs[-1].append(one)
    holding = (run for run in runs if gps_time and any(part.holds(gps_time) for part in run))
    return next(holding, group)


def _bare_matches(series: list[_Series], channel: str) -> list[_Series]:
    """Return the series whose channel matches except for a detector that one of the names omits."""
    bare = channel.partition(":")[2] if detector_of_channel(channel) else channel
    return [
        one
        for one in series
        if any(name.partition(":")[2] == channel for name in one.names)
        or (bare != channel and bare in one.names and one.ifo in (None, channel[:2]))
    ]


def _series(file: h5py.File, path: str, request: Request) -> _Series:
    dataset = find_dataset(file, path)
    if dataset is None:  # the path was found a moment ago
        raise FormatError("The HDF5 file changed while it was read: send it again.")
    name = _name(dataset)
    ifo = (
        stated_ifo((read_attribute(dataset, key) for key in IFO_NAMES), request)
        or detector_of_text(name, path.replace("/", " "), *path.split("/"))
        or stated_ifo((_stated_value(file, path, dataset, key) for key in IFO_NAMES), request)
    )
    rate, (start, start_name) = _rate(file, path, dataset), _start(file, path, dataset)
    if (times := _ends_of_times(file, path, dataset)) is not None:
        n_samples, is_origin = max(dataset_shape(dataset), default=0), start_name in ORIGIN_NAMES
        start, rate = start_and_rate((start, rate), times, n_samples, is_origin=is_origin)
    return _Series(path, dataset, name, rate, start, ifo)


def _ends_of_times(file: h5py.File, path: str, dataset: h5py.Dataset) -> tuple[float, float] | None:
    """Return the first and last value of a column of times stored with a series; None if none.

    It has a known name or holds GPS times: one for each sample, or one more if they are edges.
    """
    parent, _, own_name = path.rpartition("/")
    node = find_group(file, parent) if parent else file
    n_samples = max(dataset_shape(dataset), default=0)
    if node is None or not n_samples:
        return None
    for name in sorted(dataset_names(node)[:_MAX_SEARCHED], key=lambda one: one not in TIMES_NAMES):
        times = find_dataset(node, name)
        if name == own_name or times is None or times.dtype.kind not in "fiu":
            continue
        shape = dataset_shape(times)
        if not is_one_row(shape) or max(shape) - n_samples not in (0, 1):
            continue
        first, last = (
            float(read_samples(times, at, at + 1, most_bytes=64)[0]) for at in (0, n_samples - 1)
        )
        if name in TIMES_NAMES or is_of_gps(first):
            return first, last
    return None


def _source(file: h5py.File, parts: list[_Series], request: Request) -> Source:
    """Combine the stretches of one series, possibly only one, into one source."""
    if (first := parts[0]).start is None:
        _refuse_odd_start(file, first, request)
    values_stated = _stated(file, first) if len(parts) == 1 else ()
    if first.path == _GWOSC:
        _refuse_cut(file, first, request)
    placed = placed_by(first.start, values_stated, request, first.length, first.rate_hz)
    parts = [first := replace(first, start=placed.start), *parts[1:]]
    offsets = [_place(first, one, request) for one in parts]
    stated = stated_ifo([_scalar_at(file, "meta/Detector")], request)

    def read(start: int, stop: int) -> Samples:
        if len(parts) == 1:
            return _values(file, first, start, stop, request)
        check_size(stop - start)
        values = np.full(stop - start, np.nan)
        for offset, one in zip(offsets, parts, strict=True):
            low, high = max(start, offset), min(stop, offset + one.length)
            if low >= high:
                continue
            samples = _values(file, one, low - offset, high - offset, request)
            joined = joined_overlap(values[low - start : high - start], samples)
            if joined is None:
                raise FormatError(
                    f"{request.shown_name}: {one.path!r} and another part hold different samples "
                    "of the same time. Give channel, one of "
                    f"{listed([part.shown for part in parts])}.",
                    field="channel",
                )
            values[low - start : high - start] = joined
        return values

    return Source(
        n_samples=max(offset + one.length for offset, one in zip(offsets, parts, strict=True)),
        sample_rate_hz=first.rate_hz,
        gps_start=first.start,
        ifo=stated or first.ifo,
        channel=first.name if first.name and ":" in first.name else None,
        read=read,
        event=placed.event,
        event_sample=placed.event_sample,
    )


def _place(first: _Series, one: _Series, request: Request) -> int:
    """Return the sample of the whole series at which a stretch starts."""
    if one is first:
        return 0
    at = ((one.start or Decimal(0)) - (first.start or Decimal(0))) * Decimal(first.rate_hz or 1)
    if abs(at - round(at)) > _ALIGNED:
        raise FormatError(
            f"{request.shown_name}: {one.path!r} does not start on a sample of {first.path!r}. "
            f"Give channel, one of {listed([first.shown, one.shown])}.",
            field="channel",
        )
    return round(at)


def _values(file: h5py.File, series: _Series, first: int, last: int, request: Request) -> Samples:
    dataset = series.dataset
    try:
        most_bytes = MAX_SAMPLES * dataset.dtype.itemsize
        values = read_samples(dataset, first, last, most_bytes=most_bytes)
        values = values.astype(np.float64, copy=False)
        return _without_missing(file, values, first, series.rate_hz)
    except OSError as error:
        raise FormatError(
            f"{request.shown_name} is damaged: its strain cannot be decoded. Send it again."
        ) from error


def _refuse_odd_start(file: h5py.File, series: _Series, request: Request) -> None:
    """Refuse a file that states its start in an unreadable way.

    A file that states no start is assumed to be centred on the glitch; this one must not be.
    """
    names = (name for name in START_NAMES if name in series.dataset.attrs)
    stated = next(names, None)
    if stated is None and find_dataset(file, _GWOSC_START) is not None:
        stated = _GWOSC_START
    if stated is not None:
        raise no_start(stated, request)


def _refuse_cut(file: h5py.File, series: _Series, request: Request) -> None:
    """Refuse a GWOSC file of which only the strain was cut.

    Its start may differ from the stated one, and its data-quality mask covers other seconds.
    """
    rate_hz = series.rate_hz or request.sample_rate_hz
    mask = find_dataset(file, _GWOSC_MASK)
    n_samples = number_of(read_attribute(series.dataset, "Npoints"))
    stated_durations = {
        "meta/Duration": number_of(_scalar_at(file, "meta/Duration")),
        "Npoints": None if not rate_hz else (n_samples or 0) / rate_hz,
        _GWOSC_MASK: None if mask is None else float(max(dataset_shape(mask), default=0)),
    }
    for name, stated_s in stated_durations.items():
        if rate_hz and stated_s and abs(stated_s - series.length / rate_hz) >= 1:
            raise StrainError(
                f"{request.shown_name} holds {series.length / rate_hz:g} s of strain, but {name} "
                f"is of {stated_s:g} s, as if only the strain was cut, so its start is unknown. "
                "Cut it with gwpy (TimeSeries.crop), which keeps the time, and send that."
            )
    started = decimal_seconds(_scalar_at(file, _GWOSC_START))
    if None not in (started, series.start) and started != series.start:
        raise StrainError(
            f"{request.shown_name} says that it starts at {series.start} and, as {_GWOSC_START}, "
            f"at {started}: correct one of them."
        )


def _without_missing(
    file: h5py.File, values: Samples, first: int, rate_hz: float | None
) -> Samples:
    """Set NaN where GWOSC's data-quality mask marks missing data (bit 0, one value per second)."""
    if not rate_hz or find_dataset(file, _GWOSC) is None:
        return values
    mask = find_dataset(file, _GWOSC_MASK)
    if mask is None or mask.dtype.kind not in "iu" or len(dataset_shape(mask)) != 1:
        return values
    low, high = int(first // rate_hz), int((first + values.size - 1) // rate_hz) + 1
    bits = read_rows(mask, low, high, most_bytes=_MAX_MASK_BYTES)
    if bits.size < high - low:
        return values
    for second in low + np.flatnonzero((bits & 1) == 0):
        start, end = (math.ceil(at * rate_hz) - first for at in (second, second + 1))
        values[max(0, start) : end] = np.nan
    return values


def _rate(file: h5py.File, path: str, dataset: h5py.Dataset) -> float | None:
    for name in STEP_NAMES:
        step = number_of(_stated_value(file, path, dataset, name))
        if step is not None and step > 0:
            stated = (number_of(read_attribute(dataset, one)) for one in RATE_NAMES)
            rate = next((one for one in stated if one is not None), None)
            return one_rate(rate_from_step(step * float(_x_unit(dataset) or 1)), rate, path)
    for name in RATE_NAMES:
        rate = number_of(_stated_value(file, path, dataset, name))
        if rate is not None:
            return rate
    return None


def _start(file: h5py.File, path: str, dataset: h5py.Dataset) -> tuple[Decimal | None, str]:
    """Return the stated start of a series, and the name under which it is stated."""
    for name in START_NAMES:
        value = _stated_value(file, path, dataset, name)
        is_scaled = name in _STARTS_IN_X_UNIT and (_x_unit(dataset) or 1) != 1
        start = _scaled(value, _x_unit(dataset)) if is_scaled else decimal_seconds(value)
        if start is not None:
            parts = (_stated_value(file, path, dataset, one) for one in nanoseconds_beside(name))
            nanoseconds = next((one for one in parts if one is not None), None)
            return with_nanoseconds(start, nanoseconds), name
    return decimal_seconds(_scalar_at(file, _GWOSC_START)), ""


def _stated_value(file: h5py.File, path: str, dataset: h5py.Dataset, name: str) -> object:
    """Return a value of this name: of the dataset, else beside it, else of an enclosing group."""
    value = read_attribute(dataset, name)
    group = path
    while value is None and "/" in "/" + group:
        group = group.rpartition("/")[0]
        node = find_group(file, group) if group else file
        if node is not None:
            value = read_attribute(node, name)
            value = _scalar_at(node, name) if value is None else value
        if not group:
            break
    return value


def _scalar_at(group: h5py.Group, path: str) -> object:
    dataset = find_dataset(group, path)
    return None if dataset is None else read_scalar(dataset)


def _stated(file: h5py.File, series: _Series) -> Iterator[Said]:
    """Yield names and values stated about a series: its own, then those of the groups around it."""
    path, nodes = series.path, [series.dataset]
    while path:
        path = path.rpartition("/")[0]
        nodes.append(find_group(file, path) if path else file)
    for node in filter(None, nodes):
        for name in list(node.attrs)[:_MAX_SEARCHED]:
            yield name, read_attribute(node, name) or read_pair(node, name)
    for node in filter(None, nodes[1:]):
        for name in dataset_names(node)[:_MAX_SEARCHED]:
            yield name, _scalar_at(node, name) or read_pair(node, name)


def _name(dataset: h5py.Dataset) -> str | None:
    texts = (_text(read_attribute(dataset, key)) for key in ("channel", "name"))
    return next(filter(None, texts), None)


def _x_unit(dataset: h5py.Dataset) -> Decimal | None:
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
