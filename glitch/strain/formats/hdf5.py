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
    dataset_shape,
    find_dataset,
    find_group,
    is_one_row,
    paths_of_each,
    read_attribute,
    read_rows,
    read_samples,
    read_whole,
    walk_datasets,
)
from glitch.strain.formats.hdf5_stated import (
    GWOSC_START,
    all_stated,
    channel_of,
    name_of,
    rate_of,
    scalar_at,
    start_of,
    stated_value,
    times_of,
    x_unit,
)
from glitch.strain.missing import joined_overlap
from glitch.strain.placing import are_broken, pair_source, placed_source
from glitch.strain.source import (
    IFO_NAMES,
    MAX_SAMPLES,
    ORIGIN_NAMES,
    RATE_NAMES,
    START_NAMES,
    STEP_NAMES,
    Request,
    Samples,
    Source,
    bits_instead,
    check_kind,
    check_size,
    decimal_seconds,
    is_of_bits,
    is_pair,
    no_start,
    number_of,
    start_and_rate,
    stated_ifo,
)
from glitch.strain.stated import placed_by

_GWOSC = "strain/Strain"
_GWOSC_MASK = "quality/simple/DQmask"
_LOWEST_RATE_HZ = 256  # slower series are masks or states, not strain
_MAX_MASK_BYTES = 1 << 20
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
            pair = read_whole(parts[0].dataset, max_bytes=16 * MAX_SAMPLES)
            yield pair_source(pair, request, ifo=parts[0].ifo)
        elif (stamps := (one := parts[0]).stamps) is not None:
            values = _values(file, one, 0, one.length, request)
            stated = (one.start, one.rate_hz)
            yield placed_source(
                stamps, values, request, stated=stated, ifo=one.ifo, channel=one.channel
            )
        else:
            yield _source(file, parts, request)


@dataclass(frozen=True, eq=False)
class _Series:
    """A dataset that looks like strain, and the metadata of it and its surroundings."""

    path: str
    aliases: tuple[str, ...]  # further links to it in the file
    dataset: h5py.Dataset
    name: str | None  # its own stated name
    rate_hz: float | None
    start: Decimal | None
    ifo: str | None
    stamps: Samples | None = None  # time of each sample, if they leave out samples

    @property
    def channel(self) -> str | None:
        """Its own name, if it is that of a channel."""
        return self.name if self.name and ":" in self.name else None

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
        names = [self.name] if self.name else []
        for path in (self.path, *self.aliases):
            names += [path, "/" + path, path.rpartition("/")[2]]
        return {text.upper() for text in names}

    @property
    def is_of_bits(self) -> bool:
        """Whether its samples are a state or a mask, like gwpy's StateVector."""
        is_said = "bits" in self.dataset.attrs or self.dataset.dtype.kind == "u"
        return is_said or any(map(is_of_bits, self.names))

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
        return x_unit(dataset) is not None
    last = path.lower().rpartition("/")[2]
    is_named = may_be_strain(last) or any(word in last for word in ("data", "values", "h(t)"))
    if dataset.dtype.kind not in "fi" or not is_named:
        return False
    has_rate = rate_of(file, path, dataset) is not None
    return has_rate or times_of(file, path, dataset) is not None


def _chosen(file: h5py.File, request: Request) -> list[_Series]:
    found = [_series(file, names, request) for names in paths_of_each(file, strain_names(file))]
    if request.channel and [one.path for one in found] != [_GWOSC]:
        name = request.channel.strip().upper()
        found = [one for one in found if name in one.names] or _bare_matches(found, name)
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
        f"{listed([one.path for group in groups for one in group])}.",
        field="channel",
    )


def _stretches(series: list[_Series]) -> list[list[_Series]]:
    """Group stretches of one series, in order of time; every other series is a group of its own."""
    groups: dict[object, list[_Series]] = {}
    for index, one in enumerate(series):
        is_placed = one.start is not None and one.rate_hz and one.stamps is None
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


