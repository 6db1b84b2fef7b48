"""Read strain from NumPy's npy and npz files: never unpickled, size-checked before decoding."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import numpy as np

from glitch.detectors import detector_of_text
from glitch.errors import FormatError, TooLargeError
from glitch.files.channels import STRAIN_NAMES, choose_channel, listed, may_be_strain
from glitch.files.damage import damage_as
from glitch.files.npy import open_npz_archive, read_npy_header, read_npy_values
from glitch.strain.placing import Times, are_broken, pair_source, placed_source
from glitch.strain.series import LOWEST_SAMPLE_RATE_HZ, SHORTEST_SEGMENT_S
from glitch.strain.source import (
    IFO_NAMES,
    ORIGIN_NAMES,
    RATE_NAMES,
    START_NAMES,
    STEP_NAMES,
    TIMES_NAMES,
    Request,
    Samples,
    Source,
    check_kind,
    check_size,
    decimal_seconds,
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
from glitch.strain.stated import Entry, placed_by

_MAX_BYTES = 1 << 28  # decoded size of one array
_MAX_SCALAR_BYTES = 4096
_BLOCK = 1 << 20
_MAX_ARRAYS = 100  # arrays of one file that are searched for times
# least samples of an array named after a detector
_MIN_SAMPLES = SHORTEST_SEGMENT_S * LOWEST_SAMPLE_RATE_HZ
_UNNAMED = "arr_0"  # np.savez without names; treated as strain if it is the only array


@contextmanager
def open_npy(path: Path, request: Request) -> Iterator[Source]:
    """Open an npy file with one row of strain; it is memory-mapped, not loaded.

    Raises:
        FormatError: if it is damaged or does not hold real numbers.
    """
    with damage_as(_damaged(request)):
        with path.open("rb") as file:
            header = read_npy_header(file)
            check_kind(header.dtype, header.shape, request)
            if is_pair(header.shape):
                yield pair_source(read_npy_values(file, header), request)
                return
            begin = file.tell()
        values = np.memmap(path, header.dtype, mode="r", offset=begin, shape=(header.n_values,))
        yield Source(
            n_samples=values.shape[0],
            sample_rate_hz=None,
            gps_start=None,
            ifo=None,
            channel=None,
            read=lambda first, last: np.array(values[first:last], dtype=np.float64),
        )


@contextmanager
def open_npz(path: Path, request: Request) -> Iterator[Source]:
    """Open an npz file with ``strain`` and, if present, ``sample_rate_hz``, ``gps_start``.

    Raises:
        FormatError: if it is damaged, has no strain, or holds pickled objects.
        TooLargeError: if its strain would decode to more than 256 MiB.
    """
    with damage_as(_damaged(request)), open_npz_archive(path) as archive:
        names = npz_strain_names(archive)
        name = names[0] if len(names) == 1 else choose_channel(names, request.channel, request.ifo)
        if name is None and names:
            raise FormatError(
                f"{request.shown_name} holds several series: give channel, one of {listed(names)}.",
                field="channel",
            )
        if name is None:
            raise FormatError(
                f"{request.shown_name} has no array called strain. Save it with "
                "np.savez(path, strain=..., sample_rate_hz=..., gps_start=...)."
            )
        member = archive.getinfo(name + ".npy")
        if member.file_size > _MAX_BYTES:
            raise TooLargeError(
                f"{request.shown_name} would decode to {member.file_size:,} bytes; at most "
                f"{_MAX_BYTES:,} are read. Cut the strain to the 64 s around the GPS time."
            )
        with archive.open(name + ".npy") as stream:
            header = read_npy_header(stream)
        check_kind(header.dtype, header.shape, request)
        channel = _text(archive, "channel", request) or (name if ":" in name else None)
        said_ifo = stated_ifo((_scalar(archive, one, request) for one in IFO_NAMES), request)
        ifo = said_ifo or detector_of_text(channel, name)
        if is_pair(header.shape):
            with archive.open(name + ".npy") as stream:
                pair = read_npy_values(stream, read_npy_header(stream))
            yield pair_source(pair, request, ifo=ifo, channel=channel)
            return
        rate = number_of(_first(archive, RATE_NAMES, request))
        step = number_of(_first(archive, STEP_NAMES, request))
        starts = {name: _scalar(archive, name, request) for name in START_NAMES}
        start_name = next((name for name, one in starts.items() if one is not None), "")
        said_start = starts.get(start_name)
        ns_names = tuple(ns for name in START_NAMES for ns in nanoseconds_beside(name))
        start = with_nanoseconds(decimal_seconds(said_start), _first(archive, ns_names, request))
        if start is None and said_start is not None:
            raise no_start(repr(said_start)[:40], request)
        if step is not None:
            rate = one_rate(rate_from_step(step), rate, request.shown_name)
        stated, n_samples = (start, rate), header.n_values
        if (times := _times(archive, n_samples, request)) is not None:
            if are_broken(times, n_samples):
                check_size(n_samples)
                values = _read_member(archive, name, 0, n_samples, request)
                stamps = times(0, n_samples)
                yield placed_source(
                    stamps, values, request, stated=stated, ifo=ifo, channel=channel
                )
                return
            ends = float(times(0, 1)[0]), float(times(n_samples - 1, n_samples)[0])
            is_origin = start_name in ORIGIN_NAMES
            start, rate = start_and_rate(stated, ends, n_samples, is_origin=is_origin)
        placed = placed_by(start, _stated(archive, request), request, header.n_values, rate)
        yield Source(
            n_samples=header.n_values,
            sample_rate_hz=rate,
            gps_start=placed.start,
            ifo=ifo,
            channel=channel,
            read=lambda first, last: _read_member(archive, name, first, last, request),
            event=placed.event,
            event_sample=placed.event_sample,
        )


def npz_strain_names(archive: zipfile.ZipFile) -> list[str]:
    """Return the names of strain arrays: the usual one, else those naming detectors or channels."""
    names = [entry.removesuffix(".npy") for entry in archive.namelist() if entry.endswith(".npy")]
    if names == [_UNNAMED]:
        return names
    if usual := [name for name in STRAIN_NAMES if name in names]:
        return usual[:1]
    strain_like = []
    for name in filter(may_be_strain, names):
        with archive.open(name + ".npy") as stream:
            header = read_npy_header(stream)
        if len(header.shape) == 1 and header.n_values >= _MIN_SAMPLES:
            strain_like.append(name)
    return strain_like


def _read_member(
    archive: zipfile.ZipFile, name: str, first: int, last: int, request: Request
) -> Samples:
    """Decode up to the last requested sample, keeping only the requested ones."""
    with archive.open(name + ".npy") as stream:
        dtype = read_npy_header(stream).dtype
        n_before = first * dtype.itemsize
        while n_before:
            skipped = len(stream.read(min(n_before, _BLOCK)))
            if not skipped:
                raise FormatError(_damaged(request))
            n_before -= skipped
        data = stream.read((last - first) * dtype.itemsize)
    if len(data) < (last - first) * dtype.itemsize:
        raise FormatError(_damaged(request))
    return np.frombuffer(data, dtype=dtype).astype(np.float64)


def _scalar(archive: zipfile.ZipFile, name: str, request: Request) -> object:
    """Return a number or text stored with the strain, None if it is absent."""
    entry = name + ".npy"
    if entry not in archive.namelist():
        return None
    if archive.getinfo(entry).file_size > _MAX_SCALAR_BYTES:
        raise FormatError(f"{request.shown_name}: {name} must be a single value: save it so.")
    with (
        damage_as(f"{request.shown_name}: {name} must be a number or a text: save it as one."),
        archive.open(entry) as stream,
    ):
        header = read_npy_header(stream)
        if header.n_values != 1:
            raise FormatError(f"{request.shown_name}: {name} must be a single value: save it so.")
        if header.n_bytes > _MAX_SCALAR_BYTES:
            raise FormatError(f"{request.shown_name}: {name} is too long: save a short value.")
        value = read_npy_values(stream, header).reshape(())
    if header.dtype.kind == "f":
        return value[()]  # a NumPy scalar, to keep its precision known
    # item() would give a number for nanoseconds
    return str(value) if header.dtype.kind == "M" else value.item()


def _first(archive: zipfile.ZipFile, names: tuple[str, ...], request: Request) -> object:
    """Return the first value that is present under these names."""
    values = (_scalar(archive, name, request) for name in names)
    return next((one for one in values if one is not None), None)


def _stated(archive: zipfile.ZipFile, request: Request) -> Iterator[Entry]:
    """Yield every single value in the file with its name, and every pair of numbers."""
    for info in archive.infolist():
        if info.filename.endswith(".npy") and info.file_size <= _MAX_SCALAR_BYTES:
            name = info.filename.removesuffix(".npy")
            with archive.open(info) as stream:
                header = read_npy_header(stream)
                if header.n_values == 2 and header.dtype.kind in "fiu":
                    yield name, tuple(read_npy_values(stream, header).flat)
            with suppress(FormatError):  # not a single value
                yield name, _scalar(archive, name, request)


def _times(archive: zipfile.ZipFile, n_samples: int, request: Request) -> Times | None:
    """Return the reader of an array of times; None if no array holds times.

    It is recognised by its name, or because its values are GPS times, and has one value per sample,
    or one more if it holds edges.
    """
    names = [entry.removesuffix(".npy") for entry in archive.namelist() if entry.endswith(".npy")]
    for name in sorted(names, key=lambda one: one not in TIMES_NAMES)[:_MAX_ARRAYS]:
        with archive.open(f"{name}.npy") as stream:
            header = read_npy_header(stream)
        if header.shape not in ((n_samples,), (n_samples + 1,)) or header.dtype.kind not in "fiu":
            continue
        times = partial(_read_member, archive, name, request=request)
        if name in TIMES_NAMES or is_of_gps(float(times(0, 1)[0])):
            return times
    return None


def _text(archive: zipfile.ZipFile, name: str, request: Request) -> str | None:
    value = _scalar(archive, name, request)
    return value if isinstance(value, str) else None


def _damaged(request: Request) -> str:
    return f"{request.shown_name} is truncated or damaged. Save and send it again."
