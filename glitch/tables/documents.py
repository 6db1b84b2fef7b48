"""Events and triggers in JSON: as GraceDB, GWOSC and this service answer, as pandas writes tables,
and an object a line.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from io import BufferedIOBase
from typing import Any

from glitch.detectors import DETECTORS, parse_detector
from glitch.errors import FormatError
from glitch.files.text import encoding_of
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

MOST_BYTES = 1 << 23  # held in memory whole
_DEEPEST = 4  # objects within one another
_BEGINNING = re.compile(rb'(?:\xef\xbb\xbf)?\s*[\[{][\[{\s]*["\]}\d-]')
_SAMPLES = 200  # looked at, to tell a series from triggers
_MOST_LISTED = 200  # numbers in a list of an event
_MEASURES = frozenset(name for key in ("snr", "peak_frequency", "label") for name in SPELLINGS[key])
_LINKS = "links"  # of an event to others: nothing that it is itself

Row = dict[str, Any]


def may_be_document(head: bytes) -> bool:
    """Whether a file begins as JSON that may hold rows, and not as a wiki's table ("{|")."""
    return _BEGINNING.match(head) is not None


def document_rows(stream: BufferedIOBase) -> list[Row | str]:
    """The rows of a document of JSON, or what is wrong with one; none where it is damaged as a
    whole, or of over ``MOST_BYTES``.

    Raises:
        FormatError: if it holds several lists of events, or samples of strain.
    """
    data = stream.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        return []
    text = data.decode(encoding_of(data[:1024]), "replace").lstrip("\ufeff")
    try:
        said = _parsed(text)
    except RecursionError:
        return []
    except ValueError:
        return _of_lines(text)
    rows: list[Row | str] = [row for one in _listed(said) for row in _of_event(one)]
    _refuse_samples(rows)
    return rows


def _parsed(text: str) -> Any:
    """What a text says, numbers as they are written."""
    return json.loads(text, parse_float=str, parse_int=str)


def _of_lines(text: str) -> list[Row | str]:
    """The rows of an object a line, and what is wrong with lines that are none; none at all where
    the first is none.
    """
    found: list[Row | str] = []
    for number, line in enumerate(text.split("\n"), 1):
        try:
            found += [row for one in _listed([_parsed(line)]) for row in _of_event(one)]
        except (ValueError, RecursionError):
            if not found:
                return []
            if line.strip():
                found.append(f"Line {number} is cut short or no object of JSON: write it again.")
    return found


def _listed(said: Any, depth: int = 0) -> list[Row]:
    """The objects that are a row each, with the detector that their list or its key names.

    Raises:
        FormatError: if there are several lists of them, and it cannot be told which is meant.
    """
    if isinstance(said, list):
        return [one for one in said if isinstance(one, dict) and _is_row(one)]
    if not isinstance(said, dict) or depth > _DEEPEST:
        return []
    if (rows := _of_columns(said)) is not None:
        return rows
    if _is_row(said) and not _is_of_rows(said):
        return [said]
    inner = {
        name: one for name, one in said.items() if name != _LINKS and isinstance(one, list | dict)
    }
    of_objects = _listed([one for one in inner.values() if isinstance(one, dict)])
    found = {name: rows for name, one in inner.items() if (rows := _listed(one, depth + 1))}
    of_detectors = {name: ifo for name in found if (ifo := parse_detector(name)) in DETECTORS}
    if of_objects and not of_detectors:
        return of_objects
    if len(found) > 1 and len(of_detectors) < len(found):
        raise FormatError(
            f"It holds several lists of events ({', '.join(found)[:80]}): send each alone."
        )
    named = _detector(said)
    return [
        {"ifo": ifo, **row} if (ifo := of_detectors.get(name) or named) else row
        for name, rows in found.items()
        for row in rows
    ]


def _is_of_rows(said: Row) -> bool:
    """Whether an object tells its span alone, and lists what happened within it."""
    own = {name: one for name, one in said.items() if not isinstance(one, list | dict)}
    is_span = not moments_of(map(plain_name, own)) - {*STARTS, *ENDS}
    return is_span and any(_listed(one) for one in said.values() if isinstance(one, list))


