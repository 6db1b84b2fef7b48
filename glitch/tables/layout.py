"""The layout of a text table: comments, header, separator."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice, pairwise, takewhile

from glitch.files.text import encoding_of
from glitch.gps import utc_as_gps
from glitch.tables.columns import (
    is_header,
    is_known,
    is_time,
    may_be_times,
    plain_name,
    says_unit,
    with_unit,
)
from glitch.tables.markup import PlainLines, markup_of
from glitch.tables.zooniverse import are_of_subjects

HEAD_BYTES = 1 << 14
COMMENTS = "#%"
_MOST_HEADER_LINES = 200
_SAMPLES, _FEWEST_SAMPLES = 200, 20  # looked at, and needed, to tell a series from triggers
_WORD = re.compile(r"\s*(%|[^\W\d][\w\s()\[\]/^*%.:+-]{0,20}|[\[(][\w /^*%.-]{0,20}[\])]|-+|1|)\s*")
_NUMBERED = re.compile(r"\A\d+\s*[-:.)]\s*")  # cWB counts its columns
_WIDE_BLANKS = re.compile(r"\s{2,}")
_MOST_REPEATED = 100  # columns of one name that are told apart
_SEPARATORS = (",", "\t", ";", "|")
_BOXES = dict.fromkeys(range(0x2500, 0x2580), "+")  # as SQLite, DuckDB and rich draw them
_BOXES |= dict.fromkeys(map(ord, "─━┄┅┈┉╌╍═"), "-") | dict.fromkeys(map(ord, "│┃┆┇┊┋╎╏║"), "|")
_ERROR_CELL = re.compile(r"#(?:#{2,}|N/A|(?:REF|VALUE|DIV/0|NUM|NULL)!|NAME\?)\s*[,;\t|]")
_COUNT = re.compile(
    r"\(?\d+ rows?( in set.*| selected\.?|)\)?|Length = \d+ rows?|\[\d+ rows x \d+ columns\]",
    re.IGNORECASE,
)
_ECSV_UNIT = re.compile(r"- \{name: ('[^']*'|\"[^\"]*\"|[^,}]*), unit: ([^,}]+)")
_ECSV_DELIMITER = re.compile(r"#\s*delimiter:\s*'?(.)'?")


@dataclass(frozen=True)
class Layout:
    """Where the rows of a table begin, and what its columns are called.

    Attributes:
        columns: Names as written.
        separator: Of the columns; a blank stands for any number of them.
        n_skipped: Lines before the first row.
        markup: Of a wiki or of LaTeX, in which it is written; empty for none.
    """

    columns: tuple[str, ...]
    separator: str
    n_skipped: int
    markup: str = ""

    @property
    def is_readable(self) -> bool:
        """Whether the content of a row can be recognised."""
        return is_header(self.columns) or are_of_subjects(self.columns)

    @property
    def is_table(self) -> bool:
        """Whether this is a table at all, so that reading it can say what it lacks."""
        return self.is_readable or self.n_known > 1

    @property
    def is_telling(self) -> bool:
        """Whether this is a header even below a line that is none; prose has blanks too."""
        is_prose = self.separator == " " and not all(is_known(name) for name in self.columns)
        return self.is_readable and len(self.columns) > 1 and not is_prose

    @property
    def n_known(self) -> int:
        """How many columns mean something here."""
        return sum(map(is_known, self.columns))

    @property
    def last_known(self) -> int:
        """Place of the last column that means something here."""
        return max((at for at, name in enumerate(self.columns) if is_known(name)), default=0)

    def with_units(self, units: Mapping[str, str]) -> Layout:
        """The layout with units of columns in their names, by these."""
        names = (with_unit(name, units.get(name.strip(), "")) for name in self.columns)
        return replace(self, columns=tuple(names)) if units else self

    def with_row_of_units(self, row: list[str]) -> Layout | None:
        """The layout by a row that says what the columns are measured in, or of which type they
        are; None where it is no such row.
        """
        pairs = list(zip(self.columns, row, strict=False))
        if not any(says_unit(*pair) for pair in pairs) or not all(map(_WORD.fullmatch, row)):
            return None
        named = (with_unit(name, cell.strip(" []()")) for name, cell in pairs)
        return replace(self, columns=(*named, *self.columns[len(pairs) :]))


def find_layout(head: bytes) -> Layout | None:
    """The layout of a table from its beginning; None where it does not read as one.

    Leading lines with ``#`` or ``%`` are comments (ECSV's among them). The header is the first line
    after them that names known columns, so that a title above it does no harm; or the last of the
    comments, or one comment a column, where rows follow at once, as numpy, Omicron and cWB write.
    Lines of one GPS time each need none, as lists of times for gwdetchar-omega-batch have none.
    """
    text = unboxed(head.decode(encoding_of(head), "replace"))
    if "\0" in text:
        return None
    if markup := markup_of(text):
        plain = PlainLines(io.StringIO(text), markup)
        return _layout("".join(iter(plain.readline, "")), markup)
    return _layout(text, "")


def _layout(text: str, markup: str) -> Layout | None:
    comments: list[str] = []
    first: Layout | None = None
    lines = list(io.StringIO(text, newline=""))
    number = 0
    while number < min(len(lines), _MOST_HEADER_LINES):
        line = lines[number]
        number += 1
        while line.count('"') % 2 and number < len(lines):  # a quoted name goes on
            line += lines[number]
            number += 1
        stripped = line.strip()
        if not stripped or is_comment(stripped):
            comments.append(stripped)
            continue
        if is_rule(stripped):
            continue
        layout = _header(stripped, number, _declared(comments)).with_units(ecsv_units(comments))
        is_heading = layout.is_telling or (
            number < len(lines) and _is_over(layout, lines[number].strip())
        )
        if layout.is_table and (first is None or is_heading):
            below = (
                _header(lines[number].strip(), number + 1, layout.separator)
                if (number < len(lines) and lines[number].strip())
                else layout
            )
            if below.is_readable and below.n_known >= layout.n_known:  # pandas' names of two levels
                layout, number = below, number + 1
            return _with_rows(replace(layout, markup=markup), stripped, lines[number:])
        if first is None and (commented := _commented(comments, stripped, number)) is not None:
            return commented
        if first is None and may_be_times(stripped):  # a list of times and nothing else
            return Layout(("gps_time",), ",", number - 1)
        first = first or layout
    return first if first is not None and len(first.columns) > 1 else None


def n_nameless(head: bytes) -> int:
    """How many columns a table has whose first row is of a trigger, so that nothing names them; 0
    where it is none. Two of numbers may be of strain.
    """
    layout = find_layout(head)
    text = head.decode(encoding_of(head), "replace")
    if "\0" in text or (layout is not None and layout.is_table):
        return 0
    rows = (line.strip() for line in text.splitlines() if line.strip() and not is_comment(line))
    first = next(rows, "")
    cells = next((one for sep in (*_SEPARATORS, " ") if len(one := _split(first, sep)) > 1), [])
    times = [may_be_times(cell) for cell in cells]
    are_of_strain = len(cells) == 2 and not re.search("[A-Za-z]{2}|[A-Z]\\d", first)
    return len(cells) if any(times[:4]) and not are_of_strain else 0


def _is_over(layout: Layout, row: str) -> bool:
    """Whether the line below is of these columns, with a GPS time where they have one."""
    cells = _split(row, layout.separator)
    pairs = zip(layout.columns, cells, strict=False)
    times = [may_be_times(cell) for name, cell in pairs if is_time(name)]
    return len(cells) == len(layout.columns) and any(times)


def _commented(comments: list[str], row: str, number: int) -> Layout | None:
    """The layout that comments above the first row give, where nothing else lies above it."""
    said = [one.lstrip(COMMENTS).strip() for one in comments if one]
    if not said or len(comments) != number - 1:
        return None
    in_one = _header(said[-1], number - 1, None)
    if len(said) > 1 and not in_one.is_readable:
        above = _header(said[-2], number - 1, None)
        in_one = above.with_row_of_units(_split(said[-1], above.separator)) or in_one
    fitting = _with_separator_of(in_one, row) if in_one.is_readable else None
    if fitting is not None and len(_split(row, fitting.separator)) == len(fitting.columns):
        return fitting
    for separator in (*_SEPARATORS, " "):
        listed = [_NUMBERED.sub("", one) for one in said[-len(_split(row, separator)) :]]
        layout = Layout(tuple(listed), separator, number - 1)
        if len(listed) > 1 and len(_split(row, separator)) == len(listed) and layout.is_readable:
            return layout
    # A sentence of GWOSC's strain, "starting GPS 1126259446 duration 32", names no column of it.
    is_shorter = fitting is None or len(_split(row, fitting.separator)) <= fitting.last_known
    return None if is_shorter else fitting


def _with_rows(layout: Layout, header: str, rows: list[str]) -> Layout:
    """The layout as the first row shows it, where blanks or tabs part the columns.

    A value more than names is a first column that has none, as pandas and R write the names of
    rows; a comma too many is a slip. One value alone below several words is called by all of them.
    """
    heading = list(takewhile(lambda row: row.lstrip().startswith("|"), rows))
    below = rows[len(heading) : len(heading) + 1]
    is_ruled = any(map(is_rule, [*heading, *below]))
    is_ipac = not (is_ruled or layout.markup)
    if header.startswith("|") and below and "|" not in below[0] and is_ipac:
        # IPAC: types, units and null values below the names, and blanks in the rows.
        units = _split(heading[1].strip(), "|") if len(heading) > 1 else [""] * len(layout.columns)
        columns = tuple(map(with_unit, layout.columns, units))[1:-1]
        return Layout(columns, " ", layout.n_skipped + len(heading))
    texts = enumerate(row.strip("\r\n") for row in rows)
    at, first = next(((at, row) for at, row in texts if row.strip() and not is_rule(row)), (0, ""))
    values = _split(first.strip(" ").lstrip(COMMENTS), layout.separator)
    if (of_units := layout.with_row_of_units(values)) is not None:
        return replace(of_units, n_skipped=layout.n_skipped + at + 1)
    n_values = len(values)
    apart = _WIDE_BLANKS.split(header) if layout.separator == " " else []
    if 0 < len(apart) == n_values < len(layout.columns):  # blanks within names: "GPS time   SNR"
        return replace(layout, columns=tuple(apart))
    if layout.separator in " \t" and n_values == len(layout.columns) + 1:
        layout = replace(layout, columns=("", *layout.columns))
    if not (layout.columns[0] or layout.is_readable) and values and may_be_times(values[0]):
        return replace(layout, columns=("gps_time", *layout.columns[1:]))
    if layout.separator == " " and n_values == 1 and is_time(header):
        return replace(layout, columns=(header,), separator=",")
    return layout


def unboxed(text: str) -> str:
    """Text with the frames around its cells in plain letters: "┌──┬──┐" is "+--+--+"."""
    return text if text.isascii() else text.translate(_BOXES)


def is_comment(line: str) -> bool:
    """Whether a line is a comment; a row may begin with an error of a spreadsheet: "#REF!,H1"."""
    text = line.lstrip()
    return text[:1] in tuple(COMMENTS) and _ERROR_CELL.match(text) is None


def is_no_row(line: str) -> bool:
    """Whether a line among rows is not a row: a rule, or the number of rows that a database
    printed.
    """
    return is_rule(line) or _COUNT.fullmatch(line.strip()) is not None


def is_heading(row: Sequence[str]) -> bool:
    """Whether a row names columns, as the header of another table does."""
    return not any(cell.strip()[:1].isdigit() for cell in row) and len(row) > 1 and is_header(row)


def are_named_alike(row: Sequence[str], columns: Sequence[str]) -> bool:
    """Whether a row is the header that its table has already."""
    return [plain_name(cell) for cell in row if cell] == [plain_name(one) for one in columns if one]


def is_rule(line: str) -> bool:
    """Whether a line is drawn to part header and rows: "---- + ----"."""
    text = line.strip()
    return len(text) > 1 and not text.strip("-=+|: \t") and ("--" in text or "==" in text)


def _declared(comments: list[str]) -> str | None:
    """ECSV's separator; a blank unless it says otherwise."""
    if not any(line.startswith("# %ECSV") for line in comments):
        return None
    found = (_ECSV_DELIMITER.match(line) for line in comments)
    return next((match[1] for match in found if match), " ")


