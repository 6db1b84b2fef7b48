"""Names of columns in tables, and the property that each one holds."""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal
from functools import cache, lru_cache

from glitch.gps import EARLIEST_GPS_TIME

# Our name: the names in Gravity Spy's releases, Omicron, LIGO_LW, PyCBC and users' tables, after
# ``plain_name``. The first name that has a value is used.
SPELLINGS: dict[str, tuple[str, ...]] = {
    "path": ("path", "file", "filename", "file_name"),
    "ifo": (
        *("ifo", "detector", "interferometer", "instrument", "site", "observatory", "det"),
        *("ifos", "detectors", "instruments", "dets"),
    ),
    "channel": ("channel", "channel_name", "chan"),
    "gravityspy_id": ("gravityspy_id", "uniqueid", "unique_id", "gravity_spy_id"),
    "id": ("id", "event_id", "subject_id"),
    "label": ("label", "ml_label", "class", "gravityspy_label", "glitch_class", "ml_top_label"),
    "confidence": ("ml_confidence", "confidence", "ml_top_confidence"),  # LIGO_LW has "confidence"
    "data_quality": ("data_quality",),
    "origin": ("origin",),
    "novelty_score": ("novelty_score",),  # together with ``origin``, only in our exports
    "snr": ("snr", "signal_to_noise", "signal_to_noise_ratio", "sigma", "rho"),
    "peak_frequency": (
        *("peak_frequency", "peakfreq", "peak_freq", "frequency", "fpeak", "freq"),
        *("central_freq", "central_frequency", "center_frequency", "fcent", "f_peak"),
        *("freq_peak", "frequency_peak", "peakfrequency"),
    ),
    "duration": ("duration",),
    "bandwidth": ("bandwidth",),
    "q": ("q", "q_value", "qvalue"),
    "window_s": ("duration_s", "window_s", "view_duration_s"),
    # The pictures, the shortest window first: URLs in Gravity Spy's releases, files in manifests
    # for Zooniverse.
    "url1": ("url1", "imgurl1", "filename1", "file1", "image1"),
    "url2": ("url2", "imgurl2", "filename2", "file2", "image2"),
    "url3": ("url3", "imgurl3", "filename3", "file3", "image3"),
    "url4": ("url4", "imgurl4", "filename4", "file4", "image4"),
}

# The most specific name first, since several columns may give the same moment; each may have a
# column of nanoseconds.
TIMES = (
    *("gps_time", "event_time", "gpstime", "peak_time_gps", "peak_gps", "gps", "peak_time"),
    *("trigger_time", "time", "t_peak", "tpeak", "peak", "gps_peak", "central_time", "end_time"),
    *(
        "t0",
        "t_0",
        "gps_seconds",
        "gpsseconds",
        "gps_sec",
        "event_gps",
        "gps_event",
        "geocent_time",
    ),
    *("gps_peak_time", "peak_gps_time", "tc", "peaktime", "eventtime", "triggertime"),
    *("time_gps", "t_gps", "trigger_gps", "gps_trigger", "peakgps", "gpspeak", "time_peak"),
    *("time_of_peak", "trig_time", "tcent", "center_time", "centre_time", "merger_time"),
    *("coalescence_time", "centraltime"),
)
UTC_TIMES = ("utc", "utc_time", "time_utc", "event_time_utc", "datetime", "date_time", "timestamp")
UNIX_TIMES = ("unix_time", "unix", "unixtime", "time_unix", "unix_timestamp", "posix_time")
EXACT_UTC_TIMES = UTC_TIMES[:4]  # a timestamp may be the time when the row was written
UTC_DATES = ("date", "utc_date", "date_utc")  # used together with a column for the time of day
STARTS = (
    *("tstart", "start_time", "start", "gps_start", "t_start", "gps_start_time", "starttime"),
    *("starting_time", "begin", "begin_time", "gps_begin", "t_min", "tmin", "time_start"),
    *("start_gps", "startgps"),  # not "GPSstart", which GWOSC gives for strain
)
ENDS = (
    *("tend", "end_time", "end", "stop", "gps_end", "stop_time", "t_end", "gps_end_time"),
    *("endtime", "ending_time", "tstop", "t_stop", "gps_stop", "t_max", "tmax", "time_end"),
    *("end_gps", "endgps", "stop_gps", "stopgps"),
)
MICROSECONDS = ("us", "usec", "microsec", "microsecond", "microseconds")
MILLISECONDS = ("ms", "msec", "millisec", "millisecond", "milliseconds")
# fractions of an unstated unit
FRACTIONS = ("frac", "fraction", "subsec", "subsecond", "subseconds")
OFFSETS = ("offset", "time_offset", "peak_offset", "gps_offset")  # likewise, if below one second
LOWEST = ("fstart", "flow", "f_low", "freq_min", "freq_start", "fmin", "f_min")
HIGHEST = ("fend", "fhigh", "f_high", "freq_max", "freq_end", "fmax", "f_max")
DURATION = "duration"
ORIGIN = "t0"  # the origin of another time that is too small to be GPS time
NANOSECONDS = ("ns", "nsec", "nanosec", "nanosecond", "nanoseconds")  # of the only time in the row


