"""Strain: one stretch of detector data, and the part of it that is analysed around a GPS time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from glitch.errors import StrainError
from glitch.gps import EARLIEST_GPS_TIME
from glitch.strain.missing import good_stretch, hole_around, is_missing
from glitch.types import StrainArray
from glitch.views import Preprocessing

LOWEST_SAMPLE_RATE_HZ = 1024
HIGHEST_SAMPLE_RATE_HZ = 262144  # four times the fastest LIGO channel; anything higher is an error
LONGEST_SEGMENT_S = 64  # Gravity Spy analyses 64 s around the GPS time
SHORTEST_SEGMENT_S = 8  # seven 2 s spectra: with fewer, the glitch itself enters the median ASD


@dataclass(frozen=True, eq=False)
class Strain:
    """One evenly sampled stretch of strain, with or without gaps.

    Attributes:
        values: dimensionless strain, float64, 1-D; gaps are NaN.
        sample_rate_hz: samples per second, a whole number from 1024 to 262144.
        gps_start: GPS time of the first sample in seconds.
        ifo: detector such as "H1", None if unknown.
        channel: channel name such as "H1:GWOSC-4KHZ_R1_STRAIN", None if unknown.
        is_start_assumed: the start is not stated anywhere, so the glitch's GPS time is assumed to
            be in the middle.
    """

    values: StrainArray
    sample_rate_hz: float
    gps_start: Decimal
    ifo: str | None = None
    channel: str | None = None
    is_start_assumed: bool = False

    def __post_init__(self) -> None:
        check_sample_rate(self.sample_rate_hz)
        if self.values.ndim != 1 or self.values.size == 0:
            raise StrainError(
                f"Strain must be one row of samples, not an array of shape {self.values.shape}."
            )
        if not self.gps_start.is_finite():
            raise StrainError("The GPS start of the strain must be a finite number of seconds.")

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.values.size / self.sample_rate_hz

    @property
    def gps_end(self) -> Decimal:
        """GPS time just after the last sample."""
        return self.gps_start + Decimal(self.values.size) / Decimal(self.sample_rate_hz)


@dataclass(frozen=True, eq=False)
class Segment:
    """The analysed part of a strain, a whole number of seconds long.

    Attributes:
        values: strain, float64, finite and not constant.
        sample_rate_hz: whole number.
        gps_start: GPS time of the first sample.
        event_s: seconds from the first sample to the GPS time of the glitch.
        durations_s: the view windows that fit, with the filter's settling time around them.
    """

    values: StrainArray
    sample_rate_hz: int
    gps_start: Decimal
    event_s: float
    durations_s: tuple[float, ...]


def check_sample_rate(sample_rate_hz: float) -> None:
    """Refuse an impossible sample rate.

    Raises:
        StrainError: if it is not a whole number of Hz from 1024 to 262144.
    """
    if not math.isfinite(sample_rate_hz) or sample_rate_hz != round(sample_rate_hz):
        raise StrainError(
            f"The sample rate must be a whole number of Hz, not {sample_rate_hz:g}: resample "
            "first, or give sample_rate_hz where that is in kHz or rounded."
        )
    if not LOWEST_SAMPLE_RATE_HZ <= sample_rate_hz <= HIGHEST_SAMPLE_RATE_HZ:
        raise StrainError(
            f"A sample rate of {sample_rate_hz:g} Hz cannot be used: give strain of "
            f"{LOWEST_SAMPLE_RATE_HZ} to {HIGHEST_SAMPLE_RATE_HZ} Hz."
        )


def analysed_segment(strain: Strain, gps_time: Decimal, preprocessing: Preprocessing) -> Segment:
    """Return the stretch around a GPS time from which views are made.

    It extends 32 s to each side (Gravity Spy's 64 s), or less where the data end, trimmed to whole
    seconds. A view needs half its window and half the whitening filter of data on both sides, so
    only the shorter windows fit where the data end early.

    Missing samples (NaN, infinite, held at one value, stray) count as an end of the data: only the
    unbroken stretch around the GPS time is used.

    Raises:
        StrainError: if the GPS time lies outside the data or too near their edge, or fewer than 8 s
            of unbroken data surround it; the message states the usable interval.
    """
    rate = round(strain.sample_rate_hz)
    settle_s = preprocessing.whitening_filter_s / 2
    margin_s = settle_s + min(preprocessing.durations_s) / 2
    check_gps_time(strain.gps_start, strain.values.size, strain.sample_rate_hz, gps_time, margin_s)
    low, high = _unbroken(strain, gps_time, margin_s)
    event_s = float(gps_time - strain.gps_start) - low / rate
    first, last = _whole_seconds(high - low, rate, event_s)
    values = strain.values[low + first : low + last]
    start_s = first / rate
    reach_s = min(event_s - start_s, last / rate - event_s) - settle_s + 1e-9
    durations_s = tuple(d for d in preprocessing.durations_s if d / 2 <= reach_s)
    gps_start = strain.gps_start + Decimal(low + first) / Decimal(rate)
    return Segment(values, rate, gps_start, event_s - start_s, durations_s)


def check_gps_time(
    gps_start: Decimal, n_samples: int, sample_rate_hz: float, gps_time: Decimal, margin_s: float
) -> None:
    """Refuse a GPS time around which no view can be made.

    Args:
        gps_start: GPS time of the first sample.
        n_samples: number of samples.
        sample_rate_hz: sample rate.
        gps_time: GPS time of the glitch.
        margin_s: seconds of data needed on both sides.

    Raises:
        StrainError: states the usable interval.
    """
    margin = Decimal(str(margin_s))
    duration_s = n_samples / sample_rate_hz
    gps_end = gps_start + Decimal(n_samples) / Decimal(sample_rate_hz)
    if duration_s < SHORTEST_SEGMENT_S:
        raise StrainError(
            f"The file holds {duration_s:g} s of strain: at least {SHORTEST_SEGMENT_S} s are "
            "needed to estimate the noise, and 64 s around the GPS time are best."
        )
    if gps_start + margin <= gps_time <= gps_end - margin:
        return
    if gps_end < EARLIEST_GPS_TIME <= gps_time:
        raise StrainError(
            f"The strain starts at {plain(gps_start)} s, which is no GPS time: save it with the "
            "GPS time of its first sample, or name the file after LIGO-T050017, as in "
            "H-H1_STRAIN-1126259446-32.hdf5 for 32 s from GPS 1126259446."
        )
    where = "too near the edge of" if gps_start <= gps_time <= gps_end else "outside"
    raise StrainError(
        f"GPS time {plain(gps_time)} is {where} the strain, which spans {plain(gps_start)} to "
        f"{plain(gps_end)}: give one from {plain(gps_start + margin)} to "
        f"{plain(gps_end - margin)}."
    )


def _whole_seconds(n_samples: int, rate: int, event_s: float) -> tuple[int, int]:
    """Return first and end sample of at most 64 s around the event, a whole number of seconds."""
    event = round(event_s * rate)
    half = LONGEST_SEGMENT_S // 2 * rate
    first, last = max(0, event - half), min(n_samples, event + half)
    step = rate if rate % 2 == 0 else 2 * rate  # the FFT needs an even number of samples
    excess = (last - first) % step
    # trim the longer side, so that the event keeps its margin
    if event - first > last - event:
        return first + excess, last
    return first, last - excess


def _unbroken(strain: Strain, gps_time: Decimal, margin_s: float) -> tuple[int, int]:
    """Return first and end sample of unbroken data, at most 32 s on each side of the GPS time."""
    rate = Decimal(strain.sample_rate_hz)
    event = min(round((gps_time - strain.gps_start) * rate), strain.values.size - 1)
    half = round(LONGEST_SEGMENT_S // 2 * strain.sample_rate_hz)
    start = max(0, event - half)
    values = strain.values[start : event + half]
    missing = is_missing(values)
    if missing.all():
        raise StrainError(_nothing_message(values))
    low, high = good_stretch(missing, event - start)
    if low == 0 and high == values.size:
        return start, start + values.size

    def gps(sample: int) -> Decimal:
        return strain.gps_start + Decimal(start + sample) / rate

    share = (
        f"{int(missing.sum())} of {missing.size} samples around the GPS time are missing (NaN, "
        "infinite, one value held, or a single value far off its neighbours)"
    )
    if low == high:
        first, last = hole_around(missing, event - start)
        raise StrainError(
            f"{share}, including the GPS time itself: there are no data from {plain(gps(first))} "
            f"to {plain(gps(last))}. Choose a time in good data."
        )
    margin = Decimal(str(margin_s))
    is_long = (high - low) >= SHORTEST_SEGMENT_S * strain.sample_rate_hz
    if is_long and gps(low) + margin <= gps_time <= gps(high) - margin:
        return start + low, start + high
    lacks = (
        f"give a time from {plain(gps(low) + margin)} to {plain(gps(high) - margin)}"
        if is_long
        else f"at least {SHORTEST_SEGMENT_S} s without a gap are needed"
    )
    raise StrainError(
        f"{share}. Good data around it span {plain(gps(low))} to {plain(gps(high))}: {lacks}."
    )


def _nothing_message(values: StrainArray) -> str:
    if not np.isfinite(values).any():
        return (
            "The strain around the GPS time is NaN or infinite throughout: there are no data. "
            "Check the channel and the GPS time."
        )
    what = "zero" if values[0] == 0 else "one constant value"
    return (
        f"The strain is {what} throughout: there is nothing to whiten. "
        "Check the channel and the GPS time."
    )


def plain(gps: Decimal) -> str:
    """Return a GPS time in plain digits, rounded to the microsecond."""
    text = f"{gps:.6f}"
    return text.rstrip("0").rstrip(".")