def _series(file: h5py.File, paths: list[str], request: Request) -> _Series:
    path, *aliases = paths
    dataset = find_dataset(file, path)
    if dataset is None:  # the path was found a moment ago
        raise FormatError("The HDF5 file changed while it was read: send it again.")
    name = name_of(dataset) or channel_of(find_group(file, path.rpartition("/")[0]))
    own_ifo = stated_ifo((read_attribute(dataset, key) for key in IFO_NAMES), request)
    said = {own_ifo, *map(detector_of_channel, (name, *aliases, path.rpartition("/")[2]))}
    is_unclear = len(said - {None}) > 1
    if is_unclear and request.ifo not in said - {None}:
        raise StrainError(
            f"{request.shown_name}: the detectors {' and '.join(sorted(filter(None, said)))} are "
            f"named for the series {path!r}: correct it, or give ifo.",
            field="ifo",
        )
    ifo = (
        (request.ifo if is_unclear else own_ifo)
        or detector_of_text(name, path.replace("/", " "), *path.split("/"), *aliases)
        or stated_ifo((stated_value(file, path, dataset, key) for key in IFO_NAMES), request)
    )
    rate, (start, start_name) = rate_of(file, path, dataset), start_of(file, path, dataset)
    stamps = None
    if (times := times_of(file, path, dataset)) is not None:
        n_samples, is_origin = max(dataset_shape(dataset), default=0), start_name in ORIGIN_NAMES
        if are_broken(times, n_samples):
            stamps = times(0, n_samples)
        else:
            ends = float(times(0, 1)[0]), float(times(n_samples - 1, n_samples)[0])
            start, rate = start_and_rate((start, rate), ends, n_samples, is_origin=is_origin)
    return _Series(path, tuple(aliases), dataset, name, rate, start, ifo, stamps)


def _source(file: h5py.File, parts: list[_Series], request: Request) -> Source:
    """Combine the stretches of one series, possibly only one, into one source."""
    if (first := parts[0]).start is None:
        _refuse_odd_start(file, first, request)
    values_stated = all_stated(file, first.path, first.dataset) if len(parts) == 1 else ()
    if first.path == _GWOSC:
        _refuse_cut(file, first, request)
    placed = placed_by(first.start, values_stated, request, first.length, first.rate_hz)
    parts = [first := replace(first, start=placed.start), *parts[1:]]
    offsets = [_place(first, one, request) for one in parts]
    stated = stated_ifo([scalar_at(file, "meta/Detector")], request)

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
                    f"{listed([part.path for part in parts])}.",
                    field="channel",
                )
            values[low - start : high - start] = joined
        return values

    return Source(
        n_samples=max(offset + one.length for offset, one in zip(offsets, parts, strict=True)),
        sample_rate_hz=first.rate_hz,
        gps_start=first.start,
        ifo=stated or first.ifo,
        channel=first.channel,
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
            f"Give channel, one of {listed([first.path, one.path])}.",
            field="channel",
        )
    return round(at)


def _values(file: h5py.File, series: _Series, first: int, last: int, request: Request) -> Samples:
    dataset = series.dataset
    try:
        max_bytes = MAX_SAMPLES * dataset.dtype.itemsize
        values = read_samples(dataset, first, last, max_bytes=max_bytes)
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
    if stated is None and find_dataset(file, GWOSC_START) is not None:
        stated = GWOSC_START
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
        "meta/Duration": number_of(scalar_at(file, "meta/Duration")),
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
    started = decimal_seconds(scalar_at(file, GWOSC_START))
    if None not in (started, series.start) and started != series.start:
        raise StrainError(
            f"{request.shown_name} says that it starts at {series.start} and, as {GWOSC_START}, "
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
    bits = read_rows(mask, low, high, max_bytes=_MAX_MASK_BYTES)
    if bits.size < high - low:
        return values
    for second in low + np.flatnonzero((bits & 1) == 0):
        start, end = (math.ceil(at * rate_hz) - first for at in (second, second + 1))
        values[max(0, start) : end] = np.nan
    return values
