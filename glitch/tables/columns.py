"""What tables call their columns, and which of ours each one is."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

# Our name: what Gravity Spy's releases, Omicron, LIGO_LW, PyCBC and people call it, as
# ``plain_name`` gives it. The first that has a value counts.
SPELLINGS: dict[str, tuple[str, ...]] = {
    "path": ("path", "file", "filename", "file_name"),
    "ifo": ("ifo", "detector", "interferometer", "instrument", "site", "observatory"),
    "channel": ("channel", "channel_name"),
    "gravityspy_id": ("gravityspy_id", "uniqueid", "unique_id", "gravity_spy_id"),
    "id": ("id", "event_id", "subject_id"),
    "label": ("label", "ml_label", "class", "gravityspy_label", "glitch_class"),
    "confidence": ("confidence", "ml_confidence"),
    "data_quality": ("data_quality",),
    "origin": ("origin",),
    "novelty_score": ("novelty_score",),  # with ``origin``, only our exports have it
    "snr": ("snr", "sigma", "rho"),
    "peak_frequency": (
        *("peak_frequency", "peakfreq", "peak_freq", "frequency", "fpeak", "freq"),
        "central_freq",
    ),
    "duration": ("duration",),
    "bandwidth": ("bandwidth",),
    "q": ("q", "q_value", "qvalue"),
    "window_s": ("duration_s", "window_s", "view_duration_s"),
    # Of its pictures, the shortest window first, as Gravity Spy's releases have them.
    "url1": ("url1", "imgurl1"),
    "url2": ("url2", "imgurl2"),
    "url3": ("url3", "imgurl3"),
    "url4": ("url4", "imgurl4"),
}

# Of the same moment, the one that says it best first; each may have a column of nanoseconds.
TIMES = (
    *("gps_time", "event_time", "gpstime", "peak_time_gps", "peak_gps", "gps", "peak_time"),
    *("trigger_time", "time", "t_peak", "tpeak", "peak", "gps_peak", "central_time", "end_time"),
    *("t0", "gps_seconds", "gpsseconds", "gps_sec", "event_gps", "gps_event", "geocent_time"),
    *("gps_peak_time", "peak_gps_time", "tc", "peaktime", "eventtime", "triggertime"),
)
UTC_TIMES = ("utc", "utc_time", "time_utc", "event_time_utc", "datetime", "date_time")
STARTS = ("tstart", "start_time", "start", "gps_start", "t_start", "gps_start_time", "starttime")
ENDS = (
    *("tend", "end_time", "end", "stop", "gps_end", "stop_time", "t_end", "gps_end_time"),
    "endtime",
)
LOWEST = ("fstart", "flow", "f_low", "freq_min")
HIGHEST = ("fend", "fhigh", "f_high", "freq_max")
DURATION = "duration"


def nanoseconds_of(name: str) -> tuple[str, ...]:
    """What a column of nanoseconds beside one of whole seconds is called."""
    changed = (name.replace(of, to) for of, to in _NANOSECONDS if of in name)
    return (f"{name}_ns", f"{name}ns", *changed)


TIME_IN_DETECTOR = re.compile(r"time_for_([a-z][0-9])_detector")  # cWB, for each of its detectors
LONGEST_NAME = 300  # characters that are looked at
_NANOSECONDS = (("seconds", "nanoseconds"), ("_sec", "_nsec"), ("_sec", "_nanosec"))
_THOUSANDS = re.compile(r"[+-]?\d{1,3}(,\d{3}(,\d{3})+(\.\d*)?|,\d{3}\.\d*)", re.ASCII)
_FORTRAN = re.compile(r"([+-]?\d+\.?\d*)[dD]([+-]?\d+)", re.ASCII)
_UNIT = re.compile(r"\s*[\[(][^\])]*[\])]\s*\Z")
_TELLING = frozenset(
    (*TIMES, *UTC_TIMES, *(name for key in ("path", "gravityspy_id") for name in SPELLINGS[key]))
)
_KNOWN = frozenset(
    (
        *(name for names in SPELLINGS.values() for name in names),
        *(ns for name in (*TIMES, *STARTS, *ENDS) for ns in nanoseconds_of(name)),
        *(*TIMES, *UTC_TIMES, *STARTS, *ENDS, *LOWEST, *HIGHEST),
    )
)


@lru_cache(maxsize=1024)
def plain_name(name: str) -> str:
    """A column's name without case, unit, comment mark, table name, or choice of separator.

    "GPS time [s]", "#gps-time" and "sngl_burst:gps_time" are all ``gps_time``.
    """
    text = name[:LONGEST_NAME].strip().strip("\ufeff").lstrip("#%").strip().strip("'\"").lower()
    text = _UNIT.sub("", text).rpartition(":")[2]
    return re.sub(r"[\s\-.]+", "_", text.strip())


def plain_number(text: str) -> str:
    """A number as Python reads it, where it is Fortran's (1.5D3) or has commas for thousands.

    Of one comma alone it cannot be told whether it stands for a point: it stays.
    """
    if _THOUSANDS.fullmatch(text):
        return text.replace(",", "")
    fortran = _FORTRAN.fullmatch(text)
    return text if fortran is None else f"{fortran[1]}e{fortran[2]}"


def is_header(names: Iterable[str]) -> bool:
    """Whether names of columns tell what a row is of: a time, a path, or a Gravity Spy id."""
    plain = {plain_name(name) for name in names}
    spans = plain & set(STARTS) and plain & {*ENDS, DURATION}
    return bool(plain & _TELLING or spans or any(map(TIME_IN_DETECTOR.fullmatch, plain)))


def is_time(name: str) -> bool:
    """Whether a column holds the time of a trigger, or where it starts or ends."""
    return plain_name(name) in (*TIMES, *UTC_TIMES, *STARTS, *ENDS)


def is_known(name: str) -> bool:
    """Whether a column means something here."""
    plain = plain_name(name)
    return plain in _KNOWN or TIME_IN_DETECTOR.fullmatch(plain) is not None