@cache
def nanoseconds_of(name: str) -> tuple[str, ...]:
    """Return possible names of the column of nanoseconds that belongs to one of whole seconds."""
    changed = (name.replace(of, to) for of, to in _NANOSECONDS if of in name)
    return (f"{name}_ns", f"{name}ns", f"{name}_nsec", *changed)


@cache
def parts_of_second(name: str) -> dict[str, Decimal]:
    """Return names, and units in s, of columns that hold a fraction of a column of whole seconds.

    ``gps_time_ms`` is not among them: it holds the whole time.
    """
    units = {f"{name}_{part}": Decimal(1) for part in FRACTIONS}
    for unit, short, parts in (("1e-6", "usec", MICROSECONDS), ("1e-3", "msec", MILLISECONDS)):
        words = (f"{name}_{short}", name.replace("_sec", f"_{short}"))
        named = (name.replace("seconds", parts[-1]), *(f"{name}_{part}" for part in parts[1:]))
        units |= {one: Decimal(unit) for one in (*words, *named, *parts) if one != name}
    return units


# Times in each detector, in tables of cWB and of PyCBC's coincidences.
TIME_IN_DETECTOR = re.compile(
    r"time_for_([ghiklv][12])_detector|([ghiklv][12])_(?:end_|peak_)?time"
    r"|(?:end_|peak_|gps_)?time_([ghiklv][12])",
    re.ASCII,
)
LONGEST_NAME = 300  # characters that are examined
_NANOSECONDS = (("seconds", "nanoseconds"), ("_sec", "_nsec"), ("_sec", "_nanosec"))
_THOUSANDS = re.compile(r"[+-]?\d{1,3}(,\d{3}(,\d{3})+(\.\d*)?|,\d{3}\.\d*)", re.ASCII)
# Digit groups as spreadsheets in many countries show them; a single point does not separate groups.
_GROUPED = re.compile(
    r"([+-]?\d{1,3}(?:(?:[ '\u2019\u00a0\u2009\u202f]\d{3})+|(?:\.\d{3}){2,}(?!\.)"
    r"|(?:\.\d{3})+(?=,\d)))(?:[.,](\d*))?",
    re.ASCII,
)
_FORTRAN = re.compile(r"([+-]?\d++(?:\.\d*+)?)[dD]([+-]?\d++)", re.ASCII)
_UNIT = re.compile(
    r"(?:\s*[\[(]([^\])]*)[\])])+\s*\Z|\s+/\s*([^\s/]+)\s*\Z"
)  # "time [s]", "time / s"
_WITH_UNIT = re.compile(
    r"([+-]?\d+(?:\.\d*)?(?:[eE][+-]?\d{1,3})?)\s*(s|sec|seconds|ms|us|µs|ns|Hz|hz|kHz|%)", re.ASCII
)
_LEVEL = re.compile(r"'([^']*)'")
_REPEATED = re.compile(r"(\w+)\.\d{1,2}", re.ASCII)  # as pandas names a second column "snr"
_UNIT_IN_NAME = re.compile(
    r"_(s|[num]?sec|(nano|micro|milli)?seconds|ms|us|ns|(kilo)?hertz|k?hz|percent)\Z"
)
# Case distinguishes mega from milli. Any unit not listed is the one that we keep, or unknown.
_UNITS = {
    **{"ms": "1e-3", "msec": "1e-3", "us": "1e-6", "µs": "1e-6", "usec": "1e-6", "ns": "1e-9"},
    **{"kHz": "1e3", "khz": "1e3", "KHz": "1e3", "mHz": "1e-3", "MHz": "1e6", "min": "60"},
    **{"minutes": "60", "h": "3600", "hours": "3600", "d": "86400", "days": "86400"},
    **{"milliseconds": "1e-3", "microseconds": "1e-6", "nanoseconds": "1e-9", "kilohertz": "1e3"},
    **{"nsec": "1e-9"},
    **{"%": "1e-2", "percent": "1e-2", "samples": "nan"},  # the sample rate is unknown
    # Units that no factor converts to s, Hz or a ratio make the value unknown.
    **dict.fromkeys(("log", "log10", "log2", "ln", "dB", "rad/s", "octaves", "oct", "px"), "nan"),
}
_UNIX = re.compile(r"\b(unix|posix|1970)\b", re.IGNORECASE)
# Time systems other than GPS and UTC, given as the unit of a time.
_CLOCK = re.compile(
    r"\b(mjd|jd|tai|tdb|tcb|tcg|ut1|tt|local( time)?|[pmce][sd]?t|ces?t|eest|bst|jst|ist|a[ew][sd]t"
    r"|cxcsec|galexsec|unix_tai|plot_date|[bj]year(_str)?|decimalyear"
    r"|d(ays?)?|h|hours?|min|minutes|(utc|gmt)\s*[+-]\s*\d+(:\d+)?)\b",
    re.IGNORECASE,
)
_CLOCK_IN_NAME = re.compile(r"(?:.*_)?(?:mjd|jd|tai|tdb|tcb|julian)(?:_.*)?")
# For a time or a measure: the unit that we keep, or a type as written by RDB, IPAC and FITS.
_PLAIN = re.compile(
    r"(gps\s*)?(s|secs?|seconds?)|gps|utc|hz|hertz|n|double|float|float64|f8", re.IGNORECASE
)


