"""The properties of one glitch in a table, regardless of the names of its columns."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

from glitch.detectors import DETECTORS, detector_of_channel, detector_stated, is_other_detector
from glitch.errors import TableError
from glitch.gps import EARLIEST_GPS_TIME
from glitch.gravityspy import is_gravityspy_id, may_be_gravityspy_id
from glitch.tables.columns import (
    HIGHEST,
    LOWEST,
    SPELLINGS,
    is_known,
    plain_name,
    plain_number,
    unit_of,
    with_own_unit,
)
from glitch.tables.times import gps_time_of, span_of, why_no_time, with_rest

_NO_VALUE = frozenset(
    (
        *("", "none", "null", "nan", "--", "n/a", "nil", "<na>", "nat", "-", "---", "***"),
        *("#n/a", "\\n", "?", "na", "masked"),
    )
)
_QUOTED = re.compile(r"(?:b(?=['\"]))?(['\"])(.*)\1", re.DOTALL)  # Python's repr of text and bytes
_REPR = re.compile(  # repr of single values in Python and its libraries
    r"<?(?:\w+\.)?(?:float\d*|u?int\d*|str_?|bytes_|longdouble|Decimal|LIGOTimeGPS|tensor)[( ]"
    r"\s*(.*?)(?:, dtype=[\w.]+)?\s*[)>]|\[([^\[\],]*)\]",
    re.DOTALL,
)
_GPS_PAIR = re.compile(r"(\d{9,10}), ?(\d{1,9})", re.ASCII)
_NO_NAME = re.compile(r"[+-]?\d+(\.\d*)?|true|false", re.ASCII | re.IGNORECASE)
_NUMBERS = ("snr", "peak_frequency", "duration", "bandwidth", "q", "window_s", "confidence")
_MIN_KNOWN = 0.0  # values such as -999 mean unknown
_MAX_TEXT = 1000
_GLITCH_COLUMNS = ("gps_time", "ifo", "label", "snr")  # on which all rows about one must agree
_SAME_TIME_S, _SAME_SNR = Decimal("0.001"), 1e-3  # rounding in tables; a share of the SNR
MAX_FLAGS = 20  # per glitch
LONGEST_FLAG = 100
ORIGINS = ("upload", "simulated", "gravityspy", "omicron")


@dataclass(frozen=True)
class Facts:
    """Properties of a glitch; ``None`` if unknown. Times in s, frequencies in Hz."""

    gps_time: str | None = None  # a decimal string
    ifo: str | None = None
    channel: str | None = None
    gravityspy_id: str | None = None
    glitch_id: str | None = None  # from an export of this product: our id, or Gravity Spy's
    label: str | None = None
    confidence: float | None = None  # confidence of the label, 0 to 1
    data_quality: str | None = None  # names of active flags, separated by blanks
    snr: float | None = None
    peak_frequency: float | None = None
    duration: float | None = None
    bandwidth: float | None = None
    q: float | None = None
    window_s: float | None = None
    path: str | None = None
    origin: str | None = None
    url1: str | None = None  # URLs or files of its pictures, the shortest window first
    url2: str | None = None
    url3: str | None = None
    url4: str | None = None
    clash: str | None = None  # how rows about it contradict one another

    @property
    def urls(self) -> tuple[str | None, ...]:
        """URLs or files of its pictures, in the order of Gravity Spy's four windows."""
        return (self.url1, self.url2, self.url3, self.url4)

    def of_glitch(self) -> Facts:
        """Return the properties of the glitch, without those of one of its pictures."""
        none = dict.fromkeys(("path", "window_s", "url1", "url2", "url3", "url4"))
        return replace(self, **none)

    def as_json(self) -> dict[str, Any]:
        """Return the known properties."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Facts:
        """Create facts from the result of ``as_json``."""
        return cls(**values)

    def over(self, other: Facts) -> Facts:
        """Return these properties, completed by the other's; ``clash`` names a contradiction."""
        clash = self.clash or other.clash or self._clash_with(other)
        return Facts(**(other.as_json() | self.as_json() | {"clash": clash}))

    def _clash_with(self, other: Facts) -> str | None:
        for name in _GLITCH_COLUMNS:
            one, second = getattr(self, name), getattr(other, name)
            if one is None or second is None or one == second:
                continue
            if name == "gps_time" and abs(Decimal(one) - Decimal(second)) <= _SAME_TIME_S:
                continue
            if name == "snr" and math.isclose(one, second, rel_tol=_SAME_SNR):
                continue
            return (
                f"Two rows or folders about it say {name} {one} and {second}: keep the right one, "
                "or name each picture by its whole path."
            )
        return None


