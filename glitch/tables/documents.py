"""Read events and triggers from JSON.

Accepted are responses of GraceDB, GWOSC and this service, tables written by pandas, and lines with
one object each.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from io import BufferedIOBase
from typing import Any

from glitch.detectors import DETECTORS, parse_detector
from glitch.errors import FormatError
from glitch.files.text import encoding_of, unique_keys
from glitch.tables.columns import (
    ENDS,
    SPELLINGS,
    STARTS,
    is_header,
    is_known,
    is_time,
    moments_of,
    plain_name,
)
from glitch.tables.layout import are_of_series

MAX_BYTES = 1 << 23  # the whole file is held in memory
_MAX_DEPTH = 4  # levels of nested objects
_BEGINNING = re.compile(rb'(?:\xef\xbb\xbf)?\s*[\[{][\[{\s]*["\]}\d-]')
_SAMPLES = 200  # rows examined to tell a series from triggers
_MAX_LISTED = 200  # longest list of numbers in an event
_MEASURES = frozenset(name for key in ("snr", "peak_frequency", "label") for name in SPELLINGS[key])
_LINKS = "links"  # links of an event to others, not properties of it

Row = dict[str, Any]


def may_be_document(head: bytes) -> bool:
    """Return whether a file begins like JSON with rows, and not like a wiki table ("{|")."""
    return _BEGINNING.match(head) is not None


def document_rows(stream: BufferedIOBase) -> list[Row | str]:
    """Return the rows of a JSON document; a row may be the description of a problem instead.

    Empty if the document is damaged as a whole, or larger than ``MAX_BYTES``.

    Raises:
        FormatError: if it holds several lists of events, a key twice, or samples of strain.
    """
    data = stream.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        return []
    text = data.decode(encoding_of(data[:1024]), "replace").lstrip("\ufeff")
    rows: list[Row | str]
    try:
        content = _parsed(text)
    except RecursionError:
        return []
    except FormatError:
        if not (rows := _rows_of_lines(text)):
            raise
        return rows
    except ValueError:
        return _rows_of_lines(text)
    rows = [row for one in _list_rows(content) for row in _rows_of_event(one)]
    _refuse_samples(rows)
    return rows


def _parsed(text: str) -> Any:
    """Parse JSON, keeping numbers as text."""
    return json.loads(text, parse_float=str, parse_int=str, object_pairs_hook=unique_keys)


def _rows_of_lines(text: str) -> list[Row | str]:
    """Return the rows from lines with one object each, with a description of every invalid line.

    Empty if the first line is not an object.
    """
    rows: list[Row | str] = []
    for number, line in enumerate(text.split("\n"), 1):
        try:
            rows += [row for one in _list_rows([_parsed(line)]) for row in _rows_of_event(one)]
        except FormatError as error:
            rows.append(f"Line {number}: {error}")
        except (ValueError, RecursionError):
            if not rows:
                return []
            if line.strip():
                rows.append(f"Line {number} is truncated or not a JSON object: write it again.")
    return rows


def _list_rows(value: Any, depth: int = 0) -> list[Row]:
    """Return the objects that are rows, with the detector stated by their list or its key.

    Raises:
        FormatError: if there are several such lists and the choice is unclear.
    """
    if isinstance(value, list):
        return [one for one in value if isinstance(one, dict) and _is_row(one)]
    if not isinstance(value, dict) or depth > _MAX_DEPTH:
        return []
    if (rows := _rows_of_columns(value)) is not None:
        return rows
    if _is_row(value) and not _is_of_rows(value):
        return [value]
    inner = {
        name: one for name, one in value.items() if name != _LINKS and isinstance(one, list | dict)
    }
    of_objects = _list_rows([one for one in inner.values() if isinstance(one, dict)])
    lists = {name: rows for name, one in inner.items() if (rows := _list_rows(one, depth + 1))}
    of_detectors = {name: ifo for name in lists if (ifo := parse_detector(name)) in DETECTORS}
    if of_objects and not of_detectors:
        return of_objects
    if len(lists) > 1 and len(of_detectors) < len(lists):
        raise FormatError(
            f"It holds several lists of events ({', '.join(lists)[:80]}): send each as a file of "
            "its own."
        )
    named = _detector(value)
    return [
        {"ifo": ifo, **row} if (ifo := of_detectors.get(name) or named) else row
        for name, rows in lists.items()
        for row in rows
    ]


def _is_of_rows(entry: Row) -> bool:
    """Return whether an object states only a time span, and lists the events within it."""
    plain_values = {name: one for name, one in entry.items() if not isinstance(one, list | dict)}
    is_span = not moments_of(map(plain_name, plain_values)) - {*STARTS, *ENDS}
    return is_span and any(_list_rows(one) for one in entry.values() if isinstance(one, list))


def _is_row(entry: Row) -> bool:
    """Return whether an object states a time; one with only objects as values contains rows."""
    if _holds_samples(entry):
        return False
    return not all(isinstance(one, dict) for one in entry.values()) and is_header(_flat(entry))


def _holds_samples(entry: Row) -> bool:
    """Return whether an object lists as many numbers as strain has, and no trigger properties."""
    names = set(map(plain_name, entry))
    lists = (one for one in entry.values() if isinstance(one, list))
    return not names & _MEASURES and any(
        len(one) > _MAX_LISTED and all(map(_is_number, one[:_MAX_LISTED])) for one in lists
    )


def _is_number(text: object) -> bool:
    try:
        return isinstance(text, str) and float(text) == float(text)
    except ValueError:
        return False


def _refuse_samples(rows: list[Row | str]) -> None:
    """Refuse rows that are samples of a series.

    Raises:
        FormatError: says what to send instead.
    """
    first = [row for row in rows[:_SAMPLES] if isinstance(row, dict)]
    known_names = {name for row in first for name, one in row.items() if one and is_known(name)}
    if len(known_names) != 1 or not is_time(name := known_names.pop()):
        return
    times = [str(row.get(name)) for row in first]
    if all(map(_is_number, times)) and are_of_series(list(map(float, times))):
        raise FormatError(
            "It holds samples of strain as JSON, which is not read here: save them with "
            "np.savez(path, strain=..., sample_rate_hz=..., gps_start=...)."
        )


def _rows_of_columns(table: Row) -> list[Row] | None:
    """Return the rows of a table given by columns, or in pandas' "split" or "columns" form."""
    names, data = table.get("columns"), table.get("data")
    if isinstance(names, list) and isinstance(data, list):
        cells = (row for row in data if isinstance(row, list))
        return [dict(zip(map(str, names), row, strict=False)) for row in cells]
    columns = list(table.values())
    if not is_header(table):
        return None
    if all(isinstance(one, list) for one in columns):
        return [dict(zip(table, row, strict=True)) for row in zip(*columns, strict=False)]
    if all(isinstance(one, dict) for one in columns):
        keys = dict.fromkeys(key for one in columns for key in one)
        return [{name: one.get(key) for name, one in table.items()} for key in keys]
    return None


