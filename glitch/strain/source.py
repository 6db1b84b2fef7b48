"""The interface of every strain format: an open source that reads any part of one channel."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from math import isclose
from pathlib import PurePosixPath

import numpy as np
from jaxtyping import Shaped

from glitch.detectors import DETECTORS, detector_stated, is_other_detector
from glitch.errors import FormatError, StrainError, TooLargeError
from glitch.files.frame_names import parse_frame_name
from glitch.files.hdf5 import is_one_row
from glitch.gps import EARLIEST_GPS_TIME, ONLY_NANOSECONDS, is_utc_date, parse_utc

# Names of attributes, datasets or arrays that give these values of a series.
STEP_NAMES = ("Xspacing", "dx", "delta_t", "deltaT", "dt")
RATE_NAMES = ("sample_rate_hz", "sample_rate", "sampling_frequency", "sampling_rate", "fs", "srate")
START_NAMES = (
    *("Xstart", "x0", "start_time", "gps_start", "GPSstart", "t0", "epoch", "gpsSeconds"),
)
IFO_NAMES = ("ifo", "detector", "Detector", "instrument")
# names of an origin from which the times of a series may count
ORIGIN_NAMES = ("x0", "t0", "epoch")
TIMES_NAMES = ("times", "time", "gps_times", "gps_time", "gps", "t")  # one value per sample

_LAL_TIME = ("gpsSeconds", "gpsNanoSeconds")  # a compound value
_ROUNDED = 1e-4  # relative error of a rate from rounded times
# Rates of detectors and of data products; used only to choose if times allow several rates.
USUAL_RATES_HZ = (*(2**n for n in range(10, 19)), 10_000, 20_000)
_UNITS_OF_TIMES = (("milliseconds", 1e3), ("microseconds", 1e6), ("nanoseconds", 1e9))

_IS_OF_BITS = re.compile(
    r"STATE_?VECTOR|DQ_?VECTOR|(?:DQ|INJ)_?MASK|[:_-]ODC[_-]", re.ASCII | re.IGNORECASE
)
_COARSE_FROM = 1 << 24  # s; from here on, neighbouring 32-bit floats differ by 2 s or more
_COARSE_S = 128  # largest difference of such a float from its GPS time
_SAME_START = Decimal("1e-6")  # s; a GPS time as float64 is accurate to 1e-7
LONGEST_OFFSET_S = 1_000_000  # largest value of times that count from another origin than GPS
MAX_PAIR = 1 << 22  # samples; 64 s of the fastest channel, read whole with its times
MAX_SAMPLES = 1 << 24  # read at once: a GWOSC file of 4096 s at 4 kHz, 134 MB as float64

_NUMBER = re.compile(
    r"\s*+(?:GPS[ :=]*+)?([+-]?\d++(?:\.\d*+)?(?:[eE][+-]?\d++)?)\s*+(?:(?:s|sec|seconds|Hz)\s*+)?",
    re.ASCII,
)

Samples = Shaped[np.ndarray, "..."]


@dataclass(frozen=True)
class Request:
    """Details from the caller that the file may not contain."""

    file_name: str
    gps_time: Decimal | None = None
    sample_rate_hz: float | None = None
    channel: str | None = None
    ifo: str | None = None
    preferred_channel: str | None = None  # used if the file has it and no channel is given

    @property
    def shown_name(self) -> str:
        """The file's name for messages: no folders, no control characters, limited length."""
        name = PurePosixPath(self.file_name.replace("\\", "/")).name
        printable = "".join(c if c.isprintable() else "?" for c in name)
        return repr(printable if len(printable) <= 80 else printable[:77] + "...")


