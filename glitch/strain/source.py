"""What every strain format gives: an open source that reads any part of one channel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from math import isclose
from pathlib import PurePosixPath

import numpy as np
from jaxtyping import Shaped

from glitch.errors import FormatError, StrainError, TooLargeError

MAX_SAMPLES = 1 << 24  # read at once: a GWOSC file of 4096 s at 4 kHz, 134 MB as float64

Samples = Shaped[np.ndarray, "..."]


@dataclass(frozen=True)
class Request:
    """What a caller knows about a file that the file may not say itself."""

    file_name: str
    gps_time: Decimal | None = None
    sample_rate_hz: float | None = None
    channel: str | None = None
    ifo: str | None = None
    preferred: str | None = None  # channel that is taken where the file has it

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
        read: reads samples from ``first`` to before ``last``.
    """

    n_samples: int
    sample_rate_hz: float | None
    gps_start: Decimal | None
    ifo: str | None
    channel: str | None
    read: Callable[[int, int], Samples]


def check_kind(dtype: np.dtype, shape: tuple[int, ...], request: Request) -> None:
    """Refuse what cannot be one row of real numbers, from its header alone.

    Raises:
        FormatError: for objects, text, complex numbers.
        StrainError: for anything but one axis.
    """
    if dtype.kind == "O":
        raise FormatError(
            f"{request.shown_name} holds pickled Python objects, which are never read. "
            "Save the strain as plain floats."
        )
    if dtype.kind == "c":
        raise FormatError(
            f"{request.shown_name} holds complex numbers. Strain is a real time series: "
            "send that, not its spectrum."
        )
    if dtype.kind not in "fiu":
        raise FormatError(f"{request.shown_name} holds {dtype} values, not numbers.")
    if len(shape) != 1:
        raise StrainError(
            f"{request.shown_name} holds an array of shape {shape}: send one row of strain."
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
    return float(round(rate)) if isclose(rate, round(rate), rel_tol=1e-6) else rate


def decimal_seconds(value: object) -> Decimal | None:
    """A GPS time from whatever number or text a file holds; None if it is none."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        seconds = Decimal(repr(value) if isinstance(value, float) else value)
    except InvalidOperation:
        return None
    return seconds if seconds.is_finite() and abs(seconds) < Decimal(10) ** 10 else None
