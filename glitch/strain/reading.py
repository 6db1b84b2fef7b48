"""Read strain from a file of any supported format."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from math import isclose
from pathlib import Path

import h5py

from glitch.detectors import detector_of_file_name
from glitch.errors import FormatError, GlitchError, StrainError
from glitch.files.compressed import content_head, format_of, gunzipped
from glitch.files.damage import DAMAGE
from glitch.files.npy import open_npz_archive, read_npy_header
from glitch.strain.formats.arrays import npz_strain_names, open_npy, open_npz
from glitch.strain.formats.gwf import open_gwf
from glitch.strain.formats.hdf5 import open_hdf5, strain_names
from glitch.strain.formats.text import is_numeric_text, open_text
from glitch.strain.series import LONGEST_SEGMENT_S, Strain, check_gps_time, check_sample_rate
from glitch.strain.source import (
    Request,
    Source,
    bits_instead,
    check_size,
    is_of_bits,
    span_of_file_name,
    stated_ifo,
)
from glitch.views import Preprocessing

_ROUNDED = 1e-3  # relative rounding error of a rate from a spacing of three digits
_MAX_AXES = 2  # more axes: views; two axes: strain of a wrong shape, which gets its own message
_Opener = Callable[[Path, Request], AbstractContextManager[Source]]
_OPENERS: dict[str, _Opener] = {
    "hdf5": open_hdf5,
    "gwf": open_gwf,
    "npy": open_npy,
    "npz": open_npz,
    "text": open_text,
}


def read_strain(
    path: Path,
    *,
    file_name: str,
    gps_time: Decimal | None = None,
    sample_rate_hz: float | None = None,
    channel: str | None = None,
    ifo: str | None = None,
    preferred_channel: str | None = None,
) -> Strain:
    """Read strain; if a GPS time is given, only the 64 s around it.

    The format is recognised by the content. If the file states no GPS start, it starts as stated by
    its name, if the name follows LIGO-T050017 and its length fits; otherwise ``gps_time`` (or zero)
    is assumed to be in its middle.

    Args:
        path: the file.
        file_name: its original name, for messages and to find the detector.
        gps_time: GPS time of the glitch in seconds.
        sample_rate_hz: needed if the file does not state it (npy, text of one column).
        channel: needed if the file holds several.
        preferred_channel: used if ``channel`` is not given and the file has it; a trigger's
            channel.
        ifo: detector; chooses among the series of several detectors, and is used if the file states
            none.

    Raises:
        FormatError: unknown format, damaged, pickled, no channel or several.
        StrainError: sample rate missing or impossible, GPS time outside or too near the edge, a
            detector other than ``ifo``.
        TooLargeError: too many samples without a GPS time, or a decompression bomb.
    """
    request = Request(file_name, gps_time, sample_rate_hz, channel, ifo, preferred_channel)
    with open_strain(path, request) as (source, rate):
        start = source.gps_start
        if start is None:
            is_said = source.event_sample is not None
            before = Decimal(source.event_sample or 0) if is_said else Decimal(source.n_samples) / 2
            start = (source.event or gps_time or Decimal(0)) - before / Decimal(rate)
        first, last = _window(source.n_samples, rate, start, gps_time)
        check_size(last - first)
        values = source.read(first, last)
        return Strain(
            values=values,
            sample_rate_hz=rate,
            gps_start=start + Decimal(first) / Decimal(rate),
            ifo=detector_of(source, request),
            channel=source.channel or channel,
            is_start_assumed=source.gps_start is None,
        )


@contextmanager
def open_strain(path: Path, request: Request) -> Iterator[tuple[Source, float]]:
    """Open one channel of a file of any format, with its sample rate in Hz.

    Samples are read on demand.

    Raises:
        GlitchError: as ``read_strain``.
    """
    opened = _OPENERS[_kind(path, request)]
    with gunzipped(path, request.shown_name) as plain, opened(plain, request) as source:
        rate = _sample_rate(source, request)
        check_sample_rate(rate)
        if source.n_samples == 0:
            raise StrainError(f"{request.shown_name} holds no samples.")
        if source.channel and is_of_bits(source.channel):
            raise bits_instead(request)
        yield _as_named(source, rate, request), rate


def _as_named(source: Source, rate: float, request: Request) -> Source:
    """Add the start that the file's name states, if the file itself states none, or zero.

    Zero is the start of a series without one in gwpy, and of times that count from the first
    sample.
    """
    span = span_of_file_name(request.file_name)
    if source.gps_start or span is None:
        return source
    start, length_s = span
    # otherwise the file was cut after it was named
    is_whole = source.n_samples == length_s * Decimal(rate)
    return replace(source, gps_start=start) if is_whole else source


def detector_of(source: Source, request: Request) -> str | None:
    """Return the detector of an open file: as stated, else the caller's, else that of its name.

    Raises:
        StrainError: if the file states another detector than the caller.
    """
    if request.ifo and source.ifo and request.ifo != source.ifo:
        raise StrainError(
            f"{request.shown_name} holds strain of {source.ifo}, but {request.ifo} was requested: "
            "correct ifo, or send the file of that detector.",
            field="ifo",
        )
    stated = source.ifo or stated_ifo([source.channel], request)
    return stated or request.ifo or detector_of_file_name(request.file_name)


@dataclass(frozen=True)
class StrainSpan:
    """The time span and detector of a file."""

    gps_start: Decimal
    gps_end: Decimal
    ifo: str | None


def strain_span(
    path: Path,
    *,
    file_name: str,
    sample_rate_hz: float | None = None,
    channel: str | None = None,
    ifo: str | None = None,
) -> StrainSpan | None:
    """Return the time span of a file, without reading its samples if the format allows.

    Args:
        path: the file.
        file_name: its original name, for messages and to find the detector.
        sample_rate_hz: needed if the file does not state it.
        channel: needed if the file holds several.
        ifo: detector, as in ``read_strain``.

    Returns:
        None if the file does not state when it starts.

    Raises:
        GlitchError: as ``read_strain``.
    """
    request = Request(file_name, None, sample_rate_hz, channel, ifo)
    with open_strain(path, request) as (source, rate):
        if source.gps_start is None:
            return None
        end = source.gps_start + Decimal(source.n_samples) / Decimal(rate)
        return StrainSpan(source.gps_start, end, detector_of(source, request))


def is_strain_file(path: Path, file_name: str) -> bool:
    """Return whether a file holds strain rather than, say, pictures or views, by its content.

    A damaged file of a format that can hold strain counts as strain, so that reading it reports the
    damage.
    """
    try:
        kind = _kind(path, Request(file_name))
    except FormatError:
        return False
    if kind not in _HOLDS_STRAIN:
        return True
    try:
        return _HOLDS_STRAIN[kind](path)
    except DAMAGE:
        return True  # damaged: reading it reports that, which helps more than "unknown format"


def _hdf5_holds_strain(path: Path) -> bool:
    with h5py.File(path, "r") as file:
        return bool(strain_names(file))


def _npy_holds_strain(path: Path) -> bool:
    with path.open("rb") as stream:
        return len(read_npy_header(stream).shape) <= _MAX_AXES


def _npz_holds_strain(path: Path) -> bool:
    with open_npz_archive(path) as archive:
        names = npz_strain_names(archive)
        if not names:
            return False
        with archive.open(names[0] + ".npy") as stream:
            return len(read_npy_header(stream).shape) <= _MAX_AXES


_HOLDS_STRAIN: dict[str, Callable[[Path], bool]] = {
    "hdf5": _hdf5_holds_strain,
    "npy": _npy_holds_strain,
    "npz": _npz_holds_strain,
}


def _kind(path: Path, request: Request) -> str:
    if not path.stat().st_size:
        raise FormatError(f"{request.shown_name} is empty.")
    head = content_head(path)
    kind = format_of(head) or ("text" if is_numeric_text(head) else None)
    if kind is not None:
        return kind
    raise FormatError(
        f"{request.shown_name} is not a strain file in a supported format: send HDF5 (GWOSC, "
        "gwpy), GWF, npy, npz, or text with one column of strain or two of GPS time and strain."
    )


def why_no_strain(path: Path, file_name: str) -> str:
    """Explain in a sentence why a file whose format may hold strain has none; "" if it has.

    For HDF5 without a series, the sentence describes what a strain series looks like. Files of
    other formats get "" too.
    """
    request = Request(file_name)
    try:
        may_hold = _kind(path, request) in _HOLDS_STRAIN
    except FormatError:
        return ""
    try:
        with open_strain(path, request):
            return ""
    except GlitchError as error:
        return str(error) if may_hold else ""


def _sample_rate(source: Source, request: Request) -> float:
    stated, given = source.sample_rate_hz, request.sample_rate_hz
    if stated is None and given is None:
        raise StrainError(
            f"{request.shown_name} does not say its sample rate: give sample_rate_hz.",
            field="sample_rate_hz",
        )
    if stated is not None and given is not None and isclose(1000 * stated, given, rel_tol=1e-6):
        return given  # the file states kHz
    is_rounded = stated is not None and stated != round(stated)
    if is_rounded and given is not None and isclose(stated or 0, given, rel_tol=_ROUNDED):
        return given
    if stated is not None and given is not None and abs(stated - given) > 1e-6 * stated:
        raise StrainError(
            f"{request.shown_name} says {stated:g} Hz but sample_rate_hz is {given:g}: correct "
            "sample_rate_hz, or leave it out.",
            field="sample_rate_hz",
        )
    return float(stated if stated is not None else given or 0)


def _window(
    n_samples: int, rate: float, start: Decimal, gps_time: Decimal | None
) -> tuple[int, int]:
    if gps_time is None:
        return 0, n_samples
    recipe = Preprocessing()
    margin_s = recipe.whitening_filter_s / 2 + min(recipe.durations_s) / 2
    check_gps_time(start, n_samples, rate, gps_time, margin_s)
    event = round((gps_time - start) * Decimal(rate))
    half = round(LONGEST_SEGMENT_S // 2 * rate)
    return max(0, event - half), min(n_samples, event + half)