def needed_columns(names: Iterable[str]) -> list[str]:
    """Return the columns of a table that are used here."""
    return [name for name in names if is_known(name)]


def facts_of(row: Mapping[str, Any], *, ifo: str | None = None) -> Facts:
    """Return the facts of a row, each validated.

    Infinite and negative numbers mean unknown, such as -999 of Omicron and Gravity Spy. A plain
    number is never a Gravity Spy id, whatever its column, and a column ``id`` gives only ids in
    Gravity Spy's format.

    Args:
        row: values by the table's own column names.
        ifo: detector of a row that names none.

    Raises:
        TableError: names the column with an invalid value.
    """
    cells = _cells(row)
    numbers = {name: _number(name, cells) for name in _NUMBERS}
    is_own = _is_own(row)
    gravityspy_id, glitch_id = _ids(cells, is_own=is_own)
    channel = _first(cells, "channel")
    origin = (_first(cells, "origin") or "").lower()
    return Facts(
        gps_time=_gps_time(cells, is_own=is_own),
        ifo=_ifo(cells, channel) or ifo,
        channel=channel,
        gravityspy_id=gravityspy_id,
        glitch_id=glitch_id,
        label=_label(cells),
        data_quality=_flags(cells),
        path=_first(cells, "path"),
        origin=origin if origin in ORIGINS else None,
        url1=_first(cells, "url1"),
        url2=_first(cells, "url2"),
        url3=_first(cells, "url3"),
        url4=_first(cells, "url4"),
        **(numbers | _extents(cells, numbers) | {"confidence": _share(numbers["confidence"])}),
    )


def _cells(row: Mapping[str, Any]) -> dict[str, str]:
    """Return the values of a row as text, by plain column names."""
    cells: dict[str, str] = {}
    in_parts: set[str] = set()  # columns in parts of a second, such as "gps_time_us"
    for name, value in row.items():
        text, plain = _text(value), plain_name(name)
        if text is None:
            continue
        if (converted := with_own_unit(name, text)) != text:
            text = converted
        elif (unit := unit_of(name)) != 1:
            text = _times(text, unit)
            in_parts.add(plain)
        before = cells.setdefault(plain, text)
        if _are_same(before, text) or not is_known(plain):
            continue
        if plain not in in_parts or (time := with_rest(before, text)) is None:
            raise TableError(
                f"Two columns are called {plain} and hold {before[:40]!r} and {text[:40]!r}: keep "
                "the right one."
            )
        cells[plain] = time
    return cells


def _are_same(one: str, other: str) -> bool:
    try:
        return one == other or float(one) == float(other)
    except ValueError:
        return False


def _text(value: Any) -> str | None:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    text = repr(value) if isinstance(value, float) else str(value)
    text = text.replace("\0", "").replace("\u2212", "-").strip()  # the typographic minus sign
    if shown := _REPR.fullmatch(text[:_MAX_TEXT]):
        text = shown[1] or shown[2] or ""
        if "LIGOTimeGPS" in shown[0] and (pair := _GPS_PAIR.fullmatch(text)):
            text = f"{pair[1]}.{pair[2]:0>9}"
    # ="…", by which spreadsheets preserve digits
    if quoted := _QUOTED.fullmatch(text.removeprefix("=")):
        text = quoted[2].strip()
    elif text.startswith("'"):
        text = text[1:].strip()
    return None if text.lower() in _NO_VALUE else text[:_MAX_TEXT]


def _times(text: str, unit: Decimal) -> str:
    """Return a number multiplied by a unit; a text that is not a number is returned unchanged."""
    try:
        return format(Decimal(plain_number(text)) * unit, "f")
    except (InvalidOperation, ValueError):
        return text


