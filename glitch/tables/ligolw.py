"""LIGO_LW: rows of ``sngl_burst`` and ``sngl_inspiral`` tables, read while the document streams.

igwn-ligolw holds a whole document in memory, needs lalsuite (40 MB) for these tables, and no longer
reads ``ilwd:char``, the type of ids in older documents. The format is simple enough to parse here.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from xml.parsers import expat

from glitch.errors import FormatError, TooLargeError
from glitch.files.text import encoding_of
from glitch.tables.columns import LONGEST_NAME, plain_name

TABLES = ("sngl_burst", "sngl_inspiral")
_COINCIDENT = ("multi_burst", "multi_inspiral", "coinc_inspiral")  # read if there is none of those
_PIECE = 1 << 16
_MAX_VALUE_LENGTH = 100_000  # characters
_MAX_TOKEN_BYTES = 1 << 20  # bytes of a tag or a comment; expat rescans it with every piece
_DEEPEST = 100  # levels of elements; these documents have six
_MAX_DEFAULTS = 200  # attribute defaults in a document type, which are added to each element
_MAX_DEFAULT_LENGTH = 100  # characters
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}

OWN_SEARCH = "GlitchDiscovery"  # value of the column ``search`` in our exports
OWN_COLUMNS = {  # our column, and where our exports store it
    "gravityspy_id": "param_one_name",
    "q_value": "param_one_value",
    "ml_label": "param_two_name",
    "origin": "param_three_name",
    "novelty_score": "param_three_value",
}


def is_ligolw(head: bytes) -> bool:
    """Return whether a file begins like a LIGO_LW document."""
    start = head.decode(encoding_of(head), "replace").lstrip("\ufeff \r\n\t")
    return start.startswith(("<?xml", "<!DOCTYPE", "<LIGO_LW")) and "LIGO_LW" in start


def ligolw_rows(
    stream: io.BufferedIOBase, name: str, tables: tuple[str, ...] = TABLES
) -> Iterator[tuple[int, dict[str, str] | str]]:
    """Yield the rows of the document's tables of triggers with their numbers, from 1.

    Args:
        stream: the document, uncompressed.
        name: its original name, for messages.
        tables: names of the tables that are read.

    Raises:
        FormatError: if it is not well-formed, or has no such table.
        TooLargeError: if a row is longer than any trigger is.
    """
    document = _Document(name, tables)
    number = 0
    while True:
        piece = stream.read(_PIECE)
        for values in document.feed(piece):
            number += 1
            yield number, values
        if not piece:
            break
    if not document.found and tables == TABLES and stream.seekable():
        stream.seek(0)
        with suppress(FormatError):  # its message would name these tables
            yield from ligolw_rows(stream, name, _COINCIDENT)
            return
    if not document.found:
        kind = "triggers" if tables == TABLES else "segments"
        raise FormatError(
            f"{name} holds no table of {kind}: send one with {' or '.join(tables)} and its columns."
        )


class _Document:
    """The parser state of a document, and the rows not yet returned."""

    def __init__(self, name: str, tables: tuple[str, ...]) -> None:
        self._name = name
        self._tables = tables
        self.found = False  # whether there is such a table
        self._table: str | None = None  # the table that the parser is in
        self._columns: list[str] = []
        self._tokens: _Tokens | None = None  # None outside a stream
        self._row: list[str] = []
        self._done: list[dict[str, str]] = []
        self._parser = expat.ParserCreate()
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._text
        self._parser.EntityDeclHandler = self._entity
        self._parser.AttlistDeclHandler = self._default
        self._n_defaults = self._depth = self._n_bytes = 0

    def feed(self, piece: bytes) -> list[dict[str, str]]:
        """Parse a piece and return the rows that end in it; an empty piece ends the document."""
        try:
            self._parser.Parse(piece, not piece)
        except expat.ExpatError as error:
            raise FormatError(
                f"{self._name} is not well-formed XML ({expat.ErrorString(error.code)}, line "
                f"{error.lineno}): write it again."
            ) from None
        self._n_bytes += len(piece)
        if self._n_bytes - self._parser.CurrentByteIndex > _MAX_TOKEN_BYTES:
            raise TooLargeError(
                f"{self._name}: a tag or comment has over {_MAX_TOKEN_BYTES:,} bytes."
            )
        if self._tokens is not None and len(self._tokens.rest) > _MAX_VALUE_LENGTH:
            raise TooLargeError(f"{self._name}: a value has over {_MAX_VALUE_LENGTH:,} characters.")
        rows, self._done = self._done, []
        return rows

    def _entity(self, *_: object) -> None:
        raise FormatError(f"{self._name} declares entities, which no table needs: remove them.")

    def _default(
        self, _element: str, _name: str, _type: str, default: str | None, _is_required: int
    ) -> None:
        self._n_defaults += 1
        if self._n_defaults > _MAX_DEFAULTS or len(default or "") > _MAX_DEFAULT_LENGTH:
            raise TooLargeError(f"{self._name} declares more attributes than any table: remove it.")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise TooLargeError(f"{self._name} has elements {_DEEPEST} deep: send the table alone.")
        if tag == "Table":
            table = _table_name(attributes.get("Name", ""))
            self._table = table if table in self._tables else None
            self._columns = []
        elif tag == "Column" and self._table:
            self._columns.append(plain_name(attributes.get("Name", "")[:LONGEST_NAME]))
        elif tag == "Stream" and self._table and self._columns:
            self.found = True
            self._tokens = _Tokens(self._name, attributes.get("Delimiter") or ",")
            self._row = []

    def _text(self, text: str) -> None:
        if self._tokens is not None:
            self._add(self._tokens.feed(text))

    def _add(self, tokens: Iterable[str]) -> None:
        for token in tokens:
            self._row.append(token)
            if len(self._row) == len(self._columns):
                self._done.append(_own_columns(dict(zip(self._columns, self._row, strict=True))))
                self._row = []

    def _end(self, tag: str) -> None:
        self._depth -= 1
        if tag == "Stream" and self._tokens is not None:
            is_ended = not self._tokens.rest.strip()
            is_null_last = is_ended and 0 < len(self._row) == len(self._columns) - 1
            self._add([""] if is_null_last else self._tokens.end())
            if self._row:
                raise FormatError(
                    f"{self._name}: the last row of its table is incomplete: write it again."
                )
            self._tokens = None
        elif tag == "Table":
            self._table = None


def _own_columns(values: dict[str, str]) -> dict[str, str]:
    """Restore our columns from the named parameters, where our exports store them."""
    if values.get("search") != OWN_SEARCH:
        return values
    restored = {column: values.get(parameter, "") for column, parameter in OWN_COLUMNS.items()}
    return {**values, **restored}


def _table_name(name: str) -> str:
    """Return a table's name without the prefixes and suffixes of old documents."""
    parts = [part for part in name.lower().split(":") if part and part != "table"]
    return parts[-1] if parts else ""


