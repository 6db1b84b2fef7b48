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

# What files call these, beside HDF5's series and npz's arrays.
STEP_NAMES = ("Xspacing", "dx", "delta_t", "dt")
RATE_NAMES = ("sample_rate_hz", "sample_rate", "sampling_frequency", "sampling_rate", "fs", "srate")
START_NAMES = ("Xstart", "x0", "start_time", "gps_start", "GPSstart", "t0", "epoch")
IFO_NAMES = ("ifo", "detector", "Detector", "instrument")
ORIGIN_NAMES = ("x0", "t0", "epoch")  # of which times beside a series may count
TIMES_NAMES = ("times", "time", "gps_times", "gps_time", "gps", "t")  # one for each sample

_ROUNDED = 1e-4  # of a rate: as far off are those of rounded times
# Of detectors and of what is made from them; they decide only where times leave several.
USUAL_RATES_HZ = (*(2**n for n in range(10, 19)), 10_000, 20_000)
_UNITS_OF_TIMES = (("milliseconds", 1e3), ("microseconds", 1e6), ("nanoseconds", 1e9))

_IS_OF_BITS = re.compile(
    r"STATE_?VECTOR|DQ_?VECTOR|(?:DQ|INJ)_?MASK|[:_-]ODC[_-]", re.ASCII | re.IGNORECASE
)
_COARSE_FROM = 1 << 24  # s; from here on floats of 32 bits are 2 s apart and more
_COARSE_S = 128  # how far such a float may be from its GPS time
_SAME_START = Decimal("1e-6")  # s; as a float64 a GPS time is right to 1e-7
LONGEST_OFFSET_S = 1_000_000  # of times that do not count from the beginning of GPS time
_LONGEST_PAIR = 1 << 22  # samples; 64 s of the fastest channel, read whole with their times
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
    preferred_channel: str | None = None  # channel that is taken where the file has it

    @property
    def shown_name(self) -> str:
        """The file's name as messages show it: no folders, no control characters, bounded."""
        name = PurePosixPath(self.file_name.replace("\\", "/")).name
        printable = "".join(c if c.isprintable() else "?" for c in name)
        return repr(printable if len(printable) <= 80 else printable[:77] + "...")


@dataclass(frozen=True, eq=False)
class Source:
    """One channel of an open file.

    Attributes:
        n_samples: how many samples the file holds.
        sample_rate_hz: None if the file does not say.
        gps_start: GPS time of the first sample, None if the file does not say.
        ifo: detector, None if the file does not say.
        channel: channel name, None if the file does not say.
        event: of a file that does not say its start, the time that it says something happened.
        event_sample: likewise, at which sample; in its middle where it does not say that.
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
    """The detector that entries of a file for it state; None where none does.

    Raises:
        StrainError: if they state one that is not known here, and the caller does not say which of
            those that are is meant. The file's name must not stand in for it.
    """
    for value in values:
        text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        if not isinstance(text, str):
            continue
        if (ifo := detector_stated(text)) is not None:
            return ifo
        if is_other_detector(text) and request.ifo is None:
            raise StrainError(
                f"{request.shown_name} says that it is of {text[:30]!r}, and there is no detector "
                f"of that name: give ifo, one of {', '.join(DETECTORS)}.",
                field="ifo",
            )
    return None


def is_pair(shape: tuple[int, ...]) -> bool:
    """Whether an array is two rows, or two columns: of times and strain, perhaps."""
    return len(shape) == 2 and min(shape) == 2 < max(shape)


def check_kind(dtype: np.dtype, shape: tuple[int, ...], request: Request) -> None:
    """Refuse what cannot be a row of real numbers, or one of times and one of strain, from its
    header alone.

    Raises:
        FormatError: for objects, text, complex numbers.
        StrainError: for anything but one row, or one column, of samples, or two.
        TooLargeError: for two that are longer than any that is read whole.
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
    if is_pair(shape) and max(shape) > _LONGEST_PAIR:
        raise TooLargeError(
            f"{request.shown_name} holds an array of shape {shape}; of times and strain in one at "
            f"most {_LONGEST_PAIR:,} samples are read. Cut it to the 64 s around the GPS time."
        )