def _first(cells: Mapping[str, str], column: str) -> str | None:
    return next((cells[name] for name in SPELLINGS[column] if name in cells), None)


def _number(column: str, cells: Mapping[str, str]) -> float | None:
    text = _first(cells, column)
    if text is None:
        return None
    try:
        value = float(plain_number(text.replace("_", "?")))  # float() ignores underscores
    except ValueError:
        raise TableError(f"{column} {text[:40]!r} is not a number: correct that row.") from None
    return value if math.isfinite(value) and value >= _MIN_KNOWN else None


def _label(cells: Mapping[str, str]) -> str | None:
    text = _first(cells, "label")
    if text is None or not _NO_NAME.fullmatch(text):
        return text
    raise TableError(
        f"label {text[:40]!r} is not the name of a class: write the names of the classes, or "
        "rename that column."
    )


def _share(value: float | None) -> float | None:
    """Return a confidence; None above 1, since LIGO_LW's column of that name may hold anything."""
    return value if value is not None and value <= 1 else None


def _extents(cells: Mapping[str, str], numbers: Mapping[str, float | None]) -> dict[str, Any]:
    """Return duration and bandwidth, computed from the ends of a trigger's tile if necessary."""
    duration, bandwidth = numbers["duration"], numbers["bandwidth"]
    if duration is None and (span := span_of(cells)) is not None:
        duration = float(span)
    if bandwidth is None:
        low, high = (_float(cells, names) for names in (LOWEST, HIGHEST))
        if low is not None and high is not None and high > low:
            bandwidth = high - low
    return {"duration": duration, "bandwidth": bandwidth}


def _float(cells: Mapping[str, str], names: tuple[str, ...]) -> float | None:
    text = next((cells[name] for name in names if name in cells), None)
    try:
        value = math.nan if text is None else float(plain_number(text))
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _is_own(row: Mapping[str, Any]) -> bool:
    """Return whether a row comes from an export of this product."""
    plain = {plain_name(name) for name in row}
    return {"novelty_score", "origin", "gravityspy_id"} <= plain


def _ids(cells: Mapping[str, str], *, is_own: bool) -> tuple[str | None, str | None]:
    """Return Gravity Spy's id, and the id that our exports put in its column if there is none."""
    named, id_column = _first(cells, "gravityspy_id"), _first(cells, "id")
    glitch_id = named if is_own or (named and _is_uuid(named)) else None
    if named is not None and may_be_gravityspy_id(named) and not _is_uuid(named):
        return named, glitch_id
    if id_column is not None and is_gravityspy_id(id_column):
        return id_column, glitch_id
    return None, glitch_id


def flag_name(text: str) -> str:
    """Return a data-quality flag's name as stored with glitches: no blanks, limited length."""
    printable = "".join(letter for letter in "_".join(text.split()) if letter.isprintable())
    return printable[:LONGEST_FLAG]


def _flags(cells: Mapping[str, str]) -> str | None:
    names = (_first(cells, "data_quality") or "").split()
    return " ".join(map(flag_name, names[:MAX_FLAGS])) or None


def _is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text.lower()
    except ValueError:
        return False


def _ifo(cells: Mapping[str, str], channel: str | None) -> str | None:
    text = _first(cells, "ifo")
    if text is None and not (channel and ":" in channel and is_other_detector(channel)):
        return detector_of_channel(channel)
    text = text or str(channel).partition(":")[0]
    ifo = detector_stated(text) or detector_of_channel(text)
    if ifo is None:
        raise TableError(
            f"There is no detector {text[:40]!r}: give one per row, of {', '.join(DETECTORS)}."
        )
    return ifo


def _gps_time(cells: Mapping[str, str], *, is_own: bool) -> str | None:
    """Return the time of a row; in our exports simulated glitches may have any time."""
    try:
        time = gps_time_of(cells)
    except TableError:
        raise
    except ValueError as error:
        raise TableError(why_no_time(str(error))) from None
    if time is not None and time < EARLIEST_GPS_TIME and not is_own:
        raise TableError(why_no_time(f"{_shortest(time):f}"))
    return None if time is None else format(_shortest(time), "f")


def _shortest(time: Decimal) -> Decimal:
    return time.normalize() if time != time.to_integral_value() else time.to_integral_value()
