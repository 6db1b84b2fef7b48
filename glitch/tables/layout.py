"""How a table of text is laid out: its comments, its header, and what separates its columns."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass

from glitch.tables.columns import is_header, is_known

HEAD_BYTES = 1 << 14
_SEPARATORS = (",", "\t", ";", "|")
_ECSV_DELIMITER = re.compile(r"#\s*delimiter:\s*'?(.)'?")


@dataclass(frozen=True)
class Layout:
    """Where the rows of a table begin, and what its columns are called.

    Attributes:
        columns: Names as written.
        separator: Of the columns; a blank stands for any number of them.
        n_skipped: Lines before the first row.
    """

    columns: tuple[str, ...]
    separator: str
    n_skipped: int

    @property
    def is_readable(self) -> bool:
        """Whether a row can be told to be of something."""
        return is_header(self.columns)

    @property
    def is_table(self) -> bool:
        """Whether this is a table at all, so that reading it can say what it lacks."""
        return self.is_readable or sum(is_known(name) for name in self.columns) > 1

    @property
    def last_known(self) -> int:
        """Place of the last column that means something here."""
        return max((at for at, name in enumerate(self.columns) if is_known(name)), default=0)


def find_layout(head: bytes) -> Layout | None:
    """The layout of a table from its beginning; None where it does not read as one.

    Leading lines with ``#`` are comments (ECSV's among them); the header is the first line after
    them, or the last of them where rows follow at once, as numpy writes it.
    """
    if b"\0" in head:
        return None
    try:
        text = head.decode("utf-8-sig", "strict" if len(head) < HEAD_BYTES else "ignore")
    except UnicodeDecodeError:
        return None
    comments: list[str] = []
    for number, line in enumerate(text.splitlines()):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            comments.append(stripped)
            continue
        layout = _header(stripped, number + 1, _declared(comments))
        if layout.is_table:
            return layout
        last = next((one for one in reversed(comments) if one), "")
        if last and len(comments) == number:
            commented = _header(last.lstrip("#").strip(), number, None)
            if commented.is_readable:
                return _with_separator_of(commented, stripped)
        return layout if len(layout.columns) > 1 else None
    return None


def _declared(comments: list[str]) -> str | None:
    """ECSV's separator; a blank unless it says otherwise."""
    if not any(line.startswith("# %ECSV") for line in comments):
        return None
    found = (_ECSV_DELIMITER.match(line) for line in comments)
    return next((match[1] for match in found if match), " ")


def _header(line: str, n_skipped: int, separator: str | None) -> Layout:
    layouts = [
        Layout(tuple(_split(line, one)), one, n_skipped)
        for one in ([separator] if separator else [*_SEPARATORS, " "])
    ]
    # "GPS time, snr" has blanks within its names: commas count where there are any.
    return next((one for one in layouts if len(one.columns) > 1), layouts[0])


def _with_separator_of(layout: Layout, row: str) -> Layout:
    """The layout with what separates a row, where that differs: "# time, snr" above "1.5 9.5"."""
    for separator in (layout.separator, *_SEPARATORS, " "):
        if len(_split(row, separator)) == len(layout.columns):
            return Layout(layout.columns, separator, layout.n_skipped)
    return layout


def _split(line: str, separator: str) -> list[str]:
    fields = next(csv.reader([line], delimiter=separator, skipinitialspace=separator == " "), [])
    return [field.strip() for field in fields]