@dataclass(frozen=True, eq=False)
class Source:
    """One channel of an open file.

    Attributes:
        n_samples: number of samples in the file.
        sample_rate_hz: None if the file does not state it.
        gps_start: GPS time of the first sample, None if the file does not state it.
        ifo: detector, None if the file does not state it.
        channel: channel name, None if the file does not state it.
        event: time of an event that the file states, if it does not state its start.
        event_sample: sample of that event; None means the middle.
        read: reads samples from ``first`` to before ``last``.
    """

    n_samples: int
    sample_rate_hz: float | None
    gps_start: Decimal | None
    ifo: str | None
    channel: str | None
    read: Callable[[int, int], Samples]
    event: Decimal | None = None
    event_sample: int | None = None


def stated_ifo(values: Iterable[object], request: Request) -> str | None:
    """Return the detector that a file's detector entries state; None if they state none.

    Raises:
        StrainError: if they state an unknown detector and the caller gives none. The detector in
            the file's name must not be used in its place.
    """
    for value in values:
        text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        if not isinstance(text, str):
            continue
        if (ifo := detector_stated(text)) is not None:
            return ifo
        if is_other_detector(text) and request.ifo is None:
            raise StrainError(
                f"{request.shown_name} states the detector {text[:30]!r}, which is unknown: give "
                f"ifo, one of {', '.join(DETECTORS)}.",
                field="ifo",
            )
    return None


def is_pair(shape: tuple[int, ...]) -> bool:
    """Return whether an array has two rows or two columns, which may be times and strain."""
    return len(shape) == 2 and min(shape) == 2 < max(shape)


def check_kind(dtype: np.dtype, shape: tuple[int, ...], request: Request) -> None:
    """Refuse an array that is neither a row of real numbers nor times and strain, by its header.

    Raises:
        FormatError: for objects, text, complex numbers.
        StrainError: for a shape other than one or two rows or columns.
        TooLargeError: for two rows longer than any that are read whole.
    """
    if dtype.kind == "O":
        raise FormatError(
            f"{request.shown_name} holds pickled Python objects or texts, which are never read. "
            "Save the strain as plain floats."
        )
    if dtype.kind == "c":
        raise FormatError(
            f"{request.shown_name} holds complex numbers. Strain is a real time series: "
            "send that, not its spectrum."
        )
    if dtype.names is not None:
        raise FormatError(
            f"{request.shown_name} holds a table of {', '.join(dtype.names)[:80]}: save its times "
            "and its strain as arrays of their own, called times and strain."
        )
    if dtype.kind == "u":
        raise bits_instead(request)
    if dtype.kind not in "fi":
        raise FormatError(f"{request.shown_name} holds {dtype} values, not numbers.")
    if not (is_one_row(shape) or is_pair(shape)):
        raise StrainError(
            f"{request.shown_name} holds an array of shape {shape}: send one row of strain."
        )
    if is_pair(shape) and max(shape) > MAX_PAIR:
        raise TooLargeError(
            f"{request.shown_name} holds times and strain in an array of shape {shape}, of which "
            f"at most {MAX_PAIR:,} samples are read. Cut it to the 64 s around the GPS time."
        )


def is_of_bits(name: str) -> bool:
    """Return whether a channel's name says that its samples are bits: a state vector or a mask."""
    return _IS_OF_BITS.search(name) is not None


def bits_instead(request: Request) -> FormatError:
    """Return the error for a state vector or a mask, whose samples are bits, not strain."""
    return FormatError(
        f"{request.shown_name} holds bits, like a state vector or a data-quality mask, not strain: "
        "give the channel of the strain, or send its file."
    )


def check_size(n_samples: int) -> None:
    """Refuse to read more samples at once than one glitch needs.

    Raises:
        TooLargeError: if there are too many.
    """
    if n_samples > MAX_SAMPLES:
        raise TooLargeError(
            f"The file declares {n_samples:,} samples and at most {MAX_SAMPLES:,} are read at "
            "once. Give gps_time, so that only the 64 s around it are read, or cut the file.",
            field="gps_time",
        )