def _rows_of_event(event: Row) -> Iterator[Row]:
    """Yield the triggers of an event in its detectors, if it lists them; else the event."""
    triggers = list(_triggers(event))
    if triggers:
        yield from map(_flat, triggers)
        return
    row = _flat(event)
    if not any(plain_name(name) in SPELLINGS["ifo"] for name, one in row.items() if one):
        row["ifo"] = ",".join(dict.fromkeys(_detectors(event)))
    yield row


def _triggers(event: Mapping[str, Any], depth: int = 0) -> Iterator[Row]:
    for name, item in event.items():
        if isinstance(item, dict) and name != _LINKS and depth < _MAX_DEPTH:
            yield from _triggers(item, depth + 1)
        elif isinstance(item, list):
            objects = [element for element in item if isinstance(element, dict)]
            if objects and all(is_header(element) and _detector(element) for element in objects):
                yield from objects


def _detectors(event: Mapping[str, Any]) -> Iterator[str]:
    """Yield the detectors of the strain that an event lists, as in GWOSC's events."""
    for item in event.values():
        for element in item if isinstance(item, list) else ():
            if isinstance(element, dict) and (ifo := _detector(element)) is not None:
                yield ifo


def _detector(entry: Mapping[str, Any]) -> str | None:
    named = (str(one) for name, one in entry.items() if plain_name(name) in SPELLINGS["ifo"])
    return next((ifo for one in named if (ifo := parse_detector(one))), None)


def _flat(entry: Mapping[str, Any], depth: int = 0) -> Row:
    """Flatten an object and its nested objects to one row; outer values take precedence."""
    flat: Row = {}
    for name, item in entry.items():
        if isinstance(item, list):
            if all(isinstance(element, str) for element in item):
                flat[name] = ",".join(item)
        elif not isinstance(item, dict):
            flat[name] = item
    for name, item in entry.items():
        if isinstance(item, dict) and name != _LINKS and depth < _MAX_DEPTH:
            for inner, value in _flat(item, depth + 1).items():
                flat.setdefault(inner, value)
    return flat