def is_of_bits(name: str) -> bool:
    """Whether a channel's name says that each of its samples is bits: a state, or a mask."""
    return _IS_OF_BITS.search(name) is not None


def bits_instead(request: Request) -> FormatError:
    """The error for a state vector or a mask, whose samples are bits and not strain."""
    return FormatError(
        f"{request.shown_name} holds bits, as a state vector or a data-quality mask does, and no "
        "strain: give the channel of the strain, or send its file."
    )


def check_size(n_samples: int) -> None:
    """Refuse to read more samples at once than any one glitch needs.

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
    """Sample rate from a sample spacing, made whole where rounding is all that parts them.

    Raises:
        StrainError: if the spacing is not positive.
    """
    if not step_s > 0:
        raise StrainError(f"The file gives a sample spacing of {step_s} s, which cannot be.")
    rate = 1 / step_s
    return float(round(rate)) if isclose(rate, round(rate), rel_tol=1e-5) else rate


def one_rate(of_step: float, said: float | None, name: str) -> float:
    """The rate in Hz that spacing and rate of a series give together.

    Raises:
        StrainError: if they contradict each other.
    """
    if said is not None and not isclose(of_step, said, rel_tol=1e-4):
        raise StrainError(
            f"{name} says {said:g} Hz and a spacing that gives {of_step:g} Hz: correct one of them."
        )
    return of_step


def refuse_other_unit(rate_hz: float, what: str) -> None:
    """Refuse times that lie as far apart as those of a usual rate do in a part of a second.

    Args:
        rate_hz: of the times, taken as seconds.
        what: whose times they are, as the beginning of the sentence.

    Raises:
        StrainError: naming the unit that they seem to be in.
    """
    for unit, factor in _UNITS_OF_TIMES:
        for usual in USUAL_RATES_HZ:
            if isclose(rate_hz * factor, usual, rel_tol=1e-3):
                raise StrainError(
                    f"{what} seem to be in {unit}, in which they are of {usual:,} Hz: write them "
                    "in seconds."
                )


def series_of_times(first: float, last: float, n_samples: int) -> tuple[Decimal, float]:
    """GPS start in s and rate in Hz of an even series whose first and last time are given.

    Raises:
        StrainError: if no even series of a whole rate has these times.
    """
    if n_samples < 2 or not last > first:
        raise StrainError("Its times do not go up: send an even series, or its start and rate.")
    rate = (n_samples - 1) / (last - first)
    refuse_other_unit(rate, "Its times")
    if not isclose(rate, round(rate), rel_tol=1e-4):
        raise StrainError(
            f"Its times give {rate:.6g} samples a second, so that some are missing: send one "
            "stretch without gaps, or NaN where there are none."
        )
    return decimal_seconds(first) or Decimal(0), float(round(rate))


def number_of(value: object) -> float | None:
    """A number from whatever a file holds, as text with its unit too ("4096 Hz"); None if none."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, str):
        found = _NUMBER.fullmatch(value)
        return float(found[1]) if found else None
    return float(value) if isinstance(value, int | float | np.number) else None


def decimal_seconds(value: object) -> Decimal | None:
    """A GPS time from whatever number or text a file holds; None if it is none.

    UTC as text, and whole nanoseconds, are times too.

    Raises:
        StrainError: for a float that is too short to hold one.
    """
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, np.floating) and value.itemsize < 8 and abs(value) >= _COARSE_FROM:
        raise StrainError(
            f"It says a time of {value:.0f} in a float of 32 bits, which holds GPS times to 64 s "
            "alone: save it as float64."
        )
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, str):
        if not is_utc_date(value) and (utc := parse_utc(value)) is not None:
            return utc
        found = _NUMBER.fullmatch(value)
        value = found[1] if found else value
    try:
        seconds = Decimal(repr(value) if isinstance(value, float) else value)
    except InvalidOperation:
        return None
    if seconds.is_finite() and seconds >= ONLY_NANOSECONDS:
        seconds = seconds.scaleb(-9)
    return seconds if seconds.is_finite() and abs(seconds) < Decimal(10) ** 10 else None