_LIKELIHOODS = frozenset(
    (
        *("log_likelihood", "loglikelihood", "log_prior", "logprior", "logl", "loglr", "deltalogl"),
        *("log_likelihood_ratio", "logpost", "log_posterior", "likelihood", "posterior"),
    )
)
_PARAMETERS = frozenset(
    (
        *("mass_1", "mass_2", "mass1", "mass2", "m1", "m2", "chirp_mass", "mass_ratio", "mc", "q"),
        *("mass_1_source", "mass_2_source", "chirp_mass_source", "total_mass", "chi_eff", "chi_p"),
        *("luminosity_distance", "distance", "dist", "ra", "dec", "psi", "phase", "polarization"),
        *("a_1", "a_2", "a1", "a2", "tilt_1", "tilt_2", "theta_jn", "costheta_jn", "iota"),
        *("phi_12", "phi_jl", "spin1z", "spin2z", "chi_1", "chi_2", "redshift", "inclination"),
        *("amplitude", "hrss", "frequency", "bandwidth", "quality", "eccentricity"),
        *("lambda_1", "lambda_2", "geocent_time", "geocent_end_time", "h1_time", "l1_time"),
    )
)
NOT_TRIGGERS = (
    "holds posterior samples, as bilby and PESummary write them: each row is a sample of the "
    "parameters of one signal, not a trigger. Send the time of that signal with its strain "
    "(gps_time), or a table of triggers."
)
ONLY_SPANS = (
    "has only starts and ends: send data-quality segments as lines of start, end and length in s, "
    "without names of columns; for triggers add gps_time or snr."
)


def _with_nanoseconds(names: Iterable[str]) -> frozenset[str]:
    return frozenset(column for name in names for column in (name, *nanoseconds_of(name)))