class _Tokens:
    """Splits a stream into its values: quoted ones may hold anything, a backslash escapes."""

    def __init__(self, name: str, delimiter: str) -> None:
        self._name = name
        # XML normalises a tab in the Delimiter attribute to a blank.
        plain, mark = (r"\s*[^\s\"]+", r"\s") if delimiter.isspace() else ("", re.escape(delimiter))
        plain = plain or rf'[^"{mark}]*+'
        # No two parts of the pattern may match the same blanks, or the time grows with the cube of
        # their number: 400 of them once took 0.1 s.
        self._value = re.compile(rf'(?:\s*"((?:[^"\\]|\\.)*+)"\s*?|({plain})){mark}', re.DOTALL)
        self._delimiter = delimiter
        self.rest = ""  # text after the last delimiter

    def feed(self, text: str) -> list[str]:
        """Return the values that end within this text."""
        self.rest += text
        values: list[str] = []
        at = 0
        while match := self._value.match(self.rest, at):
            quoted, plain = match.groups()
            values.append(plain.strip() if quoted is None else _ESCAPED.sub(_unescaped, quoted))
            at = match.end()
        self.rest = self.rest[at:]
        return values

    def end(self) -> list[str]:
        """Return the last value, which needs no delimiter."""
        values = self.feed(self._delimiter) if self.rest.strip() else []
        if self.rest.strip():
            raise FormatError(
                f"{self._name}: its table is not separated by its stated delimiter: write it again."
            )
        return values


def _unescaped(match: re.Match[str]) -> str:
    return _ESCAPES.get(match[1], match[1])