def nanoseconds_beside(name: str) -> tuple[str, ...]:
    """What a value of nanoseconds beside a start of this name may be called."""
    return (f"{name}_ns", f"{name}NS", f"{name}_nsec")


def with_nanoseconds(start: Decimal | None, said: object) -> Decimal | None:
    """A start in whole seconds with the nanoseconds that are said beside it; else as it is."""
    beside = number_of(said)
    if start is None or beside is None or start % 1 or not 0 <= beside < 1e9:
        return start
    return start + Decimal(round(beside)).scaleb(-9)


def no_start(said: str, request: Request) -> FormatError:
    """What to answer where a file says when it starts in a way that cannot be read: it must not
    be taken as centred on the glitch, as one is that does not say it.
    """
    return FormatError(
        f"{request.shown_name} says when it starts ({said}), but that is no GPS time. Save it "
        "with the GPS time of its first sample in seconds, or without any."
    )


def started_at(said: Decimal | None, first: Decimal) -> Decimal:
    """The GPS start of a series of which a start is said, and times are given: they may count
    from there, as from the middle of a cut-out. Where both are GPS times, each sample's own count.
    """
    if said is None:
        return first
    if abs(first) <= LONGEST_OFFSET_S:
        return said + first
    return said if abs(said - first) <= _SAME_START else first  # which may have more digits


def start_and_rate(
    said: tuple[Decimal | None, float | None],
    times: tuple[float, float],
    n_samples: int,
    *,
    is_origin: bool,
) -> tuple[Decimal | None, float | None]:
    """GPS start in s and rate in Hz that are said, completed by a first and a last time.

    Args:
        said: start and rate.
        times: of the first and the last sample.
        n_samples: of the series.
        is_origin: whether what says the start may be where times count from.

    Raises:
        StrainError: if one of them is not said, and the times are of no even series; or if they
            contradict what is said.
    """
    start, rate = said
    first, last = times
    is_counting = first == 0 and last == n_samples - 1 and rate != 1  # the samples
    if is_counting and rate is not None:
        return said
    try:
        own_start, own_rate = series_of_times(first, last, n_samples)
    except StrainError:
        is_coarse = start is not None and abs(Decimal(first) - start) <= _COARSE_S
        if start is None or rate is None or not (first == 0 or is_coarse):
            raise
        return said  # times of 32 bits, say, add nothing
    if rate is not None and not isclose(rate, own_rate, rel_tol=_ROUNDED):
        raise StrainError(
            f"It says {rate:g} Hz, and its times are {own_rate:g} samples a second: correct one of "
            "them."
        )
    if start is not None and first < 0 and not is_origin:
        raise StrainError(
            f"It says that it starts at {start}, and its times begin at {first:g} s: write them as "
            "GPS times, or leave them out."
        )
    return started_at(start, own_start), rate or own_rate


def length_s(n_samples: int, rate_hz: float | None, request: Request) -> Decimal | None:
    """How long a series is; None where neither it nor its caller says its rate."""
    rate_hz = rate_hz or request.sample_rate_hz
    return Decimal(n_samples) / Decimal(rate_hz) if rate_hz and rate_hz > 0 else None


def is_of_gps(first: float) -> bool:
    """Whether the first of as many numbers as there are samples tells that they are their times,
    in s or in parts of one: no strain is as large.
    """
    return first >= EARLIEST_GPS_TIME


def span_of_file_name(name: str) -> tuple[Decimal, Decimal] | None:
    """GPS start and length in s that a name after LIGO-T050017 states; None for another name."""
    found = parse_frame_name(PurePosixPath(name.replace("\\", "/")).name)
    if found is None or not found.suffix[:1].isascii() or not found.suffix[:1].isalpha():
        return None
    return Decimal(found.start), Decimal(found.length)