def rate_from_step(step_s: float) -> float:
    """Return the sample rate for a sample spacing, rounded to a whole number within 1e-5.

    Raises:
        StrainError: if the spacing is not positive.
    """
    if not step_s > 0:
        raise StrainError(
            f"The file states a sample spacing of {step_s} s, which must be above zero: correct it."
        )
    rate = 1 / step_s
    return float(round(rate)) if isclose(rate, round(rate), rel_tol=1e-5) else rate


def one_rate(of_step: float, rate: float | None, name: str) -> float:
    """Return the rate in Hz that a series' spacing and rate rate agree on.

    Raises:
        StrainError: if they contradict each other.
    """
    if rate is not None and not isclose(of_step, rate, rel_tol=1e-4):
        raise StrainError(
            f"{name} says {rate:g} Hz and a spacing that gives {of_step:g} Hz: correct one of them."
        )
    return of_step


def refuse_other_unit(rate_hz: float, what: str) -> None:
    """Refuse times whose spacing would fit a usual rate if they were in a smaller unit.

    Args:
        rate_hz: rate of the times, taken as seconds.
        what: whose times they are, as the beginning of the sentence.

    Raises:
        StrainError: names the unit that the times seem to be in.
    """
    for unit, factor in _UNITS_OF_TIMES:
        for usual in USUAL_RATES_HZ:
            if isclose(rate_hz * factor, usual, rel_tol=1e-3):
                raise StrainError(
                    f"{what} seem to be in {unit}, which would give {usual:,} Hz: write them in "
                    "seconds."
                )


def series_of_times(first: float, last: float, n_samples: int) -> tuple[Decimal, float]:
    """Return GPS start in s and rate in Hz of an even series, given its first and last time.

    Raises:
        StrainError: if no even series of a whole rate has these times.
    """
    if n_samples < 2 or not last > first:
        raise StrainError("Its times do not increase: send an even series, or its start and rate.")
    rate = (n_samples - 1) / (last - first)
    refuse_other_unit(rate, "Its times")
    if not isclose(rate, round(rate), rel_tol=1e-4):
        raise StrainError(
            f"Its times give {rate:.6g} samples a second, so some samples are missing: send one "
            "stretch without gaps, or fill gaps with NaN."
        )
    return decimal_seconds(first) or Decimal(0), float(round(rate))