def is_series(head: bytes, layout: Layout) -> bool:
    """Whether rows are samples of a series rather than triggers: times that go up by the
    hundredth of a second and less, and beside them numbers that no table of triggers names.
    """
    times = [at for at, name in enumerate(layout.columns) if is_time(name)]
    if len(times) != 1 or sum(map(is_known, layout.columns)) != 1 or len(layout.columns) < 2:
        return False
    lines = io.StringIO(utc_as_gps(head.decode(encoding_of(head), "replace")), newline="")
    rows = list(islice(lines, layout.n_skipped, layout.n_skipped + _SAMPLES + 1))[:-1]
    try:
        cells = [[float(cell) for cell in _split(row, layout.separator)] for row in rows]
        found = [row[times[0]] for row in cells]
    except (ValueError, IndexError):
        return False
    return are_of_series(found)


def are_of_series(times: list[float]) -> bool:
    """Whether the first times of a table are of samples: they go up by less than 0.01 s each."""
    goes_up = all(one <= other for one, other in pairwise(times))
    return len(times) >= _FEWEST_SAMPLES and goes_up and times[-1] - times[0] < 0.01 * len(times)


def ecsv_units(lines: list[str]) -> dict[str, str]:
    """Units of columns, from the lines that astropy writes about them."""
    found = (_ECSV_UNIT.search(line) for line in lines)
    return {match[1].strip("'\""): match[2].strip("'\" ") for match in found if match}