def _is_row(said: Row) -> bool:
    """Whether an object tells a time; of objects alone it holds rows."""
    if _holds_samples(said):
        return False
    return not all(isinstance(one, dict) for one in said.values()) and is_header(_flat(said))


def _holds_samples(said: Row) -> bool:
    """Whether an object holds a list of numbers as long as those of strain, and no trigger's
    measures.
    """
    plain = set(map(plain_name, said))
    lists = (one for one in said.values() if isinstance(one, list))
    return not plain & _MEASURES and any(
        len(one) > _MOST_LISTED and all(map(_is_number, one[:_MOST_LISTED])) for one in lists
    )


def _is_number(text: object) -> bool:
    try:
        return isinstance(text, str) and float(text) == float(text)
    except ValueError:
        return False


def _refuse_samples(rows: list[Row | str]) -> None:
    """Refuse rows that are samples of a series.

    Raises:
        FormatError: with what to send instead.
    """
    first = [row for row in rows[:_SAMPLES] if isinstance(row, dict)]
    known = {name for row in first for name, one in row.items() if one and is_known(name)}
    if len(known) != 1 or not is_time(name := known.pop()):
        return
    times = [str(row.get(name)) for row in first]
    if all(map(_is_number, times)) and are_of_series(list(map(float, times))):
        raise FormatError(
            "It holds samples of strain as JSON, which is not read here: save them with "
            "np.savez(path, strain=..., sample_rate_hz=..., gps_start=...)."
        )


def _of_columns(said: Row) -> list[Row] | None:
    """The rows of a table by its columns, as lists, or by pandas' "split" or "columns"."""
    names, data = said.get("columns"), said.get("data")
    if isinstance(names, list) and isinstance(data, list):
        cells = (row for row in data if isinstance(row, list))
        return [dict(zip(map(str, names), row, strict=False)) for row in cells]
    columns = list(said.values())
    if not is_header(said):
        return None
    if all(isinstance(one, list) for one in columns):
        return [dict(zip(said, row, strict=True)) for row in zip(*columns, strict=False)]
    if all(isinstance(one, dict) for one in columns):
        places = dict.fromkeys(place for one in columns for place in one)
        return [{name: one.get(place) for name, one in said.items()} for place in places]
    return None


def _of_event(said: Row) -> Iterator[Row]:
    """The triggers of an event in its detectors, where it lists them; else the event."""
    triggers = list(_triggers(said))
    if triggers:
        yield from map(_flat, triggers)
        return
    row = _flat(said)
    if not any(plain_name(name) in SPELLINGS["ifo"] for name, one in row.items() if one):
        row["ifo"] = ",".join(dict.fromkeys(_detectors(said)))
    yield row


def _triggers(said: Mapping[str, Any], depth: int = 0) -> Iterator[Row]:
    for name, one in said.items():
        if isinstance(one, dict) and name != _LINKS and depth < _DEEPEST:
            yield from _triggers(one, depth + 1)
        elif isinstance(one, list):
            objects = [each for each in one if isinstance(each, dict)]
            if objects and all(is_header(each) and _detector(each) for each in objects):
                yield from objects


def _detectors(said: Mapping[str, Any]) -> Iterator[str]:
    """Of the strain that an event lists, as GWOSC's do."""
    for one in said.values():
        for each in one if isinstance(one, list) else ():
            if isinstance(each, dict) and (ifo := _detector(each)) is not None:
                yield ifo


def _detector(said: Mapping[str, Any]) -> str | None:
    named = (str(one) for name, one in said.items() if plain_name(name) in SPELLINGS["ifo"])
    return next((ifo for one in named if (ifo := parse_detector(one))), None)


def _flat(said: Mapping[str, Any], depth: int = 0) -> Row:
    """A row of an object and the objects within it, of which the outermost counts."""
    flat: Row = {}
    for name, one in said.items():
        if isinstance(one, list):
            if all(isinstance(each, str) for each in one):
                flat[name] = ",".join(one)
        elif not isinstance(one, dict):
            flat[name] = one
    for name, one in said.items():
        if isinstance(one, dict) and name != _LINKS and depth < _DEEPEST:
            for inner, value in _flat(one, depth + 1).items():
                flat.setdefault(inner, value)
    return flat
