"""Read data-quality segments, when a flag was active, from files that gwpy reads and writes.

gwpy's own readers hold a whole file in memory, and need lalsuite for XML; memory is limited here.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path

import h5py

from glitch.detectors import detector_of_text
from glitch.errors import FormatError, TooLargeError
from glitch.files.damage import damage_as
from glitch.files.hdf5 import find_dataset, read_attribute, read_fields, walk_datasets
from glitch.files.text import encoding_of, unique_keys
from glitch.gps import EARLIEST_GPS_TIME
from glitch.tables.ligolw import is_ligolw, ligolw_rows

Span = tuple[Decimal, Decimal]  # start and end in s, end excluded

MAX_SEGMENTS = 500_000  # a flag of a whole run has several thousand
_MAX_BYTES = 32 * MAX_SEGMENTS
_HEAD_BYTES = 1 << 14
_MAX_JSON_BYTES = 1 << 23  # the whole file is held in memory
_SEGWIZARD = re.compile(r"\s*#\s*seg\s+start\s+(stop|end)\s+duration", re.IGNORECASE)
_JSON = re.compile(r"\s*\{.*\"(active|known|segments)\"\s*:\s*\[", re.DOTALL)
_DEFINER = re.compile(r"segment_definer|\"segment:table\"")
_FIELDS = ("start_time", "start_time_ns", "end_time", "end_time_ns")


@dataclass(frozen=True)
class Segments:
    """The times when a flag was active.

    Attributes:
        name: name of the flag, or of the file if the flag has none.
        ifo: its detector; None if not stated, so that it applies to all detectors.
        active: active segments in order, not touching each other.
        is_good: True if data are usable only while the flag is active; False for a flag of bad
            data.
    """

    name: str
    ifo: str | None
    active: tuple[Span, ...]
    is_good: bool = True

    def is_active(self, gps_time: Decimal) -> bool:
        """Return whether the flag was active at this time."""
        at = bisect_right(self.active, (gps_time, Decimal("Infinity"))) - 1
        return at >= 0 and gps_time < self.active[at][1]

    def why_not(self, gps_time: Decimal) -> str | None:
        """Return why data at this time are not usable, as a sentence; None if they are."""
        if self.is_active(gps_time) == self.is_good:
            return None
        where = "outside the active segments" if self.is_good else "in a segment"
        return f"It lies {where} of the {'' if self.is_good else 'bad-data '}flag {self.name}."


def is_text_of_segments(path: Path) -> bool:
    """Return whether a file is a text list of segments.

    Accepted are segwizard's format, lines of start, end and length as sent by GWOSC, JSON of gwpy,
    a segment database or GWOSC, and LIGO_LW documents.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    text = head.decode(encoding_of(head), "replace")
    if is_ligolw(head):
        return _DEFINER.search(text) is not None
    if _SEGWIZARD.match(text) or _JSON.match(text):
        return True
    # the last may be truncated
    lines = text.splitlines()[: -1 if len(head) == _HEAD_BYTES else None]
    rows = [line for line in lines if line.split("#")[0].strip()]
    return bool(rows) and all(_says_its_length(row) for row in rows)


def _says_its_length(line: str) -> bool:
    """Return whether a line gives a start, an end and the matching length.

    No line of a trigger does so by chance.
    """
    try:
        start, end, length = map(Decimal, _cells(line)[-3:])
    except (ValueError, InvalidOperation):
        return False
    return len(_cells(line)) <= 4 and EARLIEST_GPS_TIME < start < end == start + length


def _cells(line: str) -> list[str]:
    return line.split("#", maxsplit=1)[0].replace(",", " ").split()


