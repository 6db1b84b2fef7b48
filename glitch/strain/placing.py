"""Determine rate, start and gaps of samples from printed times."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from glitch.errors import StrainError
from glitch.strain.source import (
    MAX_PAIR,
    MAX_SAMPLES,
    USUAL_RATES_HZ,
    Request,
    Samples,
    Source,
    rate_from_step,
    refuse_other_unit,
    started_at,
)
from glitch.types import StrainArray

_OFF_GRID = 0.3  # fraction of a sample: largest offset of a time from an even series
_JUMP = 1.75  # samples: least step of times that leaves one out; rounding makes steps uneven
_COARSE = 0.25  # of a sample: times with coarser steps cannot place single samples


@dataclass(frozen=True, eq=False)
class PlacedSamples:
    """An evenly sampled series; NaN where no sample was given."""

    values: StrainArray
    rate_hz: float
    start: Decimal


def place_samples(
    times: StrainArray,
    values: StrainArray,
    *,
    step_s: float,
    rate_hz: float | None,
    shown_name: str,
) -> PlacedSamples:
    """Return the evenly sampled series of samples with printed times.

    Args:
        times: GPS time of each sample in s, as printed.
        values: the samples.
        step_s: precision to which the times are printed, in s.
        rate_hz: sample rate in Hz, if it is known.
        shown_name: name of the file, for messages.

    Raises:
        StrainError: if the times decrease, are not finite, or do not fit an even series.
    """
    if not np.isfinite(times).all():
        raise StrainError(f"{shown_name} has times that are not numbers: correct them.")
    if times.size < 2:
        raise StrainError(f"{shown_name} has a single sample: send at least 8 s of strain.")
    steps = np.diff(times)
    if steps.min() < 0:
        line = int(np.argmin(steps)) + 2
        raise StrainError(f"{shown_name}: the time in row {line} lies before the one above it.")
    # no better than the precision of float64
    step_s = max(step_s, float(np.spacing(np.abs(times).max())))
    rough = rate_hz or 1 / max(float(np.median(steps)), 1e-9)
    if step_s * rough <= _COARSE:
        return _by_each_time(times, values, rate_hz, shown_name)
    return _by_all_times(times, values, step_s, rate_hz, shown_name)


def pair_source(
    pair: np.ndarray, request: Request, *, ifo: str | None = None, channel: str | None = None
) -> Source:
    """Return the series of an array of two rows, or two columns: increasing times, and strain.

    Raises:
        StrainError: if the times cannot be told from the strain, or as ``place_samples``.
    """
    rows = pair if len(pair) == 2 else pair.T
    goes_up = [bool((np.diff(row) > 0).all()) for row in rows]
    if sum(goes_up) != 1:
        raise StrainError(
            f"{request.shown_name} holds an array of shape {pair.shape}, in which times and strain "
            "cannot be told apart: send one row of strain, in an npz with gps_start and "
            "sample_rate_hz."
        )
    times, values = rows if goes_up[0] else rows[::-1]
    return placed_source(times, values, request, ifo=ifo, channel=channel)


Times = Callable[[int, int], Samples]  # reads times from ``first`` to before ``last``


def are_broken(times: Times, n_samples: int) -> bool:
    """Return whether the times of a series leave out samples or go back.

    Of a series that is too long to be read whole, only its length is compared.
    """
    head = times(0, min(n_samples, MAX_PAIR))
    if n_samples < 3:
        return False
    steps = np.diff(head)
    if n_samples <= MAX_PAIR:
        return bool(steps.min() < 0 or 0 < _JUMP * np.median(steps) < steps.max())
    step = (head[-1] - head[0]) / steps.size
    length = times(n_samples - 1, n_samples)[0] - head[0]
    return bool(abs(length - (n_samples - 1) * step) > _JUMP * abs(step))


def placed_source(
    times: np.ndarray,
    values: np.ndarray,
    request: Request,
    *,
    stated: tuple[Decimal | None, float | None] = (None, None),
    ifo: str | None,
    channel: str | None,
) -> Source:
    """Return a series whose samples are placed by their times, with NaN between them.

    Args:
        times: time of each sample in s; GPS, or counted from the stated start.
        values: the samples.
        request: gives the sample rate if it is not stated.
        stated: start and rate that the file states.
        ifo: detector.
        channel: name of the channel.

    Raises:
        StrainError: as ``place_samples``.
    """
    start, rate_hz = stated
    placed = place_samples(
        times.astype(np.float64),
        values.astype(np.float64),
        step_s=float(np.spacing(times[-1])) if times.dtype.kind == "f" else 1.0,
        rate_hz=rate_hz or request.sample_rate_hz,
        shown_name=request.shown_name,
    )
    return Source(
        n_samples=placed.values.size,
        sample_rate_hz=placed.rate_hz,
        gps_start=started_at(start, placed.start),
        ifo=ifo,
        channel=channel,
        read=lambda first, last: placed.values[first:last].copy(),
    )


def _by_each_time(
    times: StrainArray, values: StrainArray, rate_hz: float | None, shown_name: str
) -> PlacedSamples:
    """Place every sample at its own time; jumps over whole samples are gaps."""
    steps = np.diff(times)
    step = float(np.median(steps))
    even = steps[np.abs(steps - step) < step / 2]  # their mean is more precise than a printed time
    own_rate = _whole(rate_from_step(float(even.mean()) if even.size else step))
    refuse_other_unit(own_rate, f"The times in {shown_name}")
    rate = rate_hz or own_rate
    if rate < 1:
        raise StrainError(
            f"The times in {shown_name} are {step:.3g} s apart, which is too far for strain. If it "
            "is a table of triggers, name its columns in its first line, such as gps_time,snr; if "
            "it is a list of data-quality segments, add the length of each."
        )
    positions = (times - times[0]) * rate
    nearest = np.rint(positions)
    deviations = np.abs(positions - nearest)
    if deviations.max() > _OFF_GRID or np.diff(nearest).min() < 1:
        is_off = deviations > _OFF_GRID
        row = int(np.argmax(is_off)) if is_off.any() else int(np.diff(nearest).argmin()) + 1
        raise StrainError(
            f"{shown_name} is not evenly sampled: near row {row + 1} a time is between the samples "
            f"of {rate:g} Hz, or repeats one. Resample it, or send HDF5."
        )
    length = int(nearest[-1]) + 1
    if length > MAX_SAMPLES:
        raise StrainError(f"{shown_name} has gaps of {length / rate:,.0f} s: send one stretch.")
    placed = np.full(length, np.nan)
    placed[nearest.astype(np.int64)] = values
    return PlacedSamples(placed, rate, Decimal(repr(float(times[0]))))


def _by_all_times(
    times: StrainArray, values: StrainArray, step_s: float, rate_hz: float | None, shown_name: str
) -> PlacedSamples:
    """Return a series without gaps whose times are printed more coarsely than it is sampled."""
    span = float(times[-1] - times[0])
    if span <= 0:
        raise _too_coarse(shown_name, step_s)
    estimate = (times.size - 1) / span
    slack = estimate * 2 * step_s / span
    low, high = np.ceil(estimate - slack), np.floor(estimate + slack)
    candidates = [rate for rate in USUAL_RATES_HZ if low <= rate <= high]
    if rate_hz is not None:
        rate = rate_hz
    elif low == high:
        rate = float(low)
    elif len(candidates) == 1:
        rate = float(candidates[0])
    else:
        raise _too_coarse(shown_name, step_s)
    residuals = times - times[0] - np.arange(times.size) / rate
    if np.ptp(residuals) > 2 * step_s:
        row = int(np.argmax(np.abs(residuals) > step_s)) + 1
        raise StrainError(
            f"{shown_name} is not evenly sampled at {rate:g} Hz: near row {row} its times jump by "
            f"{np.ptp(residuals):.3g} s, and they are printed to {step_s:g} s, too coarsely to see "
            "where. Send one stretch without gaps, or print more decimals."
        )
    # accurate to the printed step
    return PlacedSamples(values, rate, Decimal(repr(float(times[0]))))


def _whole(rate: float) -> float:
    """Round a rate to a whole number, because it comes from rounded times."""
    return float(round(rate)) if abs(rate - round(rate)) < 1e-3 * rate and round(rate) else rate


def _too_coarse(shown_name: str, step_s: float) -> StrainError:
    return StrainError(
        f"The times in {shown_name} are printed to {step_s:g} s, too coarsely to tell the sample "
        "rate: give sample_rate_hz, or print more decimals."
    )