def _header(line: str, n_skipped: int, separator: str | None) -> Layout:
    layouts = [
        Layout(_distinct(_split(line, one)), one, n_skipped)
        for one in ([separator] if separator else [*_SEPARATORS, " "])
    ]
    # "GPS time, snr" has blanks within its names: commas count where there are any.
    return next((one for one in layouts if len(one.columns) > 1), layouts[0])


def _distinct(names: list[str]) -> tuple[str, ...]:
    """Names as written, but for blanks that tell a repeated one from the first."""
    seen: Counter[str] = Counter()
    found = []
    for name in names:
        plain = plain_name(name)
        found.append(" " * min(seen[plain], _MOST_REPEATED) + name)
        seen[plain] += 1
    return tuple(found)


def _with_separator_of(layout: Layout, row: str) -> Layout:
    """The layout with what separates a row, where that differs: "# time, snr" above "1.5 9.5"."""
    for separator in (layout.separator, *_SEPARATORS, " "):
        if len(_split(row, separator)) == len(layout.columns):
            return Layout(layout.columns, separator, layout.n_skipped)
    return layout


def _split(line: str, separator: str) -> list[str]:
    lines = io.StringIO(line, newline="")  # a quoted name may hold more than one
    fields = csv.reader(lines, delimiter=separator, skipinitialspace=True)
    return [field.strip() for field in next(fields, [])]