def text_segments(path: Path, name: str) -> list[Segments]:
    """Read the flags in a text file.

    Raises:
        FormatError: if it is damaged, or holds no flag.
        TooLargeError: if it holds more segments than any flag has.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if is_ligolw(head):
        return _from_ligolw(path, name)
    text = head.decode(encoding_of(head), "replace")
    return [_from_json(path, name) if _JSON.match(text) else _from_lines(path, name)]


def hdf5_segments(path: Path, name: str) -> list[Segments]:
    """Read the flags in an HDF5 file written by gwpy; empty if there are none.

    Raises:
        FormatError: if it is damaged.
        TooLargeError: if it holds more segments than any flag has.
    """
    with damage_as(name), h5py.File(path, "r") as tree:
        flags = []
        for inside, dataset in walk_datasets(tree):
            group, _, last = inside.rpartition("/")
            if last != "active" or find_dataset(tree, f"{group}/known".lstrip("/")) is None:
                continue
            if not set(_FIELDS) <= set(dataset.dtype.names or ()):
                continue
            flag = group.strip("/") or name
            count = dataset.shape[0]
            columns = read_fields(dataset, 0, count, _FIELDS, max_bytes=_MAX_BYTES)
            rows = zip(*(columns[field] for field in _FIELDS), strict=True)
            spans = [(_seconds(a, b), _seconds(c, d)) for a, b, c, d in rows]
            mark = read_attribute(dataset.parent, "isgood")
            flags.append(segments_of(flag, spans, name, is_good=mark is None or bool(mark)))
        return flags


def _from_lines(path: Path, name: str) -> Segments:
    spans: list[Span] = []
    with path.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(iter(lambda: lines.readline(1000), ""), 1):
            values = _cells(line)
            if not values:
                continue
            try:  # an optional number, start, end, length
                start, end = map(Decimal, values[len(values) > 3 :][:2])
            except (ValueError, InvalidOperation):
                raise FormatError(f"{name}: line {number} is not a segment: correct it.") from None
            spans.append((start, end))
            if len(spans) > MAX_SEGMENTS:
                raise _too_many(name)
    return segments_of("", spans, name)


def _from_json(path: Path, name: str) -> Segments:
    if path.stat().st_size > _MAX_JSON_BYTES:
        raise TooLargeError(f"{name} has over {_MAX_JSON_BYTES:,} bytes of JSON: cut it.")
    try:
        flag_json = json.loads(path.read_bytes(), object_pairs_hook=unique_keys)
        pairs = flag_json["active"] if "active" in flag_json else flag_json["segments"]
        spans = [(Decimal(str(start)), Decimal(str(end))) for start, end in pairs]
        parts = [flag_json.get(one) for one in ("ifo", "name", "version")]
        is_bad = bool((flag_json.get("metadata") or {}).get("active_indicates_ifo_badness", False))
    except FormatError as error:
        raise FormatError(f"{name}: {error}") from None
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError):
        raise FormatError(
            f"{name} is not a flag in JSON as written by gwpy, a segment database or GWOSC: send "
            "its segments as lines of start, end and length."
        ) from None
    flag = ":".join(str(one) for one in parts if one is not None) or str(flag_json.get("id") or "")
    return segments_of(flag, spans, name, is_good=not is_bad)


def _from_ligolw(path: Path, name: str) -> list[Segments]:
    def rows(table: str) -> Iterable[Mapping[str, str]]:
        with path.open("rb") as stream:
            for _, row in ligolw_rows(stream, name, (table,)):
                if not isinstance(row, str):
                    yield row

    flags = {
        row.get("segment_def_id", ""): ":".join(
            part for part in (row.get("ifos"), row.get("name"), row.get("version")) if part
        )
        for row in rows("segment_definer")
    }
    spans: dict[str, list[Span]] = {key: [] for key in flags}
    for count, row in enumerate(rows("segment"), 1):
        if count > MAX_SEGMENTS:
            raise _too_many(name)
        try:
            start, start_ns, end, end_ns = (int(row.get(field) or 0) for field in _FIELDS)
        except ValueError:
            raise FormatError(f"{name}: segment {count} has no times: write it again.") from None
        span = _seconds(start, start_ns), _seconds(end, end_ns)
        spans.setdefault(row.get("segment_def_id", ""), []).append(span)
    return [segments_of(flags.get(key, ""), flag_spans, name) for key, flag_spans in spans.items()]


def _seconds(seconds: int, nanoseconds: int) -> Decimal:
    return Decimal(int(seconds)) + Decimal(int(nanoseconds)) / 10**9


def segments_of(flag: str, spans: list[Span], file: str = "", *, is_good: bool = True) -> Segments:
    """Create a flag from spans in any order.

    Args:
        flag: its name; empty if only the file has a name.
        spans: when it was active.
        file: name of its file.
        is_good: whether data are usable while it is active.

    Raises:
        TooLargeError: if there are more segments than any flag has.
    """
    if len(spans) > MAX_SEGMENTS:
        raise _too_many(flag or file)
    joined: list[Span] = []
    for start, end in sorted(one for one in spans if one[1] > one[0]):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    ifo = detector_of_text(flag.partition(":")[0]) or detector_of_text(file)
    return Segments(flag or file, ifo, tuple(joined), is_good)


def _too_many(name: str) -> TooLargeError:
    return TooLargeError(f"{name} holds over {MAX_SEGMENTS:,} segments: cut it.")