def number_of(value: object) -> float | None:
    """Return a number from a value in a file, also from text with a unit ("4096 Hz"), else None."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, str):
        match = _NUMBER.fullmatch(value)
        return float(match[1]) if match else None
    return float(value) if isinstance(value, int | float | np.number) else None


def decimal_seconds(value: object) -> Decimal | None:
    """Return a GPS time from a number or text in a file; None if it is not a time.

    UTC as text, whole nanoseconds, and LAL's pair of seconds and nanoseconds are accepted too.

    Raises:
        StrainError: for a float that is too short to hold a GPS time.
    """
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, np.floating) and value.itemsize < 8 and abs(value) >= _COARSE_FROM:
        raise StrainError(
            f"It says the time {value:.0f} as a 32-bit float, which holds GPS times only to 64 "
            "s: save it as float64."
        )
    if isinstance(value, np.void) and value.dtype.names == _LAL_TIME:
        value = f"{value[0]}.{value[1]:09d}"
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, str):
        if not is_utc_date(value) and (utc := parse_utc(value)) is not None:
            return utc
        match = _NUMBER.fullmatch(value)
        value = match[1] if match else value
    try:
        seconds = Decimal(repr(value) if isinstance(value, float) else value)
    except InvalidOperation:
        return None
    if seconds.is_finite() and seconds >= ONLY_NANOSECONDS:
        seconds = seconds.scaleb(-9)
    return seconds if seconds.is_finite() and abs(seconds) < Decimal(10) ** 10 else None


def nanoseconds_beside(name: str) -> tuple[str, ...]:
    """Return possible names of the nanoseconds that belong to a start of this name."""
    of_lal = f"{name.removesuffix('Seconds')}NanoSeconds"
    return (f"{name}_ns", f"{name}NS", f"{name}_nsec", of_lal)


def with_nanoseconds(start: Decimal | None, value: object) -> Decimal | None:
    """Add separately stated nanoseconds to a start in whole seconds; else return it unchanged."""
    nanoseconds = number_of(value)
    if start is None or nanoseconds is None or start % 1 or not 0 <= nanoseconds < 1e9:
        return start
    return start + Decimal(round(nanoseconds)).scaleb(-9)


def no_start(value: str, request: Request) -> FormatError:
    """Return the error for a file that states its start in an unreadable way.

    Such a file must not be treated as centred on the glitch, like one that states no start.
    """
    return FormatError(
        f"{request.shown_name} says when it starts ({value}), but that is not a GPS time. Save it "
        "with the GPS time of its first sample in seconds, or without any."
    )


def started_at(stated: Decimal | None, first: Decimal) -> Decimal:
    """Return the GPS start of a series that has both a stated start and times.

    The times may count from the stated start, as from the middle of a cut-out. If both are GPS
    times, those of the samples take precedence.
    """
    if stated is None:
        return first
    if abs(first) <= LONGEST_OFFSET_S:
        return stated + first
    return stated if abs(stated - first) <= _SAME_START else first  # which may be more precise


def start_and_rate(
    stated: tuple[Decimal | None, float | None],
    times: tuple[float, float],
    n_samples: int,
    *,
    is_origin: bool,
) -> tuple[Decimal | None, float | None]:
    """Return GPS start in s and rate in Hz, as stated or completed by the first and last time.

    Args:
        stated: start and rate that the file states.
        times: times of the first and the last sample.
        n_samples: number of samples.
        is_origin: whether the stated start may be the origin that the times count from.

    Raises:
        StrainError: if a value is not stated and the times do not form an even series, or if they
            contradict the stated values.
    """
    start, rate = stated
    first, last = times
    # the values are sample numbers, not times
    is_counting = first == 0 and last == n_samples - 1 and rate != 1
    if is_counting and rate is not None:
        return stated
    try:
        own_start, own_rate = series_of_times(first, last, n_samples)
    except StrainError:
        is_coarse = start is not None and abs(Decimal(first) - start) <= _COARSE_S
        if start is None or rate is None or not (first == 0 or is_coarse):
            raise
        return stated  # times in, say, 32-bit floats add nothing
    if rate is not None and not isclose(rate, own_rate, rel_tol=_ROUNDED):
        raise StrainError(
            f"It says {rate:g} Hz, but its times give {own_rate:g} samples a second: correct one "
            "of them."
        )
    if start is not None and first < 0 and not is_origin:
        raise StrainError(
            f"It says that it starts at {start}, but its times begin at {first:g} s: write them "
            "as GPS times, or leave them out."
        )
    return started_at(start, own_start), rate or own_rate


def length_s(n_samples: int, rate_hz: float | None, request: Request) -> Decimal | None:
    """Return the length of a series in s; None if neither file nor caller states its rate."""
    rate_hz = rate_hz or request.sample_rate_hz
    return Decimal(n_samples) / Decimal(rate_hz) if rate_hz and rate_hz > 0 else None


def is_of_gps(first: float) -> bool:
    """Return whether an array holds GPS times, in s or a smaller unit, judged by its first value.

    Strain values are never as large.
    """
    return first >= EARLIEST_GPS_TIME


def span_of_file_name(name: str) -> tuple[Decimal, Decimal] | None:
    """Return GPS start and length in s from a name after LIGO-T050017; None for other names."""
    parts = parse_frame_name(PurePosixPath(name.replace("\\", "/")).name)
    if parts is None or not parts.suffix[:1].isascii() or not parts.suffix[:1].isalpha():
        return None
    return Decimal(parts.start), Decimal(parts.length)