_MOMENTS, _BEGINNINGS, _ENDINGS, _UNIX_MOMENTS = map(
    _with_nanoseconds, (TIMES, STARTS, ENDS, UNIX_TIMES)
)
_SPANS = _BEGINNINGS | _ENDINGS
_SECONDS = {
    column: name for name in (*TIMES, *STARTS, *ENDS) for column in (*nanoseconds_of(name), name)
}
_TELLING = _MOMENTS | frozenset(
    (
        *(*UTC_TIMES, *_UNIX_MOMENTS, *UTC_DATES),
        *(name for key in ("path", "gravityspy_id", "url1") for name in SPELLINGS[key]),
    )
)
_KNOWN = (
    _MOMENTS
    | _SPANS
    | frozenset((*UTC_TIMES, *_UNIX_MOMENTS, *UTC_DATES, *LOWEST, *HIGHEST, *NANOSECONDS)).union(
        MICROSECONDS,
        MILLISECONDS,
        FRACTIONS,
        OFFSETS,
        *map(parts_of_second, (*TIMES, *UNIX_TIMES)),
        *SPELLINGS.values(),
    )
)
# Nanoseconds of a time are not among these: their name states their unit.
_MEASURED = frozenset((*TIMES, *STARTS, *ENDS, *UNIX_TIMES, *LOWEST, *HIGHEST)).union(
    *(SPELLINGS[name] for name in ("peak_frequency", "duration", "bandwidth", "confidence", "snr"))
)


def plain_name(name: str) -> str:
    """Return a column's name without case, unit, comment mark, table name or choice of separator.

    "GPS time [s]", "#gps-time", "gps_time_s" and "sngl_burst:gps_time" all become ``gps_time``.
    """
    return _parts(name)[0]


def unit_of(name: str) -> Decimal:
    """Return the factor that converts a column's values to s, to Hz, or to a fraction.

    "duration [ms]" and "duration_ms" give 0.001; a column without a unit, or one that is not a
    measure, gives 1. Of several words the one that makes the value unknown counts: "log10 Hz".
    """
    plain, unit = _parts(name)
    factors = [Decimal(_UNITS[word]) for word in unit.split() if word in _UNITS]
    if plain not in _MEASURED or not factors:
        return Decimal(1)
    return next((one for one in factors if one.is_nan()), factors[0])


def with_own_unit(name: str, text: str) -> str:
    """Return a value with its written unit removed, converted to the unit we keep: "0.2 kHz"."""
    match = _WITH_UNIT.fullmatch(text)
    if match is None or plain_name(name) not in _MEASURED:
        return text
    return format(Decimal(match[1]) * Decimal(_UNITS.get(match[2], "1")), "f")


def says_unit(name: str, text: str) -> bool:
    """Return whether a cell states the unit or the time system of its column."""
    plain = text.strip(" []()")
    is_unit = plain in _UNITS or _PLAIN.fullmatch(plain) is not None
    if is_time(name):
        return is_unit or bool(_CLOCK.fullmatch(plain) or _UNIX.search(plain))
    return is_unit and plain_name(name) in _MEASURED


def with_unit(name: str, unit: str) -> str:
    """Add a separately stated unit to a column's name, as ``unit_of`` expects it."""
    return name if not unit or _UNIT.search(name) else f"{name} [{unit}]"


@lru_cache(maxsize=1024)
def _parts(name: str) -> tuple[str, str]:
    """Return a column's plain name, and its unit as written; empty if there is none."""
    text = name[:LONGEST_NAME].strip().strip("\ufeff").lstrip("#%!/").strip().strip("'\"")
    if text.startswith("('"):  # a flattened two-level column name of pandas: ('t', 'gps_time')
        levels = _LEVEL.findall(text)
        text = next((level for level in reversed(levels) if is_known(level)), text)
    match = _UNIT.search(text)
    text = _UNIT.sub("", text).rpartition(":")[2].lower()
    plain = re.sub(r"[\s\-.]+", "_", text.strip())
    if (repeated := _REPEATED.fullmatch(text)) and plain not in _KNOWN and repeated[1] in _KNOWN:
        return repeated[1], ""
    if match is not None:
        return _by_its_clock(plain, (match[1] or match[2] or "").strip())
    base = _UNIT_IN_NAME.sub("", plain)  # "duration_s" is a column of its own
    if plain not in _KNOWN and base in _KNOWN:
        return base, plain[len(base) + 1 :]
    return plain, ""


def _by_its_clock(column: str, unit: str) -> tuple[str, str]:
    """Return a column's name and unit; a time in an unsupported time system gets a special name."""
    if column not in _MOMENTS and column not in _SPANS and column not in UTC_TIMES:
        return column, unit
    if _UNIX.search(unit):
        return "unix_time", next((part for part in ("ms", "us", "ns") if part in unit.split()), "")
    return (f"{column} ({unit})", "") if _CLOCK.search(unit) else (column, unit)


def other_clock(names: Iterable[str]) -> str | None:
    """Return the first column in an unsupported time system, else None."""
    for name in names:
        plain = plain_name(name)
        if plain.endswith(")") or _CLOCK_IN_NAME.fullmatch(plain):
            return name
    return None


def plain_number(text: str) -> str:
    """Rewrite a number in Fortran's notation (1.5D3) or with thousands separators for Python.

    A single comma stays, because it may be a decimal point.
    """
    if _THOUSANDS.fullmatch(text):
        return text.replace(",", "")
    if grouped := _GROUPED.fullmatch(text):
        return re.sub(r"[^\d+-]", "", grouped[1]) + f".{grouped[2] or 0}"
    fortran = _FORTRAN.fullmatch(text)
    return text if fortran is None else f"{fortran[1]}e{fortran[2]}"


def is_header(names: Iterable[str]) -> bool:
    """Return whether column names identify the rows: a time, a path, or a Gravity Spy id."""
    plain = {plain_name(name) for name in names}
    return bool(plain & _TELLING or any(map(TIME_IN_DETECTOR.fullmatch, plain))) or has_times(plain)


def has_times(names: Iterable[str]) -> bool:
    """Return whether columns give the time of a row, or its start and end."""
    plain = {plain_name(name) for name in names}
    moments = _MOMENTS.union(UTC_TIMES, _UNIX_MOMENTS)
    return bool(plain & moments or (plain & _BEGINNINGS and plain & (_ENDINGS | {DURATION})))


def may_be_segments(names: Iterable[str]) -> bool:
    """Return whether columns contain only starts and ends, as in segments."""
    plain = {plain_name(name) for name in names if is_known(name)}
    is_more = plain - _SPANS - {DURATION, *SPELLINGS["ifo"]}
    return bool(plain & _BEGINNINGS and plain & _ENDINGS) and not is_more


def are_of_posterior(names: Iterable[str]) -> bool:
    """Return whether columns are those of posterior samples.

    Each row is then one sample of the parameters of one signal, as written by bilby, PESummary and
    LALInference.
    """
    plain = {plain_name(name) for name in names}
    return bool(plain & _LIKELIHOODS) and len(plain & _PARAMETERS) > 2


def are_parameters(names: Iterable[str]) -> bool:
    """Return whether columns are parameters of signals, either injected or estimated."""
    plain = {plain_name(name) for name in names}
    return len(plain & _PARAMETERS) > 3 and not plain & {*SPELLINGS["snr"], *SPELLINGS["label"]}


def moments_of(names: Iterable[str]) -> frozenset[str]:
    """Return the columns of seconds that these plain names are, or name by their nanoseconds."""
    return frozenset(_SECONDS[name] for name in names if name in _SECONDS)


def is_time(name: str) -> bool:
    """Return whether a column holds the time of a trigger, or its start or end."""
    plain = plain_name(name)
    return plain in _MOMENTS or plain in _SPANS or plain in UTC_TIMES


def may_be_times(value: object) -> bool:
    """Return whether the first value of a column without a name shows that it holds GPS times.

    pandas and R write row names there, which are smaller numbers, or texts.
    """
    try:
        return float(plain_number(str(value))) > EARLIEST_GPS_TIME
    except ValueError:
        return False


def is_known(name: str) -> bool:
    """Return whether a column is used here."""
    plain = plain_name(name)
    return plain in _KNOWN or TIME_IN_DETECTOR.fullmatch(plain) is not None
